"""Counts how often a waiting thread is overtaken: another asks later and gets the lock first.

A thread waits for a lock or a condition from the moment at which it is blocked there. A lock that a
program builds from others has no operation of its own, so the program says where a thread waits::

    with threading.waiting("the lock"):
        lock.acquire_write()

Then a thread waits from its first wait in the block, other than for a mutex that another thread
holds, to the end of the block. What it does to the primitives in there does not count by itself.

If the thread could continue but has not run yet, it may have got the lock already. So whoever
passes then counts only if the thread has to wait again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.schedules.schedule import Move, Schedule
from bankkit.explorer.source.locations import name
from bankkit.explorer.stand_ins import primitives, queues

if TYPE_CHECKING:
    from bankkit.explorer.running.replay_run import Given
    from bankkit.explorer.strategies.strategy import Strategy

_ASKS = frozenset({
    primitives.ACQUIRE, primitives.ACQUIRE_TIMED, primitives.WAKE, primitives.WAKE_TIMED,
    primitives.TAKE, primitives.TAKE_TIMED, queues.GET, queues.GET_TIMED,
})  # fmt: skip
"""Operations that wait; option 0 gets what they wait for."""
_TRIES = frozenset({primitives.TRY, primitives.TRY_TAKE, queues.TRY_GET})
_WAKES = primitives.WAKE, primitives.WAKE_TIMED

Key = int | str
"""An object's key, or the name of a `waiting` block."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The worst schedule for the threads that wait for one lock or condition."""

    lock: str
    """What the program calls it, or the name of the `waiting` block."""
    thread: str
    """The thread that waited."""
    times: int
    """How often another thread asked later and got it first."""
    by: dict[str, int]
    """How often each other thread did so, the most frequent first."""
    schedule: Schedule = field(repr=False)
    """A schedule that shows it, to be replayed."""

    def __str__(self) -> str:
        whom = [f"by {thread} {_times(number)}" for thread, number in self.by.items()]
        every = f" {_times(self.times)}" if len(whom) != 1 else ""
        return f"{self.thread} waits for {self.lock} and is overtaken{every} ({', '.join(whom)})"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


class _Wait:
    """A thread that asks for something until it gets it."""

    __slots__ = (
        "after",
        "asked",
        "by",
        "in_block",
        "last",
        "provisional",
        "since",
        "task",
        "thing",
    )

    def __init__(self, task: Task, thing: Any, asked: int, *, in_block: bool) -> None:
        self.task = task
        self.thing = thing
        self.asked = asked
        self.in_block = in_block
        self.last = task.last
        """The thread's last step before it asked; a primitive is asked by one operation."""
        self.since = -1
        """When it began to wait; -1 as long as it has not."""
        self.by: Counter[int] = Counter()
        """How often each thread has overtaken it."""
        self.provisional: Counter[int] = Counter()
        """The same, for the time in which it may have got what it waits for."""

    def look(self, moment: int) -> None:
        """Notice whether the thread waits now."""
        if self._is_blocked():
            self.since = moment if self.since < 0 else self.since
            self.by += self.provisional
            self.provisional.clear()

    def is_passed_by(self, other: _Wait) -> None:
        """Another thread gets what this one asks for."""
        if 0 <= self.since < other.asked:
            by = self.by if self._is_blocked() else self.provisional
            by[other.task.index] += 1

    def _is_blocked(self) -> bool:
        task = self.task
        op = task.op
        if task.done or op is None:
            return False
        if any(not (option and op.fires) for option in op.options(task)):
            return False
        is_mutex = (
            self.in_block
            and isinstance(task.target, primitives.Lock | primitives.RLock)
            and task.target.owner not in (None, task)
            and (op not in _WAKES or task.notified)
        )
        return not is_mutex


class Overtaking:
    """Watches the schedules of a search and remembers the worst for each lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        scheduler.overtaking = self
        scheduler.watchers.append(self)
        self.worst: dict[Key, tuple[int, Schedule]] = {}
        """How often a thread was overtaken at most, by lock, and a schedule that shows it."""
        self.latest: dict[Key, _Wait] = {}
        """The worst wait for each thing in the schedule that has just ended."""
        self._in_schedule: dict[Key, _Wait] = {}
        self._waits: dict[Key, dict[int, _Wait]] = {}
        """By thing and thread: the waits of the threads that ask for it."""
        self.begin(scheduler.decide)

    def begin(self, decide: Callable[[], Task | None]) -> Callable[[], Task | None]:
        """Forget the waits of the schedule before; return what decides in the next one."""
        for key, waits in self._waits.items():
            for wait in waits.values():
                self._consider(key, wait)
        self.latest, self._in_schedule = self._in_schedule, {}
        self._moment = 0
        self._waits = {}
        self._asks: dict[int, tuple[Key, _Wait]] = {}
        """What each thread asks for by an operation."""
        self._blocks: dict[int, str] = {}
        """The `waiting` blocks that threads are in."""

        def decide_and_watch() -> Task | None:
            self._look()
            task = decide()
            if task is not None:
                self._goes_on(task)
            return task

        return decide_and_watch

    # Blocks.

    def enter(self, block: str) -> bool:
        """The present thread enters a block; whether that counts."""
        task = self._scheduler.current
        if task.index in self._blocks:
            return False
        self._blocks[task.index] = block
        self._moment += 1
        self._waits.setdefault(block, {})[task.index] = _Wait(
            task, block, self._moment, in_block=True
        )
        return True

    def leave(self, *, has_got_it: bool) -> None:
        """The present thread leaves its block; an exception means that it got nothing."""
        index = self._scheduler.current.index
        block = self._blocks.pop(index)
        self._ends(block, self._waits[block].pop(index), has_got_it)

    # Operations.

    def _look(self) -> None:
        self._moment += 1
        for task in self._scheduler.tasks:
            index = task.index
            if task.op in _ASKS and index not in self._blocks:
                known = self._asks.get(index)
                if known is None or known[1].last != task.last:
                    self._ask(task)
        for waits in self._waits.values():
            for wait in waits.values():
                wait.look(self._moment)

    def _ask(self, task: Task) -> _Wait:
        thing = task.arg if task.op in _WAKES else task.target
        wait = _Wait(task, thing, self._moment, in_block=False)
        self._asks[task.index] = thing.explorer_key, wait
        self._waits.setdefault(thing.explorer_key, {})[task.index] = wait
        return wait

    def _goes_on(self, task: Task) -> None:
        if task.index in self._blocks:
            return
        if task.op in _TRIES and not task.option:
            self._ask(task)
        asked = self._asks.pop(task.index, None)
        if asked is not None:
            key, wait = asked
            del self._waits[key][task.index]
            self._ends(key, wait, not task.option)

    def _ends(self, key: Key, wait: _Wait, has_got_it: bool) -> None:
        if has_got_it:
            for other in self._waits[key].values():
                other.is_passed_by(wait)
        self._consider(key, wait)

    def _consider(self, key: Key, wait: _Wait) -> None:
        worst = self._in_schedule.get(key)
        if wait.by and (worst is None or wait.by.total() > worst.by.total()):
            self._in_schedule[key] = wait

    # Results.

    def observe(self, search: Strategy) -> None:
        """Compare the schedule that has just run with those before."""
        schedule: Schedule | None = None
        for key, wait in self.latest.items():
            times = wait.by.total()
            if times > self.worst.get(key, (0, None))[0]:
                if schedule is None:
                    schedule = Schedule(
                        tuple(
                            [
                                Move(step.task.label, step.option, "", preempts=bool(step.preempts))
                                for step in search.path
                            ]
                        ),
                        tuple([task.label for task in self._scheduler.tasks]),
                    )
                self.worst[key] = times, schedule


def show(given: Given, key: Key) -> Overtaken:
    """How often a thread is overtaken in a schedule that has just been replayed, with names."""
    scheduler = given.scheduler
    wait = scheduler.overtaking.latest[key]
    labels = [task.label for task in scheduler.tasks]
    by = {labels[index]: number for index, number in wait.by.most_common()}
    lock = wait.thing if isinstance(wait.thing, str) else name(wait.thing)
    schedule = Schedule(tuple(given.made), tuple(labels))
    return Overtaken(lock, labels[wait.task.index], wait.by.total(), by, schedule)
