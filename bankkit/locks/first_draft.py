"""A read–write lock with a lost wakeup, kept as a specimen for study. Not for use.

The bug sits in ``FirstDraftLock.release_write``: it notifies first and releases the writers' mutex
after. A reader that wakes in between finds the mutex still locked and waits again, and nobody will
ever wake it: the notification it needed has been spent. Released inside the block, it is right.

Tests do not find it: 0 of 20,000 rounds of contention, because the woken reader needs the time of
a thread switch to look, and the writer needs one more line. Under the right schedule it is certain.
"""

import threading
from typing import Any

from .guards import ReadGuard, WriteGuard
from .protocol import LockStatistics


class FirstDraftLock:
    """Many readers or one writer, unless a wakeup gets lost; then a reader waits for ever.

    A specimen: it checks no misuse, it takes no timeouts, and an interrupt may leave it taken, as
    it may a Condition. ``timeout`` is accepted, because every lock accepts it, and ignored.
    """

    __slots__ = ("_changed", "_get_ident", "_readers", "_writer", "_writers_mutex")

    def __init__(self, threading: Any = threading) -> None:
        self._get_ident = threading.get_ident
        self._changed = threading.Condition(threading.Lock())  # guards the number of readers
        self._readers = 0
        self._writers_mutex = threading.Lock()  # held by the writer, from asking to releasing
        self._writer: int | None = None

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read. Waits as long as it takes, which may be for ever."""
        with self._changed:
            while self._writers_mutex.locked():
                self._changed.wait()
            self._readers += 1
        return True

    def release_read(self) -> None:
        """End one read; the last reader wakes everybody."""
        with self._changed:
            self._readers -= 1
            if self._readers == 0:
                self._changed.notify_all()

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write. Waits as long as it takes."""
        self._writers_mutex.acquire()
        with self._changed:
            while self._readers > 0:
                self._changed.wait()
            self._writer = self._get_ident()
        return True

    def release_write(self) -> None:
        """End the write, in the wrong order."""
        with self._changed:
            self._writer = None
            self._changed.notify_all()
        # A reader that wakes here finds the writers' mutex locked and waits for a wakeup that
        # nobody will send.
        self._writers_mutex.release()

    def statistics(self) -> LockStatistics:
        """Who holds the lock, now. It keeps no count of those who wait."""
        with self._changed:
            return LockStatistics(
                readers=self._readers,
                writer=self._writer,
                waiting_readers=None,
                waiting_writers=None,
            )
