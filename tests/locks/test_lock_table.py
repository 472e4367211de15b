"""A table has one lock per key in use, and none for a key that no thread uses."""

import threading
import weakref

import pytest

from bankkit.locks import Fence, Lock, LockTable, LockTimeout, NoLock, ReadWriteLock
from bankkit.locks.guards import ReadGuard, WriteGuard
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers


def test_keys_do_not_wait_for_each_other() -> None:
    table = LockTable(lambda key: ReadWriteLock())
    with table.write("a"), table.write("b"), table.read("c"):
        assert len(table) == 3
    assert len(table) == 0


def test_threads_that_share_a_key_share_its_lock() -> None:
    table = LockTable(lambda key: ReadWriteLock())

    def enter_briefly() -> None:
        with table.read("a", timeout=0):
            pytest.fail("entered")

    with workers(1) as (other,), table.write("a"):
        with pytest.raises(LockTimeout):
            other.do(enter_briefly)
        assert len(table) == 1
    assert len(table) == 0


def test_a_lock_stays_while_a_thread_waits_for_it() -> None:
    made: list[ReadWriteLock] = []

    def make(key: str) -> Lock:
        made.append(ReadWriteLock())
        return made[-1]

    table, leave = LockTable(make), threading.Event()

    def write_until_told() -> None:
        with table.write("a"):
            assert leave.wait(PATIENCE)

    with workers(2) as (first, second):
        done = [first.ask(write_until_told)]
        eventually(lambda: bool(made) and made[0].statistics().writer == first.ident)
        done.append(second.ask(write_until_told))
        eventually(lambda: made[0].statistics().waiting_writers == 1)
        leave.set()
        for each in done:
            each.result(PATIENCE)
    assert len(made) == 1
    assert len(table) == 0


def test_threads_that_arrive_together_make_one_lock() -> None:
    threads, rounds, made = 8, 100, 0

    def make(key: str) -> Lock:
        nonlocal made
        made += 1
        return ReadWriteLock()

    table, together = LockTable(make), threading.Barrier(threads)

    def read() -> None:
        for number in range(rounds):
            together.wait(PATIENCE)
            with table.read(f"key {number}"):
                together.wait(PATIENCE)  # all are inside, so the lock was never dropped
                assert len(table) == 1
                together.wait(PATIENCE)

    with workers(threads) as team:
        for done in [worker.ask(read) for worker in team]:
            done.result(6 * PATIENCE)
    assert made == rounds
    assert len(table) == 0


def test_unknown_keys_leave_nothing() -> None:
    table = LockTable(lambda key: NoLock())
    for number in range(100_000):
        with table.read(str(number)):
            pass
    assert len(table) == 0


def test_a_dropped_lock_is_freed_without_the_garbage_collector() -> None:
    class Tracked(ReadWriteLock):
        pass

    alive: weakref.WeakSet[Tracked] = weakref.WeakSet()

    def make(key: str) -> Lock:
        lock = Tracked()
        alive.add(lock)
        return lock

    table = LockTable(make)
    with table.write("a"):
        assert len(alive) == 1
    for number in range(100):
        with table.read(str(number)):
            pass
        with table.write(str(number), timeout=1.0):
            pass
    assert len(alive) == 0


def test_an_error_on_entering_leaves_the_table_empty() -> None:
    def make(key: str) -> Lock:
        if key == "bad":
            raise KeyError(key)
        return ReadWriteLock()

    table = LockTable(make)
    with pytest.raises(KeyError), table.read("bad"):
        pass
    with pytest.raises(ValueError, match="timeout"), table.write("a", timeout=-1):
        pass
    with table.read("a"):
        with pytest.raises(RuntimeError, match="no upgrade"), table.write("a"):
            pass
        assert len(table) == 1
    with pytest.raises(ZeroDivisionError), table.write("a"):
        _ = 1 / 0
    assert len(table) == 0


def test_make_gets_the_key_and_may_wrap_the_lock() -> None:
    events: list[tuple[str, str]] = []

    class Recorded(ReadWriteLock):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

        def acquire_read(self, timeout: float | None = None) -> bool:
            events.append(("read", self.key))
            return super().acquire_read(timeout)

        def acquire_write(self, timeout: float | None = None) -> bool:
            events.append(("write", self.key))
            return super().acquire_write(timeout)

    table = LockTable(Recorded)
    with table.read("a"):
        pass
    with table.write("b"):
        pass
    assert events == [("read", "a"), ("write", "b")]


def test_statistics_exist_only_for_keys_in_use() -> None:
    table = LockTable(lambda key: ReadWriteLock())
    assert table.statistics("a") is None
    with table.write("a"):
        found = table.statistics("a")
        assert found is not None
        assert (found.writer, found.readers) == (threading.get_ident(), 0)
        assert table.statistics("b") is None
    assert table.statistics("a") is None


def test_the_block_gets_the_fence_of_the_lock() -> None:
    class FencedRead(ReadGuard):
        def __enter__(self) -> Fence:  # type: ignore[override]
            super().__enter__()
            return Fence("a", 7)

    class FencedWrite(WriteGuard):
        def __enter__(self) -> Fence:
            super().__enter__()
            return Fence("a", 8)

    class Fenced(ReadWriteLock):
        def read(self, timeout: float | None = None) -> FencedRead:
            return FencedRead(self, timeout)

        def write(self, timeout: float | None = None) -> FencedWrite:
            return FencedWrite(self, timeout)

    table = LockTable(lambda key: Fenced())
    with table.read("a") as fence:
        assert fence == Fence("a", 7)
    with table.write("a") as fence:
        assert fence == Fence("a", 8)
