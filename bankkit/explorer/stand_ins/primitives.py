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
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar

from bankkit.explorer.engine.scheduler import READ, WRITE, Op, Scheduler, Task

NO, YES, OTHERWISE = (), (0,), (1,)
"""The options that an operation has now: none, its main effect, or only its alternative."""

_codes = itertools.count(1)


def op(*words: str, **settings: Any) -> Op:
    """A new kind of operation, with a phrase for each option and the settings of `Op`."""
    return Op(next(_codes), words, **settings)


def always(task: Task) -> tuple[int, ...]:
    """The options of an operation that never waits."""
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


def _if_ended_or_not(task: Task) -> tuple[int, ...]:
    thread = task.target
    if not thread.explorer_done():
        return OTHERWISE
    is_known = thread.explorer_task is None or thread.explorer_task.ended
    return YES if is_known else (*YES, *OTHERWISE)  # it may take long over its last lines


def _if_positive(task: Task) -> tuple[int, ...]:
    return YES if task.target._value else NO


def _if_positive_or_not(task: Task) -> tuple[int, ...]:
    return YES if task.target._value else OTHERWISE


def _if_available(task: Task) -> tuple[int, ...]:
    return YES if task.target.explorer_available() else NO


def _every_group(task: Task) -> range:
    return range(len(task.target.explorer_groups(task.arg)) - 1, -1, -1)


def _every_alternative(task: Task) -> range:
    return range(task.arg - 1, -1, -1)


# An operation that no other thread can observe, such as to acquire an RLock again.
STEP = op("{}", options=always, modes=(READ,))

ACQUIRE = op("acquire {}", options=_if_free, waits=YES)
TRY = op("try {}: taken", "try {}: refused", options=_if_free_or_not, modes=(WRITE, READ))
ACQUIRE_TIMED = op(
    "acquire {}", "acquire {}: timed out",
    options=_if_free_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
RELEASE = op("release {}", options=always)
LOCKED = op("check whether {} is locked", options=always, modes=(READ,))

WAIT = op("wait on {}", options=always)
WAKE = op("wake up on {}", options=_if_notified_and_free, waits=YES)
WAKE_TIMED = op(
    "wake up on {}", "wait on {}: timed out",
    options=_if_notified_and_free_or_timeout, modes=(WRITE, READ), fires=True, waits=YES,
)  # fmt: skip
NOTIFY = op("notify {}", options=_every_group)
NOTIFY_ALL = op("notify all on {}", options=always)

TAKE = op("acquire {}", options=_if_positive, waits=YES)
TRY_TAKE = op("try {}: taken", "try {}: refused", options=_if_positive_or_not, modes=(WRITE, READ))
TAKE_TIMED = op(
    "acquire {}", "acquire {}: timed out",
    options=_if_positive_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
GIVE = op("release {}", options=always)

SET = op("set {}", options=always)
CLEAR = op("clear {}", options=always)
IS_SET = op("check whether {} is set", options=always, modes=(READ,))
AWAIT = op("wait for {}", options=always, modes=(READ,))
ARRIVE = op("arrive at {}", options=_if_available, waits=YES)
BREAK = op("break {}", options=_if_available, waits=YES)
TRIP = op("trip {}", options=always)
PAUSE = op("wait for {}", options=_never)
PAUSE_TIMED = op(
    "wait for {}", "wait for {}: timed out",
    options=_timeout_only, modes=(READ, READ), fires=True,
)  # fmt: skip
PAUSE_AT_BARRIER = op(
    "wait for {}", "wait for {}: timed out, and break it",
    options=lambda task: NO if task.target._explorer_acting else OTHERWISE,
    modes=(READ, WRITE), fires=True, waits=OTHERWISE,
)  # fmt: skip
JOIN_TIMED = op(
    "join {}", "join {}: timed out",
    options=_if_ended_or_not,
    modes=(READ, READ), fires=True,
)  # fmt: skip
START = op("start {}", options=always)
JOIN = op("join {}", options=always, modes=(READ,))
IS_ALIVE = op("check whether {} is alive", options=always)
YIELD = op("sleep", options=always, modes=(READ,))
SLEEP = op("sleep", options=_timeout_only, modes=(READ, READ), fires=True)
LIST_THREADS = op("list the threads", options=always, modes=(READ,))
LOAD = op("read {}", options=always, modes=(READ,))
STORE = op("write {}", options=always)
LOAD_CHANGING = op("read {}", options=always)
LOOK = op("read {}", options=always, modes=(READ,))
CHANGE = op("change {}", options=always)
CALL = op("call {}", options=always)
CHOOSE = op("choose {}", options=_every_alternative)
LINE = op("run a line", options=always)
INVOKE = op("call {}", options=always, modes=(READ,))


class Primitive:
    """The base class. Each scheduler gets its own subclasses, whose objects belong to it.

    Programs subclass these classes. So whatever the real ones do not have is called `explorer…`.
    """

    _explorer: ClassVar[Scheduler]
    explorer_key: int
    explorer_hash: int
    explorer_now: float

    def __init__(self) -> None:
        self._explorer.register(self)

    def __hash__(self) -> int:
        """Its key: a set of these objects has the same order in each run of a schedule.

        Those that stand in for objects of a module live longer than a schedule, and a subclass of
        Thread may be in a set before it has a key: they keep their first hash.
        """
        try:
            return self.explorer_hash
        except AttributeError:
            key: int = getattr(self, "explorer_key", 0)
            self.explorer_hash = hash(key) if key > 0 else object.__hash__(self)
            return self.explorer_hash

    def explorer_available(self) -> bool:
        """Whether an operation that waits for this object is possible now."""
        return True


class Held(Primitive):
    """A primitive that a `with` block acquires and releases."""

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

    def __init__(self) -> None:
        self.owner: Task | None = None
        """The task that acquired it."""
        self._explorer.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait for the lock; False if the timeout fired, or if it may not wait."""
        scheduler = self._explorer
        if blocking and timeout == -1:
            scheduler.point(ACQUIRE, self)
        elif not _timed(blocking, timeout):
            if scheduler.point(TRY, self):
                return False
        elif scheduler.timed(ACQUIRE_TIMED, self, timeout):
            return False
        self.owner = scheduler.current
        return True

    def release(self) -> None:
        """Free the lock. Raises RuntimeError if it is free already."""
        self._explorer.point(RELEASE, self)
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None

    def locked(self) -> bool:
        """Whether a thread holds the lock. To ask is a step."""
        self._explorer.point(LOCKED, self)
        return self.owner is not None

    def __enter__(self) -> bool:
        scheduler = self._explorer
        scheduler.point(ACQUIRE, self)
        self.owner = scheduler.current
        return True

    def explorer_available(self) -> bool:
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
        self.owner = self._explorer.current


class RLock(Held):
    """A lock that its owner may acquire again, and must release equally often."""

    def __init__(self) -> None:
        self.owner: Task | None = None
        self.count = 0
        self._explorer.register(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait for the lock, unless this thread owns it; False as for `Lock`."""
        scheduler = self._explorer
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
        elif scheduler.timed(ACQUIRE_TIMED, self, timeout):
            return False
        self.owner = scheduler.current
        self.count = 1
        return True

    def release(self) -> None:
        """Undo one `acquire`. Raises RuntimeError in a thread that does not own the lock."""
        scheduler = self._explorer
        if self.owner is not scheduler.current:
            raise RuntimeError("cannot release un-acquired lock")
        if self.count > 1:
            scheduler.point(STEP, None, "release {} once", self)
            self.count -= 1
            return
        scheduler.point(RELEASE, self)
        self.count = 0
        self.owner = None

    if hasattr(real.RLock(), "locked"):  # from Python 3.14 on

        def locked(self) -> bool:
            """Whether a thread owns the lock. To ask is a step, even for the owner."""
            self._explorer.point(LOCKED, self)
            return self.owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def explorer_available(self) -> bool:
        """Whether no thread owns the lock."""
        return self.owner is None

    def is_mine(self) -> bool:
        """Whether the present thread owns the lock."""
        return self.owner is self._explorer.current

    def give_up(self) -> int:
        """Free the lock; return how often its owner had acquired it."""
        count, self.count, self.owner = self.count, 0, None
        return count

    def take_back(self, count: int) -> None:
        """Give the free lock to the present thread, acquired `count` times."""
        self.owner = self._explorer.current
        self.count = count

    # The real module keeps these names for a Condition. A program's own class may use them.

    def _is_owned(self) -> bool:
        return self.is_mine()

    def _release_save(self) -> int:
        self._explorer.point(RELEASE, self)
        return self.give_up()

    def _acquire_restore(self, count: int) -> None:
        self._explorer.point(ACQUIRE, self)
        self.take_back(count)


class Condition(Held):
    """As in CPython, a waiter whose timeout has fired stays in the queue until it has the lock.

    So `notify` may choose a waiter that has timed out, and the others miss the notification.
    """

    def __init__(self, lock: Any = None) -> None:
        scheduler = self._explorer
        if lock is None:
            lock = scheduler.family["RLock"]()
        elif not isinstance(lock, Lock | RLock):
            scheduler.refuse(
                f"A Condition needs a Lock or RLock of the same `threading`, not {lock!r}. If a "
                f"module made this lock, name the module in `patch=`."
            )
        self._lock: Lock | RLock = lock
        self._waiters: list[Task] = []
        self.acquire = lock.acquire
        self.release = lock.release
        if hasattr(real.Condition(), "locked"):  # from Python 3.14 on
            self.locked = lock.locked
        scheduler.register(self)

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification; False if the timeout fired. RuntimeError without the lock."""
        scheduler = self._explorer
        me = scheduler.current
        lock = self._lock
        scheduler.point(WAIT, lock, self)
        if not lock.is_mine():  # only now: until this step, another thread may release a Lock
            raise RuntimeError("cannot wait on un-acquired lock")
        count = lock.give_up()
        self._waiters.append(me)
        me.notified = False
        if timeout is None:
            scheduler.point(WAKE, lock, self)
            lock.take_back(count)
            return True
        if timeout > 0 and not scheduler.timed(WAKE_TIMED, lock, timeout, self, self):
            lock.take_back(count)
            return True
        scheduler.point(ACQUIRE, lock)
        lock.take_back(count)
        if me in self._waiters:
            self._waiters.remove(me)
        return False

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until the predicate holds or the time is over; return the predicate's last value."""
        me = self._explorer.current
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
        option = self._explorer.point(NOTIFY, self, n)
        self._explorer_check()
        for task in self.explorer_groups(n)[option]:
            self._waiters.remove(task)
            self._explorer_wake(task)

    def notify_all(self) -> None:
        """Wake every waiter. Raises RuntimeError without the lock."""
        self._explorer.point(NOTIFY_ALL, self)
        self._explorer_check()
        for task in self._waiters:
            self._explorer_wake(task)
        self._waiters.clear()

    def explorer_groups(self, n: int) -> list[tuple[Task, ...]]:
        """The groups of waiters that `notify(n)` can wake."""
        return list(itertools.combinations(self._waiters, min(n, len(self._waiters))))

    def _explorer_check(self) -> None:
        # Another thread may acquire and release a Lock meanwhile, but not an RLock.
        lock = self._lock
        if isinstance(lock, Lock):
            self._explorer.also.append((lock.explorer_key, READ, lock.explorer_available()))
        if not lock.is_mine():
            raise RuntimeError("cannot notify on un-acquired lock")

    def _explorer_wake(self, task: Task) -> None:
        if task.op is WAKE or task.op is WAKE_TIMED:  # otherwise its timeout has fired
            self._explorer.notify(task)

    notifyAll = notify_all  # the real module keeps this old name

    def _is_owned(self) -> bool:
        return self._lock.is_mine()


class Semaphore(Held):
    """A counter of permits: `acquire` waits while it is 0."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._value = value
        self._explorer.register(self)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False if the timeout fired, or if none is left and it may not wait."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        scheduler = self._explorer
        if blocking and timeout is None:
            scheduler.point(TAKE, self)
        elif not blocking or timeout is None or timeout <= 0:
            if scheduler.point(TRY_TAKE, self):
                return False
        elif scheduler.timed(TAKE_TIMED, self, timeout):
            return False
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        """Return n permits. Raises ValueError if n < 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        self._explorer.point(GIVE, self)
        self._value += n

    def __enter__(self) -> bool:
        return self.acquire()

    def explorer_available(self) -> bool:
        """Whether a permit is left."""
        return self._value > 0


class BoundedSemaphore(Semaphore):
    """A semaphore whose value never exceeds its initial value."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._initial_value = value

    def release(self, n: int = 1) -> None:
        """Return n permits. Raises ValueError if n < 1 or if there would be too many permits."""
        if n < 1:
            raise ValueError("n must be one or more")
        self._explorer.point(GIVE, self)
        if self._value + n > self._initial_value:
            raise ValueError("Semaphore released too many times")
        self._value += n


class Event(Primitive):
    """As in CPython, `set` releases every waiter, even if the event is cleared right after."""

    def __init__(self) -> None:
        self._flag = False
        self._explorer_waiters: list[Task] = []
        self._explorer.register(self)

    def is_set(self) -> bool:
        """Whether the event is set. To ask is a step."""
        self._explorer.point(IS_SET, self)
        return self._flag

    isSet = is_set  # the real module keeps this old name

    def set(self) -> None:
        """Set the event and release its waiters."""
        self._explorer.point(SET, self)
        self._flag = True
        for task in self._explorer_waiters:
            self._explorer.let_go(task)
        self._explorer_waiters.clear()

    def clear(self) -> None:
        """Make later calls of `wait` wait again."""
        self._explorer.point(CLEAR, self)
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set; False if the timeout fired first."""
        scheduler = self._explorer
        scheduler.point(AWAIT, self)
        if self._flag or (timeout is not None and timeout <= 0):
            return self._flag
        me = scheduler.current
        self._explorer_waiters.append(me)
        if timeout is None:
            scheduler.pause(PAUSE, self)
        elif scheduler.pause_for(PAUSE_TIMED, self, timeout):
            self._explorer_waiters.remove(me)
            return False
        return True


class Barrier(Primitive):
    """Threads wait here until `parties` of them have arrived; then the last one runs `action`."""

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
        self._explorer_broken = False
        self._explorer_acting = False
        """Whether the action is running. A thread that arrives now belongs to the next round."""
        self._explorer_waiters: list[tuple[Task, list[BaseException]]] = []
        self._explorer.register(self)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other parties; return the order of arrival, from 0 to parties - 1.

        Raises BrokenBarrierError if the barrier is broken, or breaks because a timeout fires.
        """
        scheduler = self._explorer
        limit = self._timeout if timeout is None else timeout
        scheduler.point(ARRIVE, self)
        if self._explorer_broken:
            raise real.BrokenBarrierError
        index = len(self._explorer_waiters)
        if index + 1 == self.parties:
            if self._action is not None:
                self._explorer_act(self._action)
            self._explorer_let_go(broken=False)
            return index
        refusals: list[BaseException] = []
        me = scheduler.current
        self._explorer_waiters.append((me, refusals))
        if limit is None:
            scheduler.pause(PAUSE, self)
        elif scheduler.pause_for(PAUSE_AT_BARRIER, self, limit):
            self._explorer_waiters = [each for each in self._explorer_waiters if each[0] is not me]
            self._break()
            raise real.BrokenBarrierError
        if refusals:
            raise refusals[0]
        return index

    def _explorer_act(self, action: Callable[[], object]) -> None:
        scheduler = self._explorer
        before = scheduler.steps
        self._explorer_acting = True
        try:
            try:
                action()
            finally:
                if scheduler.steps != before:  # others have run, and may wait for the end of it
                    scheduler.point(TRIP, self)
                self._explorer_acting = False
        except BaseException:
            self._break()
            raise

    def explorer_available(self) -> bool:
        """Whether no action is running."""
        return not self._explorer_acting

    def reset(self) -> None:
        """Raise BrokenBarrierError in the waiting threads, and make the barrier usable again."""
        self._explorer.point(BREAK, self)
        self._explorer_let_go(broken=True)
        self._explorer_broken = False

    def abort(self) -> None:
        """Break the barrier: its present and later waiters get BrokenBarrierError."""
        self._explorer.point(BREAK, self)
        self._break()

    @property
    def n_waiting(self) -> int:
        """How many threads wait now. To ask is a step."""
        self._explorer.point(LOAD, self)
        return len(self._explorer_waiters)

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken. To ask is a step."""
        self._explorer.point(LOAD, self)
        return self._explorer_broken

    def _break(self) -> None:
        self._explorer_broken = True
        self._explorer_let_go(broken=True)

    def _explorer_let_go(self, *, broken: bool) -> None:
        for task, refusals in self._explorer_waiters:
            if broken:
                refusals.append(real.BrokenBarrierError())
            self._explorer.let_go(task)
        self._explorer_waiters = []


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


FAMILY: tuple[type[Primitive], ...] = (
    Lock, RLock, Condition, Semaphore, BoundedSemaphore, Event, Barrier,
)  # fmt: skip
