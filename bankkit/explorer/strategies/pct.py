"""Random schedules, with a known lower bound on the probability of finding a bug."""

from __future__ import annotations

import random

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy

MOST_DROPS = 10_000
"""The most moments at which a priority drops in one schedule."""


class Pct(Strategy):
    """Runs the thread with the highest random priority; at `depth - 1` moments its priority drops.

    Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic
    guarantees of finding bugs", ASPLOS 2010. With n threads and k steps, each schedule finds a bug
    that needs `depth` ordered events with a probability of at least 1 / (n k^(depth - 1)), if the
    bound allows for these schedules. The longest schedule so far gives k.
    """

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0, depth: int = 3) -> None:
        super().__init__(scheduler, bound, seed)
        self._depth = depth
        self._random = random.Random(seed)
        self._longest = 1
        self._priorities: dict[int, float] = {}
        self._changes: dict[int, int] = {}

    def begin(self) -> None:
        """Forget the path and the priorities, and draw the moments at which a priority drops."""
        self._longest = max(self._longest, len(self.path))
        super().begin()
        self._priorities.clear()
        drops = min(self._depth - 1, MOST_DROPS)
        moments = self._random.choices(range(1, self._longest + 1), k=drops)
        self._changes = {moment: -order for order, moment in enumerate(moments, 1)}

    def choose(self, choices: list[Step]) -> Step:
        """The enabled thread with the highest priority, and one of its options at random."""
        depth = self.scheduler.depth
        if depth in self._changes and self.path:
            self._priorities[self.path[-1].task.index] = self._changes[depth]
        for choice in choices:
            self._priorities.setdefault(choice.task.index, self._random.random())
        best = max(choices, key=lambda choice: self._priorities[choice.task.index])
        return self._random.choice([choice for choice in choices if choice.task is best.task])
