"""A read–write lock with a lost wakeup, kept as a specimen for study. Do not use it.

The bug is in ``FirstDraftLock.release_write``: it notifies first and releases the writers' mutex
afterwards. A reader that wakes in between finds the mutex still locked and waits again. Nobody
wakes it a second time. Releasing the mutex inside the ``with`` block fixes the bug.

Tests do not find it: 0 of 20,000 rounds of contention. The woken reader needs a thread switch
before it looks, and the writer only one more line. Under the right schedule it always happens.
"""

import threading
from typing import Any

from .guards import ReadGuard, WriteGuard
from .protocol import LockStatistics


class FirstDraftLock:
    """Many readers or one writer; but if a wakeup is lost, a reader waits forever.

    This specimen does not check for misuse, and an interrupt may leave it taken, as with a
    Condition. It accepts ``timeout``, because every lock does, and ignores it.
    """

    __slots__ = ("_changed", "_get_ident", "_readers", "_writer", "_writers_mutex")

    def __init__(self, threading: Any = threading) -> None:
        self._get_ident = threading.get_ident
        self._changed = threading.Condition(threading.Lock())  # guards the number of readers
        self._readers = 0
        self._writers_mutex = threading.Lock()  # held by a writer that waits for readers or writes
        self._writer: int | None = None

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read. Waits without a limit, perhaps forever."""
        with self._changed:
            while self._writers_mutex.locked():
                self._changed.wait()
            self._readers += 1
        return True

    def release_read(self) -> None:
        """End one read; the last reader wakes every waiting thread."""
        with self._changed:
            self._readers -= 1
            if self._readers == 0:
                self._changed.notify_all()

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write. Waits without a limit."""
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
        # A reader that wakes here finds the writers' mutex locked. It waits again, for a wakeup
        # that nobody sends.
        self._writers_mutex.release()

    def statistics(self) -> LockStatistics:
        """The present holders. This lock does not count its waiters."""
        with self._changed:
            return LockStatistics(
                readers=self._readers,
                writer=self._writer,
                waiting_readers=None,
                waiting_writers=None,
            )
