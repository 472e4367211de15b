"""The order in which schedules are tried: depth first, each of them once.

A strategy makes the scheduler's decisions. It runs a scenario again and again: each run follows the
path of decisions that is kept, changes the last one that has something left to try, and goes on
from there (stateless search; Godefroid, "Model checking for programming languages using VeriSoft",
POPL 1997). `DepthFirst` tries everything. The reductions leave out what is equivalent: `bounded.py`
within a bound, `dpor.py` without one. `pct.py` takes schedules at random.

Two schedules are *equivalent* if one becomes the other by swapping neighbouring steps that do not
conflict; a class of equivalent schedules is a *trace* (Mazurkiewicz, "Trace theory", 1987). All
schedules of a trace end alike, so one of them is enough.

A *preemption* takes the turn from a thread that could have gone on. A thread whose only way on is a
timeout counts as blocked, so letting it wait, or time out, is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bankkit.explorer import primitives
from bankkit.explorer.locations import described, here
from bankkit.explorer.outcomes import Ending
from bankkit.explorer.scheduler import Op, Scheduler, Task
from bankkit.explorer.text import counted


@dataclass(frozen=True, slots=True)
class Bound:
    """Which schedules are meant: those with at most so many of these. None is no bound."""

    preemptions: int | None = None
    timeouts: int | None = None
    """Timeouts that fire while another thread could go on. Where nobody else can, one may fire."""
    steps: int | None = None

    def __str__(self) -> str:
        parts = []
        if self.preemptions is not None:
            parts.append(counted(self.preemptions, "preemption"))
        if self.timeouts is not None:
            parts.append(counted(self.timeouts, "early timeout"))
        return f"at most {' and '.join(parts)}" if parts else "no bound"


class Step:
    """A task, and one of the things that it can do now. On the path: what it did, and what is left.

    Made for every step of every schedule, so it has few attributes and sets fewer.
    """

    __slots__ = (
        "available",
        "early",
        "early_before",
        "key",
        "left",
        "number",
        "op",
        "option",
        "preemptions_before",
        "preempts",
        "task",
        "undo",
    )  # fmt: skip

    key: int
    """The object, 0 for none; `available` is whether one that waits for it could go on."""
    available: bool
    number: int
    left: list[Step]
    """What else could be done here and has not been tried yet."""
    preemptions_before: int
    early_before: int
    undo: Any

    def __init__(self, task: Task, option: int) -> None:
        self.task = task
        self.option = option
        self.op: Op = task.op  # type: ignore[assignment]  # a task that can do something has one
        self.preempts = 0
        self.early = 0

    def identify(self) -> None:
        """Note the object, for a search that needs to know."""
        task = self.task
        target = task.target if not self.option or task.other is None else task.other
        # What a task chooses among is its own business: `other` is a text there.
        self.key = 0 if target is None or task.target is None else target.key
        self.available = not isinstance(target, primitives.Primitive) or target.is_available()

    def unbounded(self, left: list[Step]) -> Step:
        """This one, put on the path of a search that keeps no bound."""
        self.left = left
        self.preemptions_before = self.early_before = 0
        return self

    def instead_of(self, step: Step) -> Step:
        """This one, put on the path where that one was."""
        self.left = step.left
        self.preemptions_before = step.preemptions_before
        self.early_before = step.early_before
        return self


class DepthFirst:
    """Every schedule within the bound, depth first, the one with the fewest switches first."""

    def __init__(self, scheduler: Scheduler, bound: Bound) -> None:
        self.scheduler = scheduler
        self.bound = bound
        self.path: list[Step] = []
        self.fixed = 0
        """So many steps of the path are given; those after them are decided as they come."""
        self.cut = False
        """The latest schedule was left before its end, because nothing new lay ahead."""
        self.over = ""
        """What goes on and on, if the latest schedule went over the limit of steps."""
        self.ending: Ending | None = None
        """How the latest schedule ended, if nobody could go on."""
        self.diverged = ""
        """What a thread did instead of what it did before, when the same path was run again."""
        self._most = bound.preemptions
        self._most_early = bound.timeouts
        self._most_steps = bound.steps

    def begin(self) -> None:
        """Before a schedule."""
        self.cut = False
        self.over = ""
        self.ending = None

    def advance(self) -> bool:
        """After a schedule: change the last decision that can be changed; False if none can."""
        path = self.path
        while path:
            step = path[-1]
            if step.left:
                path[-1] = step.left.pop().instead_of(step)
                self.fixed = len(path)
                return True
            path.pop()
        return False

    def decide(self) -> Task | None:
        scheduler = self.scheduler
        depth = scheduler.depth
        if depth < self.fixed:
            step = self.path[depth]
            task = step.task
            if task.op is not step.op or step.option not in step.op.options(task):
                self.diverged = f"The scenario is not deterministic: {_divergence(task, step)}."
                return None
        else:
            new = self._look()
            if new is None:
                return None
            step = new
            self.path.append(step)
            task = step.task
        scheduler.depth = depth + 1
        task.last = depth
        task.option = step.option
        if task.past:
            task.past.clear()
        return task

    def _look(self) -> Step | None:
        """Decide at a place where nobody has been; None at an end."""
        choices = self.choices()
        if not choices:
            return None
        if self._most_steps is not None and self.scheduler.depth >= self._most_steps:
            self.cut = True
            return None
        step = choices.pop()
        step.left = choices
        if self.path:
            before = self.path[-1]
            step.preemptions_before = before.preemptions_before + before.preempts
            step.early_before = before.early_before + before.early
        else:
            step.preemptions_before = step.early_before = 0
        return step

    def choices(self) -> list[Step]:
        """What can be done here within the bound; the best to begin with comes last."""
        scheduler = self.scheduler
        depth = scheduler.depth
        if depth >= scheduler.limit:
            self.over = (
                f"after {depth:,} steps {here(scheduler.current)} still goes on, as in a loop"
            )
            return []
        path = self.path
        if scheduler.only is not None:
            task = scheduler.only
            return [Step(task, option) for option in primitives.CHOOSE.options(task)]
        last = path[-1].task if path else None
        mine: list[Step] = []
        others: list[Step] = []
        timeouts: list[Step] = []
        for task in reversed(scheduler.tasks):
            op = task.op
            if op is not None and op is not primitives.PAUSE:
                for option in op.options(task):
                    choice = Step(task, option)
                    if option and op.fires:
                        timeouts.append(choice)
                    elif task is last:
                        mine.append(choice)
                    else:
                        others.append(choice)
        if timeouts:
            others = self._with_timeouts(timeouts, others, bool(mine or others))
        if mine:
            if not others:
                return mine
            if self._most is not None:
                before = path[-1]
                if before.preemptions_before + before.preempts >= self._most:
                    return mine
            for choice in others:
                choice.preempts = 1
            return others + mine
        if not others:
            for task in scheduler.tasks:
                if not task.done and not task.daemon:
                    self.ending = Ending(scheduler)
                    break
        return others

    def _with_timeouts(
        self, timeouts: list[Step], others: list[Step], is_early: bool
    ) -> list[Step]:
        if is_early:
            before = self.path[-1] if self.path else None
            early = before.early_before + before.early if before else 0
            if self._most_early is not None and early >= self._most_early:
                return others
            for choice in timeouts:
                choice.early = 1
        return timeouts + others


def _divergence(task: Task, choice: Step) -> str:
    then = choice.op.phrase(choice.option, "an object")
    if task.op is None:
        return (
            f"thread {task.label or task.index} was about to {then}, and now is not there to do it"
        )
    if task.op is choice.op:
        return f"{here(task)} could {then}, and now it cannot"
    now = described(task, 0)
    return f"{here(task)} is about to {now}, and with the same schedule before it was to {then}"
