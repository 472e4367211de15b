"""Runs every schedule that differs from round robin in at most so many places."""

from __future__ import annotations

from dataclasses import replace

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step, tasks_of


class DelayBounded(DepthFirst):
    """Every schedule with at most `bound.delays` delays, depth first.

    Emmi, Qadeer and Rakamarić, "Delay-bounded scheduling", POPL 2011. Without delays, the schedule
    is fixed: a thread runs until it blocks, and then the next one in the order in which they were
    started. A delay passes over a thread whose turn it is. Timeouts of threads that wait come last
    in turn; the options of a thread cost nothing.
    """

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        super().__init__(scheduler, bound, seed)
        self._max_delays = bound.delays

    def choices(self) -> list[Step]:
        """All choices within the bound; the one without a delay comes last.

        The `number` of a step is how many delays there were on the path, this step included.
        """
        found = super().choices()
        if not found:
            return found
        path = self.path
        before = path[-1].number if path else 0
        turns = {task: before + turn for turn, task in enumerate(self._in_turn(found))}
        for choice in found:
            choice.number = turns[choice.task]
        if self._max_delays is not None:
            possible = [choice for choice in found if choice.number <= self._max_delays]
            self.hides |= len(possible) < len(found)
            found = possible
        found.sort(key=lambda choice: -choice.number)
        return found

    def _in_turn(self, choices: list[Step]) -> list[Task]:
        """The threads that have a choice, in the order of their turns."""
        last = self.path[-1].task.index if self.path else 0
        number = len(self.scheduler.tasks)
        # Timeouts come first, so what a thread can do without one replaces them here.
        waits = {choice.task: bool(choice.option and choice.op.fires) for choice in choices}
        return sorted(
            tasks_of(choices), key=lambda task: (waits[task], (task.index - last) % number)
        )

    def _raise_bound(self) -> None:
        assert self._max_delays is not None
        self._max_delays += 1
        self.bound = replace(self.bound, delays=self._max_delays)
