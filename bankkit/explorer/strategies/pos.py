"""Random schedules that sample orders of conflicting steps, rather than orders of all steps."""

from __future__ import annotations

from bankkit.explorer.engine.scheduler import READ, Scheduler
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy, of_one_thread


class Pos(Strategy):
    """Runs the step with the highest random priority; steps that conflict with it draw again.

    Partial order sampling: Yuan, Yang and Gu, "Partial order aware concurrency sampling", CAV 2018.
    The priority belongs to the next step of a thread. A step that has raced with the one that was
    chosen gets a new priority, so that each race is decided independently of those before. A
    step's options share a priority, because they are alternatives.
    """

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        super().__init__(scheduler, bound, seed)
        self._priorities: dict[int, float] = {}

    def begin(self) -> None:
        """Forget the path and the priorities."""
        super().begin()
        self._priorities.clear()

    def choose(self, choices: list[Step]) -> Step:
        """The enabled step with the highest priority, with one of its options at random."""
        priorities = self._priorities
        for choice in choices:
            if choice.task.index not in priorities:
                priorities[choice.task.index] = self.random.random()
            choice.identify()
        best = max(choices, key=lambda choice: priorities[choice.task.index])
        step = self.random.choice(of_one_thread(choices, best.task))
        for choice in choices:
            if choice.task is step.task or conflict(choice, step):
                priorities.pop(choice.task.index, None)
        return step


def conflict(one: Step, other: Step) -> bool:
    """Whether the order of two identified steps matters: they use one object, not only to read."""
    return one.key == other.key != 0 and not (
        one.op.mode(one.option) == other.op.mode(other.option) == READ
    )
