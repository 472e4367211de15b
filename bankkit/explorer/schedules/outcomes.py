"""How a schedule ended, and why no thread could continue."""

from __future__ import annotations

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.schedules.history_check import FailedCheck
from bankkit.explorer.schedules.schedule import End, Outcome, Schedule
from bankkit.explorer.source.locations import described, name, stack
from bankkit.explorer.stand_ins import primitives, threads


class Ending:
    """How a schedule ended. It must be created while the blocked threads still exist."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.kind: End = "ended"
        self.text = "every thread ran to its end."
        self.waiting: dict[str, str] = {}
        self.error: BaseException | None = None
        self.history = ""
        if scheduler.failure is not None:
            task, error = scheduler.failure
            self.error = error
            if isinstance(error, FailedCheck):
                self.kind, self.history = "failed check", error.diagram
                self.text = error.reason.partition("\n")[0]
                return
            self.kind = "failed assertion" if isinstance(error, AssertionError) else "exception"
            try:
                message = str(error).strip().partition("\n")[0]
            except Exception:  # its `__str__` has a bug, too
                message = ""
            self.text = f"{task.label}: {type(error).__name__}{': ' if message else ''}{message}"
            return
        blocked = [task for task in scheduler.tasks if not task.done]
        if all(task.daemon for task in blocked):
            return
        spinning = scheduler.spinning
        repeat = {task: spinning.repeats(task) for task in blocked} if spinning is not None else {}
        repeat = {task: words for task, words in repeat.items() if words}
        self.waiting = {task.label: repeat.get(task) or waits(task) for task in blocked}
        still = [task for task in blocked if task not in repeat]
        self.text = _deadlock(still) or _lost_wakeup(still)
        if self.text or not repeat:
            self.kind = "deadlock" if _deadlock(still) else "lost wakeup"
        else:
            self.kind = "livelock"
            self.text = _livelock(repeat)

    def outcome(self, schedule: Schedule) -> Outcome:
        """This ending together with the schedule that led to it."""
        return Outcome(
            self.kind, self.text, schedule, self.waiting, self.error, history=self.history
        )


def waits(task: Task) -> str:
    """Where a blocked task waits, and for what."""
    if task.op is primitives.PAUSE and isinstance(task.target, threads.Thread):
        return f"waits for {name(task.target)} to end"
    what = described(task, 0)
    if task.op is primitives.WAKE and not task.notified:
        what = f"a notification of {name(task.arg)}"
    calls = stack(task)
    if not calls:  # its target is the method of a primitive
        return f"waits {f'to {what}'.replace('to wait for', 'for')}"
    return f"waits at {calls[0]} to {what}".replace("to a notification", "for a notification")


def _holder(task: Task) -> Task | None:
    """The task that this one waits for, if any: the owner of a lock, or the thread it joins."""
    if task.op is primitives.PAUSE and isinstance(task.target, threads.Thread):
        return task.target.explorer_task
    needs_notification = task.op is primitives.WAKE and not task.notified
    if (
        task.op is None
        or needs_notification
        or not isinstance(task.target, primitives.Lock | primitives.RLock)
    ):
        return None
    return task.target.owner


def _deadlock(blocked: list[Task]) -> str:
    """The cycle of threads that wait for each other, or the lock that no thread will release."""
    for task in blocked:
        chain: list[Task] = []
        each: Task | None = task
        while each in blocked and each not in chain:
            chain.append(each)
            each = _holder(each)
        if each is None or not chain or not (each.done or each in chain):
            continue
        if each.done:
            if each is _holder(chain[-1]) and isinstance(
                chain[-1].target, primitives.Lock | primitives.RLock
            ):
                return (
                    f"{chain[-1].label} waits for {name(chain[-1].target)}, which {each.label} "
                    f"acquired and did not release before it ended."
                )
            continue
        cycle = chain[chain.index(each) :]
        if len(cycle) == 1:
            return f"{each.label} waits for {name(each.target)}, which it holds itself."
        parts = [
            f"{one.label} waits for {name(one.target)}, held by {other.label}"
            if not isinstance(one.target, threads.Thread)
            else f"{one.label} waits for {other.label} to end"
            for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        ]
        return f"a cycle: {'; '.join(parts)}."
    return ""


def _livelock(repeat: dict[Task, str]) -> str:
    """A sentence about the threads that run forever."""
    parts = [f"{task.label} {words}" for task, words in repeat.items()]
    whom = "no other thread" if len(parts) == 1 else "none of them"
    return f"{'; '.join(parts)}. That goes on forever: {whom} changes what it waits for."


def _lost_wakeup(blocked: list[Task]) -> str:
    """A sentence about the tasks that wait to be woken. Tasks that wait for a task are left out."""
    if all(_holder(task) is not None for task in blocked):
        return ""
    waiters = [task for task in blocked if _holder(task) is None]
    parts = [f"{task.label} {waits(task)}" for task in waiters]
    whom = "it" if len(waiters) == 1 else "them"
    return f"{'; '.join(parts)}; no thread is left to wake {whom}."
