"""No lock at all, to show what a lock is for."""

import threading
from typing import Any

from .guards import ReadGuard, WriteGuard
from .protocol import LockStatistics, seconds


class NoLock:
    """Lets all threads in at once: one of two simultaneous deposits may be lost (a lost update).

    It cannot be misused and never times out. It takes ``threading`` only because the others do.
    """

    __slots__ = ()

    def __init__(self, threading: Any = threading) -> None:
        pass

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Do nothing in a ``with`` block."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Do nothing in a ``with`` block."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Return True. Raises ValueError for a bad timeout, as every lock does."""
        seconds(timeout)
        return True

    def release_read(self) -> None:
        """Do nothing."""

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Return True. Raises ValueError for a bad timeout, as every lock does."""
        seconds(timeout)
        return True

    def release_write(self) -> None:
        """Do nothing."""

    def statistics(self) -> LockStatistics:
        """Statistics without holders or waiters."""
        return LockStatistics(readers=0, writer=None, waiting_readers=0, waiting_writers=0)
