"""The interface of all strategies: which thread makes the next step, schedule after schedule.

The scenario runs again for each schedule. A run follows the stored path of decisions as far as it
is given (`fixed`), and lets the strategy choose from there (stateless search; Godefroid, "Model
checking for programming languages using VeriSoft", POPL 1997).

A *preemption* takes the turn from a thread that could have continued. A thread that can continue
only by a timeout counts as blocked: to let it wait, or time out, is not a preemption.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from bankkit.explorer.engine.scheduler import Op, Scheduler, Task
from bankkit.explorer.loops.long_schedules import busiest, limit_reached
from bankkit.explorer.schedules.outcomes import Ending
from bankkit.explorer.source.locations import described, here
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.text import counted

AFTERLIFE = 10
"""How many steps daemon threads may make when the other threads have ended, and Python ends. Some,
because they may not be stopped at once; few, because some of them never end."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The schedules to run: those with at most this many of each. None means no bound."""

    preemptions: int | None = None
    timeouts: int | None = None
    """Early timeouts, which fire while another thread can run. Other timeouts cost nothing."""
    steps: int | None = None
    delays: int | None = None
    """How often the next thread in turn is passed over: only for the strategy `delay`."""

    def __str__(self) -> str:
        parts = []
        if self.preemptions is not None:
            parts.append(counted(self.preemptions, "preemption"))
        if self.timeouts is not None:
            parts.append(counted(self.timeouts, "early timeout"))
        if self.delays is not None:
            parts.append(counted(self.delays, "delay"))
        return f"at most {' and '.join(parts)}" if parts else "no bound"


class Step:
    """A task and one of its options. On the path, it also holds the untried alternatives.

    Every choice of every schedule creates some, so `__init__` sets only a few attributes.
    """

    __slots__ = (
        "available",
        "before",
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
    """The key of the object that the step uses; 0 for none."""
    available: bool
    """Whether a thread that waits for this object could continue."""
    number: int
    before: Step | None
    """The step before it on the path, for a search that goes back to what it skipped."""
    left: list[Step]
    """The alternatives that have not been tried yet."""
    preemptions_before: int
    early_before: int
    undo: Any

    def __init__(self, task: Task, option: int) -> None:
        self.task = task
        self.option = option
        self.op: Op = task.op  # type: ignore[assignment]  # a task with options has one
        self.preempts = 0
        self.early = 0

    def identify(self) -> None:
        """Set `key` and `available`, for a search that needs them."""
        task = self.task
        target = task.target if not self.option or task.other is None else task.other
        # Without a target, the step uses no shared object, and `other` only describes it.
        self.key = 0 if target is None or task.target is None else target.explorer_key
        self.available = not isinstance(target, primitives.Primitive) or target.explorer_available()

    def unbounded(self, left: list[Step]) -> Step:
        """Return this step, ready for the path of a search without a bound."""
        self.left = left
        self.preemptions_before = self.early_before = 0
        return self

    def after(self, before: Step | None, left: list[Step]) -> Step:
        """Return this step, ready for the path of a search with a bound, behind its last step."""
        self.left = left
        if before is None:
            self.preemptions_before = self.early_before = 0
        else:
            self.preemptions_before = before.preemptions_before + before.preempts
            self.early_before = before.early_before + before.early
        return self

    def instead_of(self, step: Step) -> Step:
        """Return this step, ready to replace `step` on the path."""
        self.left = step.left
        self.preemptions_before = step.preemptions_before
        self.early_before = step.early_before
        return self


class Strategy(ABC):
    """Chooses the next step of a schedule, and whether there is another schedule.

    A strategy of your own needs one method:

        class Newest(Strategy):
            def choose(self, choices):
                return max(choices, key=lambda choice: choice.task.index)

        explore(scenario, strategy=Newest, schedules=1)

    `explore` calls `strategy(scheduler, bound, seed)`, and then `begin` before each schedule,
    `choose` for each step, and `advance` after each schedule. What a strategy chooses may depend on
    `random` and on earlier schedules, but not on anything outside.
    """

    exhaustive = False
    """Whether `advance` says False only when every schedule within the bound has been run, or one
    like it. If not, the verdict is never `ok`."""

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        self.scheduler = scheduler
        self.bound = bound
        self.seed = seed
        self.number = 0
        """The number of the present schedule, which differs in parallel searches."""
        self.stride = 1
        """How far apart the numbers are."""
        self.random = random.Random()
        """Random numbers that depend only on the seed and on the number of the schedule."""
        self.path: list[Step] = []
        self.fixed = 0
        """How many steps of the path are given; the search decides the later ones."""
        self.exhausted = False
        """Whether `advance` has said that there is no other schedule."""
        self.cut = False
        """Whether the latest schedule was stopped early, because it could reach nothing new."""
        self.over = ""
        """Which thread was still running when the latest schedule reached the limit of steps."""
        self.ending: Ending | None = None
        """How the latest schedule ended, if no thread could continue."""
        self.diverged = ""
        """How a thread deviated from the given path; empty if none did."""
        self.hidden: list[Step] | None = None
        """The choices at the latest place that the bound on preemptions excludes, if any."""
        self.wants_hidden = True
        """Whether `choices` must find those, too."""
        self._max_preemptions = bound.preemptions
        self._max_early = bound.timeouts
        self._max_steps = bound.steps

    def begin(self) -> None:
        """Start another schedule, from its first step; called before each schedule."""
        self.path.clear()
        self.fixed = 0
        self.forget()
        self.random.seed(self.seed << 40 | self.number)
        self.number += self.stride

    def forget(self) -> None:
        """Forget the results of the schedule before."""
        self.cut = False
        self.over = ""
        self.ending = None

    @abstractmethod
    def choose(self, choices: list[Step]) -> Step:
        """One of the choices, which are not empty. All of them are within the bound.

        A choice is a `task`, which is a thread, with one of the `option`s of its operation `op`.
        Those of the thread that made the last step come last, and timeouts first.
        """

    def advance(self) -> bool:
        """Whether there is another schedule. By default, there always is."""
        return True

    def decide(self) -> Task | None:
        """Follow the given path, and beyond it choose."""
        scheduler = self.scheduler
        depth = scheduler.depth
        if depth < self.fixed:
            if scheduler.also:  # what a search records of the given path is recorded already
                scheduler.also.clear()
            if scheduler.rescued:
                scheduler.rescued.clear()
            step = self.path[depth]
            task = step.task
            if task.op is not step.op or step.option not in step.op.options(task):
                self.diverged = f"The scenario is not deterministic: {_divergence(task, step)}."
                return None
        else:
            new = self._new_step()
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

    def _new_step(self) -> Step | None:
        """The choice at a new place; None at the end of a schedule."""
        choices = self.choices()
        if not choices:
            return None
        step = self.choose(choices)
        if step not in choices:
            raise ValueError(f"{type(self).__name__}.choose must return one of its choices.")
        return step.after(self.path[-1] if self.path else None, [])

    def choices(self) -> list[Step]:
        """All choices within the bound; the one to try first comes last."""
        scheduler = self.scheduler
        depth = scheduler.depth
        if depth >= scheduler.limit and (over := limit_reached(scheduler, self.path)):
            self.over = f"{over}. Steps by thread: {busiest(scheduler, self.path)}"
            return []
        if not scheduler.living and depth >= scheduler.end + AFTERLIFE:
            return []
        path = self.path
        self.hidden = None
        if scheduler.only is not None:
            task = scheduler.only
            return [Step(task, option) for option in primitives.CHOOSE.options(task)]
        before = path[-1] if path else None
        last = before.task if before is not None else None
        may_preempt = (
            before is None
            or self._max_preemptions is None
            or before.preemptions_before + before.preempts < self._max_preemptions
        )
        mine: list[Step] = []
        if not (may_preempt or self.wants_hidden) and scheduler.spinning is None:
            assert last is not None
            op = last.op
            if op is not None:
                for option in op.options(last):
                    if not (option and op.fires):
                        mine.append(Step(last, option))
                if mine:
                    return mine
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
        if scheduler.spinning is not None and scheduler.spinning.awake(mine, others, timeouts):
            self.ending = Ending(scheduler)
            return []
        if timeouts and scheduler.living:
            if scheduler.ordered:
                timeouts = _first(scheduler, timeouts)
            others = self._with_timeouts(timeouts, others, bool(mine or others))
        if mine:
            if not others:
                return mine
            if not may_preempt:
                self.hidden = others
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
            if self._max_early is not None and early >= self._max_early:
                return others
            for choice in timeouts:
                choice.early = 1
        return timeouts + others


def of_one_thread(choices: list[Step], task: Task) -> list[Step]:
    """The choices of this thread."""
    return [choice for choice in choices if choice.task is task]


def tasks_of(choices: list[Step]) -> list[Task]:
    """The threads that have a choice, each once, in order of the choices."""
    return list(dict.fromkeys(choice.task for choice in choices))


def _first(scheduler: Scheduler, timeouts: list[Step]) -> list[Step]:
    """Those timeouts that are due first."""
    if scheduler.spinning is None:
        due = [choice.task.due for choice in timeouts]
    else:
        due = [scheduler.spinning.due(choice.task) for choice in timeouts]
    first = min(due)
    return [choice for choice, when in zip(timeouts, due, strict=True) if when == first]


def _divergence(task: Task, choice: Step) -> str:
    expected = choice.op.phrase(choice.option, "an object")
    if task.op is None:
        return (
            f"thread {task.label or task.index} has ended or not started, but in an earlier run of "
            f"the same schedule it was about to {expected}"
        )
    if task.op is choice.op:
        return (
            f"{here(task)} cannot {expected}, but in an earlier run of the same schedule it could"
        )
    now = described(task, 0)
    return (
        f"{here(task)} is about to {now}, but in an earlier run of the same schedule it was about "
        f"to {expected}"
    )
