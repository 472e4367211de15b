"""A stand-in for the module `threading`, whose every operation is a step of the scheduler.

It promises what the real module promises, and refuses misuse with the same errors. Where the real
one leaves something open (who gets a lock that was released, which waiter `notify` wakes, whether a
timeout fires before the lock is released), the scheduler chooses.
"""

from __future__ import annotations

import itertools
import math
import threading as real
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar

from bankkit.explorer.scheduler import READ, WRITE, Op, Scheduler, Task

NO, YES, OTHERWISE = (), (0,), (1,)
"""What an operation can do now: nothing, what it is for, or what it does instead."""

_codes = itertools.count(1)


def _op(*words: str, **settings: Any) -> Op:
    return Op(next(_codes), words, **settings)


def _always(task: Task) -> tuple[int, ...]:
    return YES


def _never(task: Task) -> tuple[int, ...]:
    return NO


def _timeout_only(task: Task) -> tuple[int, ...]:
    return OTHERWISE


def _if_free(task: Task) -> tuple[int, ...]:
    return YES if task.target.owner is None else NO


def _if_free_or_not(task: Task) -> tuple[int, ...]:
    return YES if task.target.owner is None else OTHERWISE


def _if_told_and_free(task: Task) -> tuple[int, ...]:
    return YES if task.notified and task.target.owner is None else NO


def _if_told_and_free_or_not_told(task: Task) -> tuple[int, ...]:
    return _if_told_and_free(task) if task.notified else OTHERWISE


def _if_any_left(task: Task) -> tuple[int, ...]:
    return YES if task.target.value else NO


def _if_any_left_or_not(task: Task) -> tuple[int, ...]:
    return YES if task.target.value else OTHERWISE


def _as_many_as_it_says(task: Task) -> range:
    return range(task.arg - 1, -1, -1)


# What stands for what a thread does with an object of its own that nobody else can notice.
STEP = _op("{}", options=_always, modes=(READ,))

ACQUIRE = _op("acquire {}", options=_if_free, waits=True)
TRY = _op("try {}: taken", "try {}: refused", options=_if_free_or_not, modes=(WRITE, READ))
ACQUIRE_TIMED = _op(
    "acquire {}", "acquire {}: timed out",
    options=_if_free_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
RELEASE = _op("release {}", options=_always)
LOCKED = _op("look whether {} is locked", options=_always, modes=(READ,))

WAIT = _op("wait on {}", options=_always)
WAKE = _op("wake up on {}", options=_if_told_and_free, waits=True)
WAKE_TIMED = _op(
    "wake up on {}", "wait on {}: timed out",
    options=_if_told_and_free_or_not_told, modes=(WRITE, READ), fires=True,
)  # fmt: skip
NOTIFY = _op("notify {}", options=_as_many_as_it_says)
NOTIFY_ALL = _op("notify all on {}", options=_always)

TAKE = _op("acquire {}", options=_if_any_left, waits=True)
TRY_TAKE = _op("try {}: taken", "try {}: refused", options=_if_any_left_or_not, modes=(WRITE, READ))
TAKE_TIMED = _op(
    "acquire {}", "acquire {}: timed out",
    options=_if_any_left_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
GIVE = _op("release {}", options=_always)

SET = _op("set {}", options=_always)
CLEAR = _op("clear {}", options=_always)
IS_SET = _op("look whether {} is set", options=_always, modes=(READ,))
AWAIT = _op("wait for {}", options=_always, modes=(READ,))
ARRIVE = _op("arrive at {}", options=lambda task: NO if task.target.acting else YES)
BREAK = _op("break {}", options=_always)
PAUSE = _op("wait for {}", options=_never)
PAUSE_TIMED = _op(
    "wait for {}", "wait for {}: timed out",
    options=_timeout_only, modes=(READ, READ), fires=True,
)  # fmt: skip
PAUSE_AT_BARRIER = _op(
    "wait for {}", "wait for {}: timed out, and break it",
    options=_timeout_only, modes=(READ, WRITE), fires=True,
)  # fmt: skip
JOIN_TIMED = _op(
    "join {}", "join {}: timed out",
    options=lambda task: YES if task.target.is_done() else OTHERWISE,
    modes=(READ, READ), fires=True,
)  # fmt: skip
IS_ALIVE = _op("look whether {} is alive", options=_always, modes=(READ,))
SLEEP = _op("sleep", options=_always, modes=(READ,))
LOAD = _op("read {}", options=_always, modes=(READ,))
STORE = _op("write {}", options=_always)
CALL = _op("call {}", options=_always)
CHOOSE = _op("choose {}", options=_as_many_as_it_says)
LINE = _op("line {}", options=_always)


class Primitive:
    """Belongs to the scheduler of its class: each scheduler gets a family of subclasses."""

    __slots__ = ("key", "name_in_code", "now")
    _scheduler: ClassVar[Scheduler]
    key: int
    now: float

    def __init__(self) -> None:
        self._scheduler.register(self)

    def is_available(self) -> bool:
        """Whether an operation that waits for this object could be done now."""
        return True


class Held(Primitive):
    """What is released where its `with` block ends."""

    __slots__ = ()
    release: Callable[..., None]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Lock(Held):
    __slots__ = ("owner",)

    def __init__(self) -> None:
        self.owner: Task | None = None
        """Who has acquired it, which anybody may release."""
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        if blocking and timeout == -1:
            scheduler.point(ACQUIRE, self)
        elif not _timed(blocking, timeout):
            if scheduler.point(TRY, self):
                return False
        elif scheduler.point(ACQUIRE_TIMED, self):
            scheduler.let_time_pass(timeout)
            return False
        self.owner = scheduler.current
        return True

    def release(self) -> None:
        self._scheduler.point(RELEASE, self)
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None

    def locked(self) -> bool:
        self._scheduler.point(LOCKED, self)
        return self.owner is not None

    def __enter__(self) -> bool:
        scheduler = self._scheduler
        scheduler.point(ACQUIRE, self)
        self.owner = scheduler.current
        return True

    def is_available(self) -> bool:
        return self.owner is None

    # What a Condition needs of its lock.

    def is_mine(self) -> bool:
        return self.owner is not None

    def give_up(self) -> int:
        self.owner = None
        return 1

    def take_back(self, count: int) -> None:
        self.owner = self._scheduler.current


class RLock(Held):
    __slots__ = ("count", "owner")

    def __init__(self) -> None:
        self.owner: Task | None = None
        self.count = 0
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        if self.owner is scheduler.current:  # nobody else can tell, nor change that
            _timed(blocking, timeout)
            scheduler.point(STEP, None, "acquire {} again", self)
            self.count += 1
            return True
        if blocking and timeout == -1:
            scheduler.point(ACQUIRE, self)
        elif not _timed(blocking, timeout):
            if scheduler.point(TRY, self):
                return False
        elif scheduler.point(ACQUIRE_TIMED, self):
            scheduler.let_time_pass(timeout)
            return False
        self.owner = scheduler.current
        self.count = 1
        return True

    def release(self) -> None:
        scheduler = self._scheduler
        if self.owner is not scheduler.current:
            raise RuntimeError("cannot release un-acquired lock")
        if self.count > 1:
            scheduler.point(STEP, None, "release {} once", self)
            self.count -= 1
            return
        scheduler.point(RELEASE, self)
        self.count = 0
        self.owner = None

    def __enter__(self) -> bool:
        return self.acquire()

    def is_available(self) -> bool:
        return self.owner is None

    def is_mine(self) -> bool:
        return self.owner is self._scheduler.current

    def give_up(self) -> int:
        count, self.count, self.owner = self.count, 0, None
        return count

    def take_back(self, count: int) -> None:
        self.owner = self._scheduler.current
        self.count = count


class Condition(Held):
    """As CPython's: a waiter whose timeout has fired stays in line until it has the lock again.

    So `notify` may wake one that no longer waits, and the notification is lost to the others.
    """

    __slots__ = ("_lock", "_waiters", "acquire", "release")

    def __init__(self, lock: Any = None) -> None:
        scheduler = self._scheduler
        if lock is None:
            lock = scheduler.family["RLock"]()
        elif not isinstance(lock, Lock | RLock):
            raise TypeError(
                f"A controlled Condition needs a controlled Lock or RLock, not {lock!r}."
            )
        self._lock: Lock | RLock = lock
        self._waiters: list[Task] = []
        self.acquire = lock.acquire
        self.release = lock.release
        scheduler.register(self)

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._lock.is_mine():
            raise RuntimeError("cannot wait on un-acquired lock")
        scheduler = self._scheduler
        me = scheduler.current
        lock = self._lock
        scheduler.point(WAIT, lock, self)
        count = lock.give_up()
        self._waiters.append(me)
        me.notified = False
        if timeout is None:
            scheduler.point(WAKE, lock, self)
            lock.take_back(count)
            return True
        if timeout > 0 and scheduler.point(WAKE_TIMED, lock, self, self) == 0:
            lock.take_back(count)
            return True
        scheduler.let_time_pass(timeout)
        scheduler.point(ACQUIRE, lock)
        lock.take_back(count)
        if me in self._waiters:
            self._waiters.remove(me)
        return False

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        me = self._scheduler.current
        end = math.inf if timeout is None else me.now + timeout
        result = predicate()
        while not result:
            if timeout is not None and end - me.now <= 0:
                break
            self.wait(None if timeout is None else end - me.now)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        if not self._lock.is_mine():
            raise RuntimeError("cannot notify on un-acquired lock")
        # Who waits can only change by what is done under the lock, which this thread holds.
        groups = list(itertools.combinations(self._waiters, min(n, len(self._waiters))))
        chosen = groups[self._scheduler.point(NOTIFY, self, len(groups))]
        for task in chosen:
            self._waiters.remove(task)
            self._wake(task)

    def notify_all(self) -> None:
        if not self._lock.is_mine():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._scheduler.point(NOTIFY_ALL, self)
        for task in self._waiters:
            self._wake(task)
        self._waiters.clear()

    def _wake(self, task: Task) -> None:
        if task.op is WAKE or task.op is WAKE_TIMED:  # else its time is up, and it will not listen
            self._scheduler.tell(task)

    notifyAll = notify_all  # as the real one still calls it too


class Semaphore(Held):
    __slots__ = ("value",)

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self.value = value
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        scheduler = self._scheduler
        if blocking and timeout is None:
            scheduler.point(TAKE, self)
        elif not blocking or timeout is None or timeout <= 0:
            if scheduler.point(TRY_TAKE, self):
                return False
        elif scheduler.point(TAKE_TIMED, self):
            scheduler.let_time_pass(timeout)
            return False
        self.value -= 1
        return True

    def release(self, n: int = 1) -> None:
        if n < 1:
            raise ValueError("n must be one or more")
        self._scheduler.point(GIVE, self)
        self.value += n

    def __enter__(self) -> bool:
        return self.acquire()

    def is_available(self) -> bool:
        return self.value > 0


class BoundedSemaphore(Semaphore):
    __slots__ = ("_bound",)

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._bound = value

    def release(self, n: int = 1) -> None:
        if n < 1:
            raise ValueError("n must be one or more")
        self._scheduler.point(GIVE, self)
        if self.value + n > self._bound:
            raise ValueError("Semaphore released too many times")
        self.value += n


class Event(Primitive):
    """As CPython's: whoever waits when it is set goes on, even if it is cleared right after."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: list[Task] = []
        self._scheduler.register(self)

    def is_set(self) -> bool:
        self._scheduler.point(IS_SET, self)
        return self._set

    isSet = is_set  # as the real one still calls it too

    def set(self) -> None:
        self._scheduler.point(SET, self)
        self._set = True
        for task in self._waiters:
            self._scheduler.let_go(task)
        self._waiters.clear()

    def clear(self) -> None:
        self._scheduler.point(CLEAR, self)
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        scheduler.point(AWAIT, self)
        if self._set or (timeout is not None and timeout <= 0):
            return self._set
        me = scheduler.current
        self._waiters.append(me)
        if scheduler.pause(PAUSE if timeout is None else PAUSE_TIMED, self):
            self._waiters.remove(me)
            scheduler.let_time_pass(timeout or 0.0)
            return False
        return True


class Barrier(Primitive):
    __slots__ = ("_action", "_broken", "_timeout", "_waiters", "acting", "parties")

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self.parties = parties
        self._action = action
        self._timeout = timeout
        self._broken = False
        self.acting = False
        """The action runs: who arrives now belongs to the next round."""
        self._waiters: list[tuple[Task, list[BaseException]]] = []
        self._scheduler.register(self)

    def wait(self, timeout: float | None = None) -> int:
        scheduler = self._scheduler
        limit = self._timeout if timeout is None else timeout
        scheduler.point(ARRIVE, self)
        if self._broken:
            raise real.BrokenBarrierError
        index = len(self._waiters)
        if index + 1 == self.parties:
            if self._action is not None:
                self.acting = True
                try:
                    self._action()
                except BaseException:
                    self._break()
                    raise
                finally:
                    self.acting = False
            self._let_go(broken=False)
            return index
        refusals: list[BaseException] = []
        me = scheduler.current
        self._waiters.append((me, refusals))
        if scheduler.pause(PAUSE if limit is None else PAUSE_AT_BARRIER, self):
            scheduler.let_time_pass(limit or 0.0)
            self._waiters = [waiter for waiter in self._waiters if waiter[0] is not me]
            self._break()
            raise real.BrokenBarrierError
        if refusals:
            raise refusals[0]
        return index

    def reset(self) -> None:
        self._scheduler.point(BREAK, self)
        self._let_go(broken=True)
        self._broken = False

    def abort(self) -> None:
        self._scheduler.point(BREAK, self)
        self._break()

    @property
    def n_waiting(self) -> int:
        self._scheduler.point(LOAD, self)
        return len(self._waiters)

    @property
    def broken(self) -> bool:
        self._scheduler.point(LOAD, self)
        return self._broken

    def _break(self) -> None:
        self._broken = True
        self._let_go(broken=True)

    def _let_go(self, *, broken: bool) -> None:
        for task, refusals in self._waiters:
            if broken:
                refusals.append(real.BrokenBarrierError())
            self._scheduler.let_go(task)
        self._waiters = []


class Thread(Primitive):
    """A virtual thread. Subclasses may override `run`."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self.name = str(name or getattr(target, "__name__", None) or type(self).__name__)
        self.daemon = self._scheduler.current.daemon if daemon is None else daemon
        self.task: Task | None = None
        self._scheduler.register(self)

    def __repr__(self) -> str:
        return f"<Thread {self.name}>"

    @property
    def ident(self) -> int | None:
        return None if self.task is None else self.task.index + 1

    native_id = ident

    def start(self) -> None:
        if self.task is not None:
            raise RuntimeError("threads can only be started once")
        self.task = task = self._scheduler.admit(self.run, self, self.name, self.daemon)
        task.key = self.key
        task.base = self.key << 20

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        task = self.task
        scheduler = self._scheduler
        if task is None:
            raise RuntimeError("cannot join thread before it is started")
        if task is scheduler.current:
            raise RuntimeError("cannot join current thread")
        if timeout is not None:
            if timeout <= 0:
                scheduler.point(IS_ALIVE, self)
            elif scheduler.point(JOIN_TIMED, self):
                scheduler.let_time_pass(timeout)
            return
        if not task.done:
            task.joiners.append(scheduler.current)
            scheduler.pause(PAUSE, self)
            return
        scheduler.wait_for_end(task)

    def is_alive(self) -> bool:
        self._scheduler.point(IS_ALIVE, self)
        return self.task is not None and not self.task.done

    def is_done(self) -> bool:
        return self.task is None or self.task.done


class MainThread(Thread):
    """What `current_thread()` is in the scenario itself."""

    def __init__(self, task: Task) -> None:
        super().__init__(name="main", daemon=False)
        self.task = task


FAMILY = (Lock, RLock, Condition, Semaphore, BoundedSemaphore, Event, Barrier, Thread, MainThread)


def _timed(blocking: bool, timeout: float) -> bool:
    """Whether a lock is waited for, rather than tried; ValueError and so on as the real ones."""
    if not blocking:
        if timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return False
    if timeout < 0 and timeout != -1:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > real.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout != 0
