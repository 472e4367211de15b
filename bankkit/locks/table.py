"""A table with one lock per key: made at its first use, dropped when no thread uses it."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from bankkit.runtime.pickling import Unique

from .holders import Inherited, threads_of
from .interrupts import give_back, unbroken_start
from .protocol import Fence, Lock, LockStatistics


class LockTable(Unique):
    """One lock per key, kept only while a thread holds it or waits for it.

    ``make`` takes the key and returns a lock for it. The table calls it under its own mutex, so it
    must be quick. It may wrap the lock, for example to record which thread waits for which.

    Locking a million keys, one after the other, leaves the table empty.
    """

    __slots__ = ("_entries", "_make", "_mutex", "_threads")

    def __init__(self, make: Callable[[str], Lock], threading: Any = threading) -> None:
        self._make = make
        self._threads = threads_of(threading)
        self._mutex = threading.RLock()
        self._entries: dict[str, _Entry] = {}

    def read(self, key: str, timeout: float | None = None) -> "KeyGuard":
        """Read under the key's lock in a ``with`` block, which yields the lock's fence.

        Entering raises what the lock's own ``read(timeout)`` raises, such as LockTimeout.
        """
        return KeyGuard(self, key, timeout, False)

    def write(self, key: str, timeout: float | None = None) -> "KeyGuard":
        """Write under the key's lock in a ``with`` block, which yields the lock's fence.

        Entering raises what the lock's own ``write(timeout)`` raises, such as LockTimeout.
        """
        return KeyGuard(self, key, timeout, True)

    def __len__(self) -> int:
        """The number of keys whose lock a thread holds or waits for."""
        return len(self._entries)

    def statistics(self, key: str) -> LockStatistics | None:
        """Statistics of the key's lock; None if no thread holds it or waits for it."""
        _ = self._threads.me  # raises in a forked child, where the mutex may stay locked forever
        entry = self._entries.get(key)
        return entry.lock.statistics() if entry else None

    def _add_user(self, key: str) -> Lock:
        _ = self._threads.me
        mutex = self._mutex
        added = False
        try:
            mutex.acquire()
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(self._make(key))
            entry.users += 1
            added = True
            mutex.release()
            return entry.lock
        except BaseException:
            give_back(mutex)
            if added:
                self._remove_user(key)
            raise

    @unbroken_start
    def _remove_user(self, key: str) -> None:
        try:
            _ = self._threads.me
        except Inherited:
            return  # a forked child left a block of its parent
        mutex = self._mutex
        acquired = False
        try:
            mutex.acquire()
            acquired = True
            self._decrement(key)
            mutex.release()
        except BaseException:
            give_back(mutex)
            if not acquired:  # it was interrupted while it waited for the mutex
                with mutex:
                    self._decrement(key)
            raise

    @unbroken_start
    def _decrement(self, key: str) -> None:
        entry = self._entries[key]
        entry.users -= 1
        if not entry.users:
            del self._entries[key]


class _Entry:
    """A lock and the number of threads that hold it or wait for it."""

    __slots__ = ("lock", "users")

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.users = 0


class KeyGuard:
    """Holds one key's lock, and keeps it in the table, while its ``with`` block runs."""

    __slots__ = ("_guard", "_key", "_table", "_timeout", "_write")

    def __init__(self, table: LockTable, key: str, timeout: float | None, write: bool) -> None:
        self._table = table
        self._key = key
        self._timeout = timeout
        self._write = write

    def __enter__(self) -> Fence | None:
        lock = self._table._add_user(self._key)
        try:
            guard: AbstractContextManager[Fence | None] = (
                lock.write(self._timeout) if self._write else lock.read(self._timeout)
            )
            fence = guard.__enter__()
        except BaseException:
            self._table._remove_user(self._key)
            raise
        self._guard = guard
        return fence

    @unbroken_start
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return self._guard.__exit__(kind, error, traceback)
        finally:
            self._table._remove_user(self._key)
