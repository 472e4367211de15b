"""The promises that every lock keeps."""

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bankkit.locks import (
    IN_PROCESS,
    POLICIES,
    FirstDraftLock,
    Lock,
    LockStatistics,
    LockTimeout,
    Mutex,
    NoLock,
    ReadWriteLock,
)
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers

EXCLUSIVE: dict[str, Callable[..., Lock]] = {
    "mutex": Mutex,
    **{policy: partial(ReadWriteLock, policy) for policy in POLICIES},
}
SAFE = pytest.mark.parametrize("make", EXCLUSIVE.values(), ids=EXCLUSIVE)
EVERY = pytest.mark.parametrize("make", IN_PROCESS.values(), ids=IN_PROCESS)

NOBODY = LockStatistics(readers=0, writer=None, waiting_readers=0, waiting_writers=0)


def test_each_name_makes_its_lock() -> None:
    assert {name: type(make()) for name, make in IN_PROCESS.items()} == {
        "none": NoLock,
        "mutex": Mutex,
        "first-draft": FirstDraftLock,
        "read-write": ReadWriteLock,
    }
    lock = IN_PROCESS["read-write"]()
    assert isinstance(lock, ReadWriteLock)
    assert lock.policy == "fair"


@EVERY
def test_one_thread_alone_can_read_and_write_in_turn(make: Callable[..., Lock]) -> None:
    lock = make(threading=threading)
    for _ in range(3):
        with lock.read() as fence:
            assert fence is None
        with lock.write(timeout=1.0) as fence:
            assert fence is None
        assert lock.acquire_read() is True
        lock.release_read()
        assert lock.acquire_write(0) is True
        lock.release_write()
    assert (lock.statistics().readers, lock.statistics().writer) == (0, None)


@EVERY
def test_an_exception_in_the_block_passes_and_releases(make: Callable[..., Lock]) -> None:
    lock = make()
    for block in (lock.read, lock.write):
        with pytest.raises(ZeroDivisionError), block():
            _ = 1 / 0
    assert lock.acquire_write(0)
    lock.release_write()


@SAFE
def test_an_unguarded_counter_loses_nothing_under_the_write_lock(make: Callable[..., Lock]) -> None:
    lock, threads, rounds = make(), 8, 200
    inside = total = 0
    start = threading.Barrier(threads)

    def work() -> None:
        nonlocal inside, total
        start.wait(PATIENCE)
        for _ in range(rounds):
            with lock.write(PATIENCE):
                inside += 1
                assert inside == 1
                seen = total
                threading.Event().wait(0)  # other threads may run between read and write
                total = seen + 1
                inside -= 1

    with workers(threads) as team:
        for done in [worker.ask(work) for worker in team]:
            done.result(4 * PATIENCE)
    assert total == threads * rounds
    assert lock.statistics() == NOBODY


@SAFE
def test_a_writer_excludes_readers_and_writers(make: Callable[..., Lock]) -> None:
    lock = make()
    with workers(2) as (a, b):
        a.do(lock.acquire_write)
        assert b.do(lock.acquire_read, 0) is False
        assert b.do(lock.acquire_write, 0) is False
        a.do(lock.release_write)
        assert b.do(lock.acquire_write, 0) is True
        b.do(lock.release_write)


@SAFE
def test_a_reader_excludes_writers(make: Callable[..., Lock]) -> None:
    lock = make()
    with workers(2) as (a, b):
        a.do(lock.acquire_read)
        assert b.do(lock.acquire_write, 0) is False
        a.do(lock.release_read)
        assert b.do(lock.acquire_write, 0) is True
        b.do(lock.release_write)


def test_readers_exclude_each_other_under_a_mutex_only() -> None:
    shared = {}
    for name, make in EXCLUSIVE.items():
        lock = make()
        with workers(2) as (a, b):
            a.do(lock.acquire_read)
            if b.do(lock.acquire_read, 0):
                shared[name] = lock.statistics().readers
                b.do(lock.release_read)
            a.do(lock.release_read)
    assert shared == {"fair": 2, "readers": 2, "writers": 2}


@SAFE
def test_a_timeout_raises_and_leaves_no_trace(make: Callable[..., Lock]) -> None:
    lock = make()
    with workers(2) as (a, b):
        a.do(lock.acquire_write)
        before = lock.statistics()
        assert before.writer == a.ident
        assert b.do(lock.acquire_read, 0.01) is False
        assert b.do(lock.acquire_write, 0.01) is False

        def enter(block: Callable[[float], Any]) -> None:
            with block(0.01):
                pytest.fail("entered")

        with pytest.raises(LockTimeout, match=r"not acquired for reading within 0\.01 s"):
            b.do(enter, lock.read)
        with pytest.raises(TimeoutError, match=r"not acquired for writing within 0\.01 s"):
            b.do(enter, lock.write)
        assert lock.statistics() == before
        a.do(lock.release_write)
        assert lock.statistics() == NOBODY


@SAFE
@pytest.mark.parametrize("timeout", [None, 1e300, 9.2e18, math.inf, 10**30, PATIENCE])
def test_a_waiter_gets_the_lock_when_it_is_released(
    make: Callable[..., Lock], timeout: float | None
) -> None:
    lock = make()
    with workers(2) as (a, b):
        a.do(lock.acquire_read)
        granted = b.ask(lock.acquire_write, timeout)
        eventually(lambda: lock.statistics().waiting_writers == 1)
        assert not granted.done()
        a.do(lock.release_read)
        assert granted.result(PATIENCE) is True
        granted = a.ask(lock.acquire_read, timeout)
        eventually(lambda: lock.statistics().waiting_readers == 1)
        b.do(lock.release_write)
        assert granted.result(PATIENCE) is True
        a.do(lock.release_read)


TIMED = {name: make for name, make in IN_PROCESS.items() if name != "first-draft"}


@pytest.mark.parametrize("make", TIMED.values(), ids=TIMED)
@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan, "1", True, b"", [1], 1j])
def test_a_bad_timeout_is_refused_in_a_sentence(make: Callable[..., Lock], timeout: Any) -> None:
    lock = make()
    for call in (
        lock.acquire_read,
        lock.acquire_write,
        lambda it: lock.read(it).__enter__(),
        lambda it: lock.write(it).__enter__(),
    ):
        with pytest.raises(ValueError, match=r"timeout must be None or a number of seconds >= 0"):
            call(timeout)
    assert lock.statistics() == NOBODY


@SAFE
def test_misuse_is_refused_at_once_and_changes_nothing(make: Callable[..., Lock]) -> None:
    lock = make()
    with workers(2) as (a, b):
        for release in (lock.release_read, lock.release_write):
            with pytest.raises(RuntimeError, match="it does not"):
                a.do(release)

        a.do(lock.acquire_write)
        held = lock.statistics()
        for wrong in (lock.acquire_write, lock.acquire_read, lock.release_read):
            with pytest.raises(RuntimeError, match="This thread"):
                a.do(wrong)
        for wrong in (lock.release_write, lock.release_read):
            with pytest.raises(RuntimeError, match="it does not"):
                b.do(wrong)
        assert lock.statistics() == held
        a.do(lock.release_write)

        a.do(lock.acquire_read)
        held = lock.statistics()
        for wrong in (lock.acquire_write, lock.release_write):
            with pytest.raises(RuntimeError, match="This thread"):
                a.do(wrong)
        with pytest.raises(RuntimeError, match="it does not read"):
            b.do(lock.release_read)
        assert lock.statistics() == held
        a.do(lock.release_read)
        with pytest.raises(RuntimeError, match="it does not read"):
            a.do(lock.release_read)
    assert lock.statistics() == NOBODY


@SAFE
def test_statistics_show_the_holders_and_the_number_of_waiters(make: Callable[..., Lock]) -> None:
    lock = make()
    with workers(4) as (a, b, c, d):
        a.do(lock.acquire_write)
        waiting = [b.ask(lock.acquire_read), c.ask(lock.acquire_read), d.ask(lock.acquire_write)]
        expected = LockStatistics(readers=0, writer=a.ident, waiting_readers=2, waiting_writers=1)
        eventually(lambda: lock.statistics() == expected)
        a.do(lock.release_write)

        def finish(index: int) -> None:
            waiting[index].result(PATIENCE)
            (b, c, d)[index].do(lock.release_write if index == 2 else lock.release_read)

        done: set[int] = set()
        while len(done) < 3:
            eventually(lambda: any(w.done() for i, w in enumerate(waiting) if i not in done))
            index = next(i for i, w in enumerate(waiting) if w.done() and i not in done)
            finish(index)
            done.add(index)
        a.do(lock.acquire_read)
        assert lock.statistics() == LockStatistics(
            readers=1, writer=None, waiting_readers=0, waiting_writers=0, reader_idents=(a.ident,)
        )
        a.do(lock.release_read)
    assert lock.statistics() == NOBODY


def test_no_lock_lets_all_threads_in() -> None:
    lock = NoLock()
    with lock.write(), lock.write(), lock.read():
        assert lock.statistics() == NOBODY
    lock.release_read()
    lock.release_write()
