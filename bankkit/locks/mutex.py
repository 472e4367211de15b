"""One thread at a time, whatever it does."""

import threading
from typing import Any, Literal

from .guards import ReadGuard, WriteGuard
from .protocol import LockStatistics, seconds

Kind = Literal["read", "write"]


class Mutex:
    """A lock that makes no difference between readers and writers: each excludes everybody.

    Simple and right, at the price that reads wait for reads. It wakes one waiter at a time and
    promises no order, like ``threading.Lock``, on which it is built.

    Raises RuntimeError at once if a thread acquires it again, for reading or writing, or releases
    what it does not hold.
    """

    __slots__ = ("_bookkeeping", "_get_ident", "_holder", "_lock", "_waiting")

    def __init__(self, threading: Any = threading) -> None:
        self._get_ident = threading.get_ident
        self._lock = threading.Lock()
        # Written by the holder only. So a thread may look here without a lock to learn whether it
        # is the holder itself: nobody else ever writes this thread's ident, or replaces it.
        self._holder: tuple[int, Kind] | None = None
        self._bookkeeping = threading.Lock()  # guards the counts of those who wait
        self._waiting: dict[Kind, int] = {"read": 0, "write": 0}

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block. Raises LockTimeout on entering it, RuntimeError on misuse."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block. Raises LockTimeout on entering it, RuntimeError on misuse."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read, alone; False if that was not possible within ``timeout`` seconds."""
        return self._acquire("read", timeout)

    def release_read(self) -> None:
        """End the read. Raises RuntimeError if this thread does not read."""
        self._release("read")

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write, alone; False if that was not possible within ``timeout`` seconds."""
        return self._acquire("write", timeout)

    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""
        self._release("write")

    def statistics(self) -> LockStatistics:
        """Who holds the lock and how many wait for it, now."""
        with self._bookkeeping:
            holder, kind = self._holder or (None, None)
            reader_idents = (holder,) if holder is not None and kind == "read" else ()
            return LockStatistics(
                readers=len(reader_idents),
                writer=holder if kind == "write" else None,
                waiting_readers=self._waiting["read"],
                waiting_writers=self._waiting["write"],
                reader_idents=reader_idents,
            )

    def _acquire(self, kind: Kind, timeout: float | None) -> bool:
        limit = seconds(timeout)
        me = self._get_ident()
        holder = self._holder
        if holder is not None and holder[0] == me:
            raise RuntimeError(
                f"This thread holds the mutex to {holder[1]}; it must release first."
            )
        if self._lock.acquire(False) or (limit != 0 and self._wait(kind, limit)):
            self._holder = (me, kind)
            return True
        return False

    def _wait(self, kind: Kind, limit: float) -> bool:
        with self._bookkeeping:
            self._waiting[kind] += 1
        try:
            return bool(self._lock.acquire(True, limit))
        finally:
            with self._bookkeeping:
                self._waiting[kind] -= 1

    def _release(self, kind: Kind) -> None:
        if self._holder != (self._get_ident(), kind):
            raise RuntimeError(f"This thread cannot end a {kind}: it does not {kind}.")
        self._holder = None
        self._lock.release()
