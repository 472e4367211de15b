"""The specimen works in ordinary use, and loses a wakeup under one schedule."""

import threading
from types import SimpleNamespace

import pytest

from bankkit.locks import FirstDraftLock
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers


def test_readers_share_and_a_writer_is_alone() -> None:
    lock = FirstDraftLock()
    with workers(3) as (a, b, writer):
        a.do(lock.acquire_read)
        b.do(lock.acquire_read)
        assert lock.statistics().readers == 2
        granted = writer.ask(lock.acquire_write)
        a.do(lock.release_read)
        assert not granted.done()
        b.do(lock.release_read)
        assert granted.result(PATIENCE)
        assert lock.statistics().writer == writer.ident
        writer.do(lock.release_write)
        assert (lock.statistics().readers, lock.statistics().writer) == (0, None)


@pytest.mark.parametrize("timeout", [0, 0.001, -1.0])
def test_a_timeout_is_accepted_and_ignored(timeout: float) -> None:
    lock = FirstDraftLock()
    with workers(2) as (reader, writer):
        reader.do(lock.acquire_read, timeout)
        granted = writer.ask(lock.acquire_write, timeout)
        reader.do(lock.release_read)
        assert granted.result(PATIENCE)
        writer.do(lock.release_write)


class Schedule(SimpleNamespace):
    """A `threading` that stops a notifying thread right after the Condition's block."""

    def __init__(self) -> None:
        super().__init__(Lock=threading.Lock, get_ident=threading.get_ident)
        self.conditions: list[ParkingCondition] = []

    def Condition(self, lock: threading.Lock) -> "ParkingCondition":
        self.conditions.append(ParkingCondition(lock))
        return self.conditions[-1]


class ParkingCondition(threading.Condition):
    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(lock)
        self.waits = 0
        self.notified = False
        self.go_on = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return super().wait(timeout)

    def notify_all(self) -> None:
        self.notified = True
        super().notify_all()

    def __exit__(self, *exception: object) -> None:
        park, self.notified = self.notified, False
        super().__exit__(None, None, None)  # releases the mutex; ignores its arguments
        if park:
            assert self.go_on.wait(PATIENCE)


def test_a_reader_that_wakes_between_notify_and_release_sleeps_forever() -> None:
    schedule = Schedule()
    lock = FirstDraftLock(threading=schedule)
    (changed,) = schedule.conditions
    with workers(2) as (reader, writer):
        writer.do(lock.acquire_write)
        reading = reader.ask(lock.acquire_read)
        eventually(lambda: changed.waits == 1)
        released = writer.ask(lock.release_write)  # notifies, then stops before it releases
        eventually(lambda: changed.waits == 2)  # the reader woke, saw the mutex locked, waits again
        changed.go_on.set()
        released.result(PATIENCE)

        # No thread holds the lock or is about to act, and the reader still waits.
        assert (lock.statistics().readers, lock.statistics().writer) == (0, None)
        with pytest.raises(TimeoutError):
            reading.result(0.2)
        # A wakeup is all that the reader needs. (Without it the test would leave a thread behind.)
        with changed:
            changed.notify_all()
        assert reading.result(PATIENCE)
        reader.do(lock.release_read)
