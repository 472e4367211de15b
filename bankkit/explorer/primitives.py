"""Stand-ins for the classes of `threading`; each of their operations is a step of the scheduler.

They keep the promises of the real module and refuse misuse with the same errors. Where the real
module leaves something open (which thread gets a released lock, which waiter `notify` wakes,
whether a timeout fires before the lock is released), the scheduler chooses. Timeouts are in seconds
of the scheduler's virtual time.
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
"""The options that an operation has now: none, its main effect, or only its alternative."""

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


def _if_notified_and_free(task: Task) -> tuple[int, ...]:
    return YES if task.notified and task.target.owner is None else NO


def _if_notified_and_free_or_timeout(task: Task) -> tuple[int, ...]:
    return _if_notified_and_free(task) if task.notified else OTHERWISE


def _if_positive(task: Task) -> tuple[int, ...]:
    return YES if task.target.value else NO


def _if_positive_or_not(task: Task) -> tuple[int, ...]:
    return YES if task.target.value else OTHERWISE


def _every_alternative(task: Task) -> range:
    return range(task.arg - 1, -1, -1)


# An operation that no other thread can observe, such as to acquire an RLock again.
STEP = _op("{}", options=_always, modes=(READ,))

ACQUIRE = _op("acquire {}", options=_if_free, waits=True)
TRY = _op("try {}: taken", "try {}: refused", options=_if_free_or_not, modes=(WRITE, READ))
ACQUIRE_TIMED = _op(
    "acquire {}", "acquire {}: timed out",
    options=_if_free_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
RELEASE = _op("release {}", options=_always)
LOCKED = _op("check whether {} is locked", options=_always, modes=(READ,))

WAIT = _op("wait on {}", options=_always)
WAKE = _op("wake up on {}", options=_if_notified_and_free, waits=True)
WAKE_TIMED = _op(
    "wake up on {}", "wait on {}: timed out",
    options=_if_notified_and_free_or_timeout, modes=(WRITE, READ), fires=True,
)  # fmt: skip
NOTIFY = _op("notify {}", options=_every_alternative)
NOTIFY_ALL = _op("notify all on {}", options=_always)

TAKE = _op("acquire {}", options=_if_positive, waits=True)
TRY_TAKE = _op("try {}: taken", "try {}: refused", options=_if_positive_or_not, modes=(WRITE, READ))
TAKE_TIMED = _op(
    "acquire {}", "acquire {}: timed out",
    options=_if_positive_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
GIVE = _op("release {}", options=_always)

SET = _op("set {}", options=_always)
CLEAR = _op("clear {}", options=_always)
IS_SET = _op("check whether {} is set", options=_always, modes=(READ,))
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
IS_ALIVE = _op("check whether {} is alive", options=_always, modes=(READ,))
SLEEP = _op("sleep", options=_always, modes=(READ,))
LOAD = _op("read {}", options=_always, modes=(READ,))
STORE = _op("write {}", options=_always)
LOAD_CHANGING = _op("read {}", options=_always)
LOOK = _op("read {}", options=_always, modes=(READ,))
CHANGE = _op("change {}", options=_always)
CALL = _op("call {}", options=_always)
CHOOSE = _op("choose {}", options=_every_alternative)
LINE = _op("line {}", options=_always)


class Primitive:
    """The base class. Each scheduler gets its own subclasses, whose objects belong to it."""

    __slots__ = ("key", "name_in_code", "now")
    _scheduler: ClassVar[Scheduler]
    key: int
    now: float

    def __init__(self) -> None:
        self._scheduler.register(self)

    def is_available(self) -> bool:
        """Whether an operation that waits for this object is possible now."""
        return True


class Held(Primitive):
    """A primitive that a `with` block acquires and releases."""

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
    """A lock that any thread may release, as in `threading`."""

    __slots__ = ("owner",)

    def __init__(self) -> None:
        self.owner: Task | None = None
        """The task that acquired it."""
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait for the lock; False if the timeout fired, or if it may not wait."""
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
        """Free the lock. Raises RuntimeError if it is free already."""
        self._scheduler.point(RELEASE, self)
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None

    def locked(self) -> bool:
        """Whether a thread holds the lock. To ask is a step."""
        self._scheduler.point(LOCKED, self)
        return self.owner is not None

    def __enter__(self) -> bool:
        scheduler = self._scheduler
        scheduler.point(ACQUIRE, self)
        self.owner = scheduler.current
        return True

    def is_available(self) -> bool:
        """Whether the lock is free."""
        return self.owner is None

    # A Condition uses these methods. They are not steps.

    def is_mine(self) -> bool:
        """Whether the lock is held, by any thread: that is all that the real Condition checks."""
        return self.owner is not None

    def give_up(self) -> int:
        """Free the lock; return how often it was acquired."""
        self.owner = None
        return 1

    def take_back(self, count: int) -> None:
        """Give the free lock to the present thread."""
        self.owner = self._scheduler.current


class RLock(Held):
    """A lock that its owner may acquire again, and must release equally often."""

    __slots__ = ("count", "owner")

    def __init__(self) -> None:
        self.owner: Task | None = None
        self.count = 0
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait for the lock, unless this thread owns it; False as for `Lock`."""
        scheduler = self._scheduler
        if self.owner is scheduler.current:  # other threads can neither observe nor change this
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
        """Undo one `acquire`. Raises RuntimeError in a thread that does not own the lock."""
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
        """Whether no thread owns the lock."""
        return self.owner is None

    def is_mine(self) -> bool:
        """Whether the present thread owns the lock."""
        return self.owner is self._scheduler.current

    def give_up(self) -> int:
        """Free the lock; return how often its owner had acquired it."""
        count, self.count, self.owner = self.count, 0, None
        return count

    def take_back(self, count: int) -> None:
        """Give the free lock to the present thread, acquired `count` times."""
        self.owner = self._scheduler.current
        self.count = count


class Condition(Held):
    """As in CPython, a waiter whose timeout has fired stays in the queue until it has the lock.

    So `notify` may choose a waiter that has timed out, and the others miss the notification.
    """

    __slots__ = ("_lock", "_waiters", "acquire", "release")

    def __init__(self, lock: Any = None) -> None:
        scheduler = self._scheduler
        if lock is None:
            lock = scheduler.family["RLock"]()
        elif not isinstance(lock, Lock | RLock):
            raise TypeError(
                f"This Condition needs a Lock or RLock of the same `threading`, not {lock!r}."
            )
        self._lock: Lock | RLock = lock
        self._waiters: list[Task] = []
        self.acquire = lock.acquire
        self.release = lock.release
        scheduler.register(self)

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification; False if the timeout fired. RuntimeError without the lock."""
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
        """Wait until the predicate holds or the time is over; return the predicate's last value."""
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
        """Wake n waiters that the scheduler chooses. Raises RuntimeError without the lock."""
        if not self._lock.is_mine():
            raise RuntimeError("cannot notify on un-acquired lock")
        # The queue changes only under the lock, which this thread holds.
        groups = list(itertools.combinations(self._waiters, min(n, len(self._waiters))))
        chosen = groups[self._scheduler.point(NOTIFY, self, len(groups))]
        for task in chosen:
            self._waiters.remove(task)
            self._wake(task)

    def notify_all(self) -> None:
        """Wake every waiter. Raises RuntimeError without the lock."""
        if not self._lock.is_mine():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._scheduler.point(NOTIFY_ALL, self)
        for task in self._waiters:
            self._wake(task)
        self._waiters.clear()

    def _wake(self, task: Task) -> None:
        if task.op is WAKE or task.op is WAKE_TIMED:  # otherwise its timeout has fired
            self._scheduler.notify(task)

    notifyAll = notify_all  # the real module keeps this old name


class Semaphore(Held):
    """A counter of permits: `acquire` waits while it is 0."""

    __slots__ = ("value",)

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self.value = value
        self._scheduler.register(self)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False if the timeout fired, or if none is left and it may not wait."""
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
        """Return n permits. Raises ValueError if n < 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        self._scheduler.point(GIVE, self)
        self.value += n

    def __enter__(self) -> bool:
        return self.acquire()

    def is_available(self) -> bool:
        """Whether a permit is left."""
        return self.value > 0


class BoundedSemaphore(Semaphore):
    """A semaphore whose value never exceeds its initial value."""

    __slots__ = ("_bound",)

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._bound = value

    def release(self, n: int = 1) -> None:
        """Return n permits. Raises ValueError if n < 1 or if there would be too many permits."""
        if n < 1:
            raise ValueError("n must be one or more")
        self._scheduler.point(GIVE, self)
        if self.value + n > self._bound:
            raise ValueError("Semaphore released too many times")
        self.value += n


class Event(Primitive):
    """As in CPython, `set` releases every waiter, even if the event is cleared right after."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: list[Task] = []
        self._scheduler.register(self)

    def is_set(self) -> bool:
        """Whether the event is set. To ask is a step."""
        self._scheduler.point(IS_SET, self)
        return self._set

    isSet = is_set  # the real module keeps this old name

    def set(self) -> None:
        """Set the event and release its waiters."""
        self._scheduler.point(SET, self)
        self._set = True
        for task in self._waiters:
            self._scheduler.let_go(task)
        self._waiters.clear()

    def clear(self) -> None:
        """Make later calls of `wait` wait again."""
        self._scheduler.point(CLEAR, self)
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set; False if the timeout fired first."""
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
    """Threads wait here until `parties` of them have arrived; then the last one runs `action`."""

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
        """Whether the action is running. A thread that arrives now belongs to the next round."""
        self._waiters: list[tuple[Task, list[BaseException]]] = []
        self._scheduler.register(self)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other parties; return the order of arrival, from 0 to parties - 1.

        Raises BrokenBarrierError if the barrier is broken, or breaks because a timeout fires.
        """
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
        """Raise BrokenBarrierError in the waiting threads, and make the barrier usable again."""
        self._scheduler.point(BREAK, self)
        self._let_go(broken=True)
        self._broken = False

    def abort(self) -> None:
        """Break the barrier: its present and later waiters get BrokenBarrierError."""
        self._scheduler.point(BREAK, self)
        self._break()

    @property
    def n_waiting(self) -> int:
        """How many threads wait now. To ask is a step."""
        self._scheduler.point(LOAD, self)
        return len(self._waiters)

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken. To ask is a step."""
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
        """The start order plus 1; the main thread has 1. None before the start."""
        return None if self.task is None else self.task.index + 1

    native_id = ident

    def start(self) -> None:
        """Have `run` called in a new virtual thread. Raises RuntimeError the second time."""
        if self.task is not None:
            raise RuntimeError("threads can only be started once")
        self.task = task = self._scheduler.admit(self.run, self, self.name, self.daemon)
        task.key = self.key
        task.base = self.key << 20

    def run(self) -> object:
        """Call the target with its arguments; return what it returns, so that it can be checked."""
        return None if self._target is None else self._target(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread ends or the timeout fires.

        Raises RuntimeError before the start of the thread, and in the thread itself.
        """
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
            scheduler.catch_up_with(task)
            return
        if not task.done:
            task.joiners.append(scheduler.current)
            scheduler.pause(PAUSE, self)
            return
        scheduler.wait_for_end(task)

    def is_alive(self) -> bool:
        """Whether the thread has started and not ended. To ask is a step."""
        self._scheduler.point(IS_ALIVE, self)
        if self.task is not None:
            self._scheduler.catch_up_with(self.task)
        return self.task is not None and not self.task.done

    def is_done(self) -> bool:
        """Whether the thread has ended, or not started; this is not a step."""
        return self.task is None or self.task.done


class MainThread(Thread):
    """The thread that `current_thread()` returns in the scenario's own function."""

    def __init__(self, task: Task) -> None:
        super().__init__(name="main", daemon=False)
        self.task = task


FAMILY = (Lock, RLock, Condition, Semaphore, BoundedSemaphore, Event, Barrier, Thread, MainThread)


def _timed(blocking: bool, timeout: float) -> bool:
    """Whether to wait for a lock or only try it; raises what the real locks raise for misuse."""
    if not blocking:
        if timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return False
    if timeout < 0 and timeout != -1:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > real.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout != 0
