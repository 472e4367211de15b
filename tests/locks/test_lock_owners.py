"""A lock belongs neither to a later thread with the same ident nor to a forked child."""

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest

from bankkit.locks import (
    POLICIES,
    Fence,
    LeaseLost,
    Lock,
    LockTable,
    LockTimeout,
    Mutex,
    ReadWriteLock,
    RedisLocks,
)
from bankkit.locks.holders import Inherited
from bankkit.redis_backend.connection import connect
from bankkit.runtime.forks import refusal
from tests.support.forking import in_a_fork
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers

SHORT_LEASE = 2.0
"""Seconds. A test waits until a lease of this length runs out, and another one must not."""

RENEWED_LEASE = 6.0
"""Seconds. A test waits until a lease of this length is renewed; a busy machine can be late."""

LONG_LEASE = 600.0
"""Seconds. A lease of this length does not run out in a test, however busy the machine is."""


@contextmanager
def redis_locks(url: str, lease: float) -> Iterator[RedisLocks]:
    with connect(url) as client, closing(RedisLocks(client, lease=lease)) as locks:
        client.flushall()
        yield locks


@pytest.fixture(params=["mutex", *POLICIES, "redis"])
def lock(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "redis":
        with redis_locks(request.getfixturevalue("url"), LONG_LEASE) as locks:
            yield locks("a")
    else:
        yield Mutex() if request.param == "mutex" else ReadWriteLock(request.param)


def as_a_thread_that_has_ended(call: Callable[[], object], then: Callable[[], object]) -> None:
    """Run `call` in a thread, and after its end run `then` in a thread with the same ident."""

    def run(work: Callable[[], object]) -> int:
        errors: list[BaseException] = []

        def target() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=target)
        thread.start()
        thread.join(PATIENCE)
        if errors:
            raise errors[0]
        assert thread.ident is not None
        return thread.ident

    ended, done = run(call), []

    def if_it_is_the_same() -> None:
        if threading.get_ident() == ended:
            then()
            done.append(True)

    for _ in range(100):
        run(if_it_is_the_same)
        if done:
            return
    pytest.skip("this system does not reuse the ident of a thread")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_new_thread_does_not_inherit_the_lock_of_one_that_ended(lock: Any, kind: str) -> None:
    def release_and_write() -> None:
        for release in (lock.release_read, lock.release_write):
            with pytest.raises(RuntimeError, match="it does not"):
                release()
        assert lock.acquire_write(0) is False  # it neither enters again nor raises for misuse
        with pytest.raises(LockTimeout):
            lock.write(0).__enter__()

    as_a_thread_that_has_ended(getattr(lock, f"acquire_{kind}"), release_and_write)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_reader_with_the_ident_of_one_that_ended_is_another_reader(policy: str) -> None:
    lock = ReadWriteLock(policy)

    def read() -> None:
        me = threading.get_ident()
        with lock.read(0):
            assert lock.statistics().reader_idents == (me, me)
        assert lock.statistics().reader_idents == (me,)

    as_a_thread_that_has_ended(lock.acquire_read, read)


def test_a_lease_runs_out_once_its_thread_has_ended(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_locks(url, SHORT_LEASE) as locks:
        lock = locks("a")
        thread = threading.Thread(target=lock.acquire_write)
        thread.start()
        thread.join(PATIENCE)
        with lock.write(PATIENCE):  # otherwise the lease would be renewed until this process ends
            eventually(lambda: "A thread ended while it held a" in caplog.text)
            assert len(locks._leases.holds) == 1


def refused(call: Callable[..., object], *args: object) -> None:
    with pytest.raises(RuntimeError) as error:
        call(*args)
    assert str(error.value) == refusal("lock")


def uses(lock: Any) -> list[Callable[[], object]]:
    found = [
        lock.acquire_read,
        lock.acquire_write,
        lock.release_read,
        lock.release_write,
        lock.statistics,
        lambda: lock.read().__enter__(),
        lambda: lock.write(1.0).__enter__(),
    ]
    return found + ([lock.fence, lock.check] if hasattr(lock, "fence") else [])


@pytest.mark.parametrize("kind", ["read", "write", "not"])
def test_a_forked_child_can_only_leave_a_lock_of_its_parent(lock: Any, kind: str) -> None:
    guard = getattr(lock, kind)() if kind != "not" else None
    if guard is not None:
        guard.__enter__()
    before = lock.statistics()

    def child() -> None:
        for use in uses(lock):
            refused(use)
        if guard is not None:  # it raises nothing, so that the error of the block passes
            assert not guard.__exit__(None, None, None)
            error = ZeroDivisionError()
            assert not guard.__exit__(ZeroDivisionError, error, None)
        with workers(1) as (other,):
            other.do(refused, lock.acquire_read)

    in_a_fork(child)
    now = lock.statistics()
    assert (now.readers, now.writer) == (before.readers, before.writer)
    if guard is not None:
        guard.__exit__(None, None, None)
    assert lock.statistics().readers == 0
    assert lock.statistics().writer is None


def test_a_forked_child_is_refused_at_once_even_if_a_thread_of_the_parent_was_inside() -> None:
    lock, table = ReadWriteLock(), LockTable(lambda key: ReadWriteLock())
    with workers(1) as (other,):
        other.do(lock._mutex.acquire)
        other.do(table._mutex.acquire)

        def child() -> None:
            for use in uses(lock):
                refused(use)
            refused(table.read("a").__enter__)
            refused(table.statistics, "a")

        in_a_fork(child)
        other.do(lock._mutex.release)
        other.do(table._mutex.release)


def test_a_forked_child_leaves_a_block_of_a_table() -> None:
    table = LockTable(lambda key: ReadWriteLock())
    guard = table.write("a")
    guard.__enter__()

    def child() -> None:
        assert not guard.__exit__(None, None, None)

    with workers(1) as (other,):
        other.do(table._mutex.acquire)
        in_a_fork(child)
        other.do(table._mutex.release)
    guard.__exit__(None, None, None)
    assert len(table) == 0


@pytest.mark.parametrize("make", [Mutex, *(partial(ReadWriteLock, policy) for policy in POLICIES)])
def test_the_locks_that_a_forked_child_makes_work(make: Callable[[], Lock]) -> None:
    parents = make()
    parents.acquire_read()  # so that the parent knows this thread

    def child() -> None:
        lock, table = make(), LockTable(lambda key: make())
        with lock.write(), workers(1) as (other,):
            assert other.do(lock.acquire_read, 0) is False
        with table.write("a"):
            assert len(table) == 1
        assert len(table) == 0

        def grandchild() -> None:
            for each in (parents, lock):
                refused(each.acquire_read)

        in_a_fork(grandchild)

    in_a_fork(child)
    parents.release_read()


def test_a_forked_child_neither_ends_nor_renews_a_lease_of_its_parent(url: str) -> None:
    with redis_locks(url, RENEWED_LEASE) as locks, locks("a").write() as fence:
        lock = locks("a")

        def child() -> None:
            refused(locks, "b")
            locks.close()  # does nothing, and does not hang
            with connect(url) as client, closing(RedisLocks(client, lease=RENEWED_LEASE)) as own:
                assert own("a").acquire_write(0) is False
                assert own("a").statistics().holders[0].token == fence.token
                with own("b").write():
                    pass

        in_a_fork(child)
        left = lock.statistics().holders[0].seconds_left

        def is_renewed() -> bool:
            nonlocal left
            before, left = left, lock.statistics().holders[0].seconds_left
            return left > before

        eventually(is_renewed)
        lock.check()
        assert lock.fence() == fence


@pytest.mark.parametrize(
    "thing",
    [
        LockTimeout("The lock was not acquired for reading within 1 s."),
        LeaseLost("The lease of 3 s ran out: another thread or server may hold the lock now."),
        Inherited(refusal("lock")),
        Fence("bank:{alice}:lock", 1757000000123456),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_errors_and_fences_can_be_pickled_and_copied(thing: Any) -> None:
    for other in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
        assert type(other) is type(thing)
        assert (str(other), getattr(other, "args", None)) == (
            str(thing),
            getattr(thing, "args", None),
        )
