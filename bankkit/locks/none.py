"""No lock at all, to see what a lock is for."""

import threading
from typing import Any

from .guards import ReadGuard, WriteGuard
from .protocol import LockStatistics, seconds


class NoLock:
    """Lets everybody in at once: two deposits at the same time may lose one (a lost update).

    It cannot be misused, times out never, and takes ``threading`` only because the others do.
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
        """True. Raises ValueError for a bad timeout, as every lock does."""
        seconds(timeout)
        return True

    def release_read(self) -> None:
        """Do nothing."""

    def acquire_write(self, timeout: float | None = None) -> bool:
        """True. Raises ValueError for a bad timeout, as every lock does."""
        seconds(timeout)
        return True

    def release_write(self) -> None:
        """Do nothing."""

    def statistics(self) -> LockStatistics:
        """Nobody holds it and nobody waits, ever."""
        return LockStatistics(readers=0, writer=None, waiting_readers=0, waiting_writers=0)
