"""How a schedule ended, and why nobody can go on where nobody can."""

from __future__ import annotations

from bankkit.explorer import primitives
from bankkit.explorer.locations import described, here, name
from bankkit.explorer.schedule import End, Outcome, Schedule
from bankkit.explorer.scheduler import Scheduler, Task


class Ending:
    """What can be told of an end only while the threads that did not end are still there."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.kind: End = "ended"
        self.text = "every thread ran to its end."
        self.waiting: dict[str, str] = {}
        self.error: BaseException | None = None
        if scheduler.failure is not None:
            task, error = scheduler.failure
            self.error = error
            self.kind = "failed assertion" if isinstance(error, AssertionError) else "exception"
            message = str(error).strip().partition("\n")[0]
            self.text = f"{task.label}: {type(error).__name__}{': ' if message else ''}{message}"
            return
        blocked = [task for task in scheduler.tasks if not task.done]
        if all(task.daemon for task in blocked):
            return
        self.waiting = {task.label: waits(task) for task in blocked}
        locks = _stuck_at_locks(scheduler)
        self.kind = "deadlock" if locks else "lost wakeup"
        self.text = locks or _nobody_wakes(scheduler, blocked)

    def outcome(self, schedule: Schedule) -> Outcome:
        return Outcome(self.kind, self.text, schedule, self.waiting, self.error)


def waits(task: Task) -> str:
    """Where a blocked task waits, and for what."""
    if task.op is primitives.PAUSE and isinstance(task.target, primitives.Thread):
        return f"waits for {name(task.target)} to end"
    what = described(task, 0)
    if task.op is primitives.WAKE and not task.notified:
        what = f"a notification of {name(task.arg)}"
    return f"waits at {here(task).partition(' at ')[2].partition(' ')[0]} to {what}".replace(
        "to a notification", "for a notification"
    )


def _holder(task: Task) -> Task | None:
    """Whom the task waits for, where that is somebody: a lock's owner, the thread it joins."""
    if task.op is primitives.PAUSE and isinstance(task.target, primitives.Thread):
        return task.target.task
    waits_to_be_told = task.op is primitives.WAKE and not task.notified
    if (
        task.op is None
        or waits_to_be_told
        or not isinstance(task.target, primitives.Lock | primitives.RLock)
    ):
        return None
    return task.target.owner


def _stuck_at_locks(scheduler: Scheduler) -> str:
    """The circle of threads that wait for each other, or the lock that nobody will release."""
    for task in scheduler.tasks:
        chain: list[Task] = []
        each: Task | None = task
        while each is not None and not each.done and each not in chain:
            chain.append(each)
            each = _holder(each)
        if each is None or not chain:
            continue
        if each.done:
            if each is _holder(chain[-1]) and isinstance(
                chain[-1].target, primitives.Lock | primitives.RLock
            ):
                return (
                    f"{chain[-1].label} waits for {name(chain[-1].target)}, which {each.label} has "
                    f"acquired and not released before it ended."
                )
            continue
        circle = chain[chain.index(each) :]
        if len(circle) == 1:
            return f"{each.label} waits for {name(each.target)}, which it holds itself."
        parts = [
            f"{one.label} waits for {name(one.target)}, held by {other.label}"
            if not isinstance(one.target, primitives.Thread)
            else f"{one.label} waits for {other.label} to end"
            for one, other in zip(circle, [*circle[1:], circle[0]], strict=True)
        ]
        return f"a circle: {'; '.join(parts)}."
    return ""


def _nobody_wakes(scheduler: Scheduler, blocked: list[Task]) -> str:
    """Those who wait for a sign, and not just for one who does."""
    waiters = [task for task in blocked if _holder(task) is None]
    parts = [f"{task.label} {waits(task)}" for task in waiters]
    whom = "it" if len(waiters) == 1 else "them"
    return f"{'; '.join(parts)}; and nobody is left who would wake {whom}."
