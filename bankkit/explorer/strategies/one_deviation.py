"""Schedules that deviate once from the one without preemptions, the earliest deviations first.

A depth-first search changes the last decisions first, so it comes late to a bug that needs one
early switch among many threads. Threads that run the same function and are about to do the same
count as alike: at each place one of each kind gets the turn. So there are few such schedules.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy


class OneDeviation(Strategy):
    """Runs the schedule without preemptions, and then those that take one other choice once."""

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        super().__init__(scheduler, bound, seed)
        self._place = self._kind = -1
        """Which kind gets the turn, and at which step; -1 in the first schedule."""
        self._kinds: list[int] = []
        """How many other kinds there are at each step of the first schedule."""

    def choose(self, choices: list[Step]) -> Step:
        """The last choice, or one of another kind at the place of the deviation."""
        usual, place = choices[-1], self.scheduler.depth
        if self._place not in (-1, place):
            return usual
        kinds = {_kind(choice): choice for choice in choices}
        del kinds[_kind(usual)]
        if self._place == -1:
            self._kinds.append(len(kinds))
            return usual
        return list(kinds.values())[self._kind]

    def advance(self) -> bool:
        """Go to the next kind of choice; False after the last one at the last place."""
        self._kind += 1
        while self._place == -1 or self._kind >= self._kinds[self._place]:
            self._place += 1
            self._kind = 0
            if self._place >= len(self._kinds):
                return False
        return True


def _kind(choice: Step) -> tuple[Any, ...]:
    """What the thread runs, and what it is about to do."""
    return _code(choice.task), choice.op, choice.option


def _code(task: Task) -> Any:
    target = getattr(task.thread, "_target", None)
    while isinstance(target, partial):
        target = target.func
    return getattr(target, "__code__", None) or task.index
