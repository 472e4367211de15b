"""Records which steps of a run depend on which: this order must stay if their effects are to stay.

A step depends on an earlier one if they belong to one thread, if the earlier one started or woke
the thread of the later one, or if both use one object and one of them changes it; and it depends on
whatever that step depends on (Lamport's happens-before, CACM 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

from bankkit.explorer.engine.scheduler import WRITE, Op, Scheduler, Task
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step


@dataclass(slots=True)
class StepRecord:
    """A step that was made. A set of steps is an integer in which bit i stands for step i."""

    thread: int
    """The key of its thread, which is the same in schedules that differ in their order."""
    label: str
    op: Op
    option: int
    options: tuple[int, ...]
    """The options that it had."""
    target: int
    """The key of its object; 0 for none."""
    woken: str
    """Which threads it wakes, if it had a choice."""
    accesses: list[tuple[int, int]]
    """The objects that it uses, by key, and for each READ or WRITE."""
    before: int
    """The steps that the thread's place depends on, whichever step it makes there."""
    past: int
    """The steps that it depends on, and itself."""

    def conflicts(self, other: StepRecord) -> bool:
        """Whether both use one object and one of them changes it."""
        return any(
            key == its_key and WRITE in (mode, its_mode)
            for key, mode in self.accesses
            for its_key, its_mode in other.accesses
        )

    def is_like(self, other: StepRecord) -> bool:
        """Whether both do the same to the same object. The results may differ."""
        return self.op is other.op and self.target == other.target


class Recorder(DepthFirst):
    """Runs the schedules that `pick` chooses step by step, and records each."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler, Bound())
        self.records: list[StepRecord] = []
        """The steps of the present run so far."""
        self._users: dict[int, list[tuple[int, int]]] = {}
        """The steps that have used each object, and how."""
        self._latest: dict[int, int] = {}
        """The past of each thread's latest step."""

    def begin(self) -> None:
        """Start another record."""
        super().begin()
        self.path.clear()
        self.records = []
        self._users = {}
        self._latest = {}

    def pick(self, choices: list[Step]) -> Step | None:
        """The step to make; None ends the run."""
        return choices[-1]

    def complete(self) -> None:
        """StepRecord what the latest step did beside its operation; called when it is over."""
        also = self.scheduler.also
        if self.records:
            for key, mode, _ in also:
                self._touch(key, mode)
        also.clear()

    def _new_step(self) -> Step | None:
        self.complete()
        choices = self.choices()
        choice = self.pick(choices) if choices else None
        if choice is None:
            return None
        self._record(choice)
        return choice.unbounded([])

    def _record(self, choice: Step) -> None:
        choice.identify()
        task, op = choice.task, choice.op
        before = self._latest.get(task.key, 0)
        for number in task.past:
            if number >= 0:
                before |= self.records[number].past
        options = tuple(op.options(task))
        record = StepRecord(
            thread=task.key,
            label=task.label,
            op=op,
            option=choice.option,
            options=options,
            target=0 if task.target is None else task.target.explorer_key,
            woken=_woken(task, choice.option) if len(options) > 1 else "",
            accesses=[],
            before=before,
            past=before | 1 << len(self.records),
        )
        self.records.append(record)
        self._latest[task.key] = record.past
        if choice.key:
            self._touch(choice.key, op.mode(choice.option))

    def _touch(self, key: int, mode: int) -> None:
        """StepRecord that the latest step uses this object."""
        record = self.records[-1]
        users = self._users.setdefault(key, [])
        for number, its_mode in users:
            if WRITE in (mode, its_mode):
                record.past |= self.records[number].past
        users.append((len(self.records) - 1, mode))
        record.accesses.append((key, mode))
        self._latest[record.thread] = record.past


def _woken(task: Task, option: int) -> str:
    if task.op is not primitives.NOTIFY:
        return ""
    group: tuple[Task, ...] = task.target.explorer_groups(task.arg)[option]
    return " and ".join(each.label for each in group)
