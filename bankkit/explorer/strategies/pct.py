"""Random schedules, with a known lower bound on the probability of finding a bug."""

from __future__ import annotations

import random

from bankkit.explorer.outcomes import Ending
from bankkit.explorer.scheduler import Scheduler, Task
from bankkit.explorer.strategies.depth_first import Bound, DepthFirst, Step


class Pct:
    """Runs the thread with the highest random priority; at `depth - 1` moments its priority drops.

    Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic
    guarantees of finding bugs", ASPLOS 2010. With n threads and k steps, each schedule finds a bug
    that needs `depth` ordered events with a probability of at least 1 / (n k^(depth - 1)). The
    longest schedule so far gives k.
    """

    def __init__(self, scheduler: Scheduler, depth: int, seed: int) -> None:
        self._all = DepthFirst(scheduler, Bound())
        self.scheduler = scheduler
        self.cut = False
        self.fixed = 0
        self.diverged = ""
        self._depth = depth
        self._random = random.Random(seed)
        self._longest = 1

    @property
    def path(self) -> list[Step]:
        """The steps of the latest schedule."""
        return self._all.path

    @property
    def over(self) -> str:
        """Which thread was still running when the latest schedule reached the limit of steps."""
        return self._all.over

    @property
    def ending(self) -> Ending | None:
        """How the latest schedule ended, if no thread could continue."""
        return self._all.ending

    def begin(self) -> None:
        """Forget the path and the priorities, and draw the moments at which a priority drops."""
        self._longest = max(self._longest, len(self.path))
        self.path.clear()
        self._all.begin()
        self._priorities: dict[int, float] = {}
        moments = self._random.choices(range(1, self._longest + 1), k=self._depth - 1)
        self._changes = {moment: -order for order, moment in enumerate(moments, 1)}

    def advance(self) -> bool:
        """Return True: there is always another random schedule."""
        return True

    def decide(self) -> Task | None:
        """Choose the enabled thread with the highest priority, and one of its options at random."""
        scheduler, path = self.scheduler, self.path
        choices = self._all.choices()
        if not choices:
            return None
        depth = scheduler.depth
        if depth in self._changes and path:
            self._priorities[path[-1].task.index] = self._changes[depth]
        for choice in choices:
            self._priorities.setdefault(choice.task.index, self._random.random())
        best = max(choices, key=lambda choice: self._priorities[choice.task.index])
        options = [choice for choice in choices if choice.task is best.task]
        step = self._random.choice(options).unbounded([])
        path.append(step)
        scheduler.depth = depth + 1
        step.task.last = depth
        step.task.option = step.option
        step.task.past.clear()
        return step.task
