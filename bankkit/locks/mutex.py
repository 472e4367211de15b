"""A plain mutex: one thread at a time, reader or writer."""

import threading
from functools import partial
from typing import Any, Literal

from bankkit.runtime.pickling import Unique

from .guards import ReadGuard, WriteGuard
from .holders import Holder, threads_of
from .interrupts import unbroken_start
from .protocol import LockStatistics, seconds

Kind = Literal["read", "write"]


class Mutex(Unique):
    """A lock that treats readers like writers: a holder excludes all other threads.

    It is simple and correct, but readers wait for readers. It wakes one waiter at a time and
    promises no order, like the ``threading.Lock`` that it is built on.

    Raises RuntimeError at once if a thread acquires it again, for reading or writing, or releases
    what it does not hold.
    """

    # An iterator takes the lock. A call of `acquire` could take it and be interrupted before the
    # result is stored. This cannot happen in a step of an iterator written in C.
    __slots__ = ("_attempts", "_holder", "_lock", "_threads", "_waiting")

    def __init__(self, threading: Any = threading) -> None:
        self._threads = threads_of(threading)
        self._lock = threading.Lock()
        self._attempts = iter(partial(self._lock.acquire, False), None)  # yields True or False
        # Only the holder writes this. So a thread may check without a lock whether it is the
        # holder: no other thread sets or replaces its entry.
        self._holder: tuple[Holder, Kind] | None = None
        # These sets need no lock: `add` and `discard` are atomic in CPython.
        self._waiting: dict[Kind, set[Holder]] = {"read": set(), "write": set()}

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block. Entering raises LockTimeout, or RuntimeError on misuse."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block. Entering raises LockTimeout, or RuntimeError on misuse."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read, alone. Returns False after ``timeout`` seconds without the lock."""
        return self._acquire("read", timeout)

    @unbroken_start
    def release_read(self) -> None:
        """End the read. Raises RuntimeError if this thread does not read."""
        self._release("read")

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write, alone. Returns False after ``timeout`` seconds without the lock."""
        return self._acquire("write", timeout)

    @unbroken_start
    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""
        self._release("write")

    def statistics(self) -> LockStatistics:
        """The present holder and the number of waiters."""
        _ = self._threads.me  # raises in a forked child
        holder, kind = self._holder or (None, None)
        reader_idents = (holder.ident,) if holder is not None and kind == "read" else ()
        return LockStatistics(
            readers=len(reader_idents),
            writer=holder.ident if holder is not None and kind == "write" else None,
            waiting_readers=len(self._waiting["read"]),
            waiting_writers=len(self._waiting["write"]),
            reader_idents=reader_idents,
        )

    def _acquire(self, kind: Kind, timeout: float | None) -> bool:
        limit = seconds(timeout)
        me = self._threads.me
        holder = self._holder
        if holder is not None and holder[0] is me:
            raise RuntimeError(
                f"This thread already holds the mutex to {holder[1]}; release it first."
            )
        try:
            for acquired in self._attempts:
                if acquired:
                    self._holder = (me, kind)
                    return True
                break
            return limit != 0 and self._wait(me, kind, limit)
        except BaseException:
            self._leave(me)
            raise

    def _wait(self, me: Holder, kind: Kind, limit: float) -> bool:
        try:
            self._waiting[kind].add(me)
            for acquired in iter(partial(self._lock.acquire, True, limit), None):
                if acquired:
                    self._holder = (me, kind)
                return bool(acquired)
            raise AssertionError("the iterator never ends")
        finally:
            self._waiting[kind].discard(me)

    @unbroken_start
    def _leave(self, me: Holder) -> None:
        """Release the lock after an interrupt, if this thread had already acquired it."""
        holder = self._holder
        if holder is not None and holder[0] is me:
            self._holder = None
            self._lock.release()

    @unbroken_start
    def _release(self, kind: Kind) -> None:
        me = self._threads.me
        holder = self._holder
        if holder is None or holder[0] is not me or holder[1] != kind:
            raise RuntimeError(f"This thread cannot end a {kind}: it does not {kind}.")
        self._holder = None
        self._lock.release()
