"""An interrupt at any moment leaves no lock taken that was acquired with ``with``."""

import _thread
import dis
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from bankkit.locks import POLICIES, Lock, LockStatistics, LockTable, Mutex, ReadWriteLock
from bankkit.locks.interrupts import give_back, unbroken_start
from tests.benchmarks.interrupts import SUBJECTS, Subject, left_taken, on_redis
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers

TIMES = 200
"""Number of interrupts per lock; `python -m tests.benchmarks.interrupts` makes more."""

NOBODY = LockStatistics(readers=0, writer=None, waiting_readers=0, waiting_writers=0)

# An interrupt may come in a callback of the garbage collector; Python drops errors raised there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LOCKS: dict[str, Callable[..., Lock]] = {
    "mutex": Mutex,
    **{policy: partial(ReadWriteLock, policy) for policy in POLICIES},
}
EACH = pytest.mark.parametrize("make", LOCKS.values(), ids=LOCKS)


@pytest.fixture(autouse=True)
def in_the_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread gets signals")
    if not hasattr(signal, "setitimer"):
        pytest.skip("this system has no timer that sends signals")


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_interrupt_leaves_a_lock_taken(name: str) -> None:
    assert left_taken(SUBJECTS[name], TIMES) == 0


@pytest.fixture(scope="module")
def redis_subjects() -> Iterator[dict[str, Callable[[], Subject]]]:
    with on_redis() as subjects:
        yield subjects


@pytest.mark.parametrize("mode", ["read", "write"])
def test_no_interrupt_leaves_a_lock_on_redis_taken(
    redis_subjects: dict[str, Callable[[], Subject]], mode: str
) -> None:
    assert left_taken(redis_subjects[f"RedisReadWriteLock, {mode}"], TIMES) == 0


def interrupt_on_entering(call: Callable[[], object]) -> None:
    """Call it while a signal is pending.

    CPython checks for signals after a call, but not after a step of an iterator written in C.
    """
    try:
        for _ in iter(_thread.interrupt_main, 0):
            call()
    except KeyboardInterrupt:
        return
    pytest.fail("CPython did not check for signals")


def test_a_function_with_an_unbroken_start_begins_before_the_interrupt() -> None:
    began = []

    def usual() -> None:
        began.append("usual")

    @unbroken_start
    def unbroken() -> None:
        began.append("unbroken")

    @unbroken_start
    def with_a_cell() -> Callable[[], str]:
        word = "with a cell"
        began.append(word)
        return lambda: word

    for function in (usual, unbroken, with_a_cell):
        interrupt_on_entering(function)
    if sys.implementation.name == "cpython":
        assert began == ["unbroken", "with a cell"]


def test_a_function_with_an_unbroken_start_is_the_same_function() -> None:
    def total(one: int, *more: int, start: int = 0) -> int:
        "Doc."
        return sum(more, one + start)

    same = unbroken_start(total)
    assert same(1, 2, start=3) == 6
    assert inspect.signature(same) == inspect.signature(total)
    assert inspect.getsource(same) == inspect.getsource(total)
    assert (same.__name__, same.__qualname__, same.__doc__, same.__module__) == (
        "total",
        total.__qualname__,
        "Doc.",
        __name__,
    )
    names = [[it.opname for it in dis.get_instructions(each)] for each in (total, same)]
    assert names[0] == names[1]
    assert list(same.__code__.co_lines()) == list(total.__code__.co_lines())


@EACH
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_interrupt_on_the_way_out_comes_after_the_release(
    make: Callable[..., Lock], kind: str
) -> None:
    lock = make()
    guard = getattr(lock, kind)()
    guard.__enter__()
    interrupt_on_entering(partial(guard.__exit__, None, None, None))
    assert lock.statistics() == NOBODY
    getattr(lock, f"acquire_{kind}")()
    interrupt_on_entering(getattr(lock, f"release_{kind}"))
    assert lock.statistics() == NOBODY


@EACH
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_interrupt_on_the_way_in_comes_before_the_hold(
    make: Callable[..., Lock], kind: str
) -> None:
    lock = make()
    interrupt_on_entering(getattr(lock, kind)().__enter__)
    interrupt_on_entering(getattr(lock, f"acquire_{kind}"))
    assert lock.statistics() == NOBODY


def test_an_interrupt_on_the_way_out_leaves_the_table_empty() -> None:
    table = LockTable(lambda key: ReadWriteLock())
    guard = table.write("a")
    guard.__enter__()
    interrupt_on_entering(partial(guard.__exit__, None, None, None))
    assert len(table) == 0


class Interrupting:
    """A mutex or a gate that interrupts the next call of one method, as a signal may."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.at: str | None = None

    def _do(self, what: str, *args: Any) -> Any:
        if self.at == f"before {what}":
            self.at = None
            raise KeyboardInterrupt
        done = getattr(self.lock, what)(*args)
        if self.at == f"after {what}":
            self.at = None
            raise KeyboardInterrupt
        return done

    def acquire(self, *args: Any) -> Any:
        return self._do("acquire", *args)

    def release(self) -> None:
        self._do("release")

    def __enter__(self) -> Any:
        return self.lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self.lock.__exit__(*error)


MOMENTS = ["before acquire", "after acquire", "after release"]
"""An interrupt ends the wait for the internal mutex, or comes right after a call of its methods."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_interrupt_at_the_internal_mutex_breaks_nothing(
    policy: str, kind: str, moment: str
) -> None:
    lock = ReadWriteLock(policy)
    lock._mutex = mutex = Interrupting(lock._mutex)
    acquire, release = getattr(lock, f"acquire_{kind}"), getattr(lock, f"release_{kind}")
    mutex.at = moment
    with pytest.raises(KeyboardInterrupt):
        acquire()
    assert lock.statistics() == NOBODY
    acquire()
    mutex.at = moment
    with pytest.raises(KeyboardInterrupt):
        release()
    assert lock.statistics() == NOBODY
    with workers(2) as (first, second):
        for worker in (first, second):  # an interrupted release still admits the waiters
            with lock.write():
                asked = worker.ask(acquire)
                eventually(lambda: lock.statistics().waiting_readers == 1 or kind == "write")
                eventually(lambda: lock.statistics().waiting_writers == 1 or kind == "read")
                mutex.at = moment
                with pytest.raises(KeyboardInterrupt):
                    lock.release_write()
                assert asked.result(PATIENCE)
                worker.do(release)
                lock.acquire_write()
    assert lock.statistics() == NOBODY


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_at_the_mutex_of_a_table_breaks_nothing(moment: str) -> None:
    table = LockTable(lambda key: ReadWriteLock())
    table._mutex = mutex = Interrupting(table._mutex)
    mutex.at = moment
    with pytest.raises(KeyboardInterrupt):
        table.write("a").__enter__()
    assert len(table) == 0
    guard = table.write("a")
    guard.__enter__()
    mutex.at = moment
    with pytest.raises(KeyboardInterrupt):
        guard.__exit__(None, None, None)
    assert len(table) == 0
    with workers(1) as (other,):
        other.do(lambda: table.write("a", 0).__enter__())


def test_all_readers_enter_even_if_an_interrupt_comes_between_them() -> None:
    lock = ReadWriteLock()
    gates: list[Interrupting] = []

    def new_gate() -> Interrupting:
        gates.append(Interrupting(threading.Lock()))
        return gates[-1]

    lock._new_gate = new_gate
    with workers(3) as team:
        lock.acquire_write()
        asked = [worker.ask(lock.acquire_read) for worker in team]
        eventually(lambda: lock.statistics().waiting_readers == 3)
        gates[1].at = "after release"
        with pytest.raises(KeyboardInterrupt):
            lock.release_write()
        for each, worker in zip(asked, team, strict=True):
            assert each.result(PATIENCE)
            worker.do(lock.release_read)
    assert lock.statistics() == NOBODY


def test_only_its_owner_releases_a_mutex() -> None:
    mutex = threading.RLock()
    give_back(mutex)
    mutex.acquire()
    with workers(1) as (other,):
        other.do(give_back, mutex)
        assert other.do(mutex.acquire, False) is False
        give_back(mutex)
        assert other.do(mutex.acquire, False) is True


@EACH
def test_a_guard_works_in_an_exit_stack(make: Callable[..., Lock]) -> None:
    lock = make()
    guard = lock.write()
    for _ in range(2):
        with ExitStack() as stack:
            stack.enter_context(guard)
            assert lock.statistics().writer == threading.get_ident()
        assert lock.statistics() == NOBODY
