"""One lock a key, made when it is first needed and forgotten when nobody needs it."""

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
    """The locks of all accounts, of which there are only as many as are in use.

    ``make`` gets the key and returns its lock, in no lock or in the one that was made for it. It
    is called while the table is closed to others, so it must be quick, and it is the place to
    wrap a lock from outside, for example to record who waits for whom.

    A key's lock is kept while at least one thread holds it or waits for it: asking for a million
    keys, one after the other, leaves the table empty.
    """

    __slots__ = ("_entries", "_make", "_mutex", "_threads")

    def __init__(self, make: Callable[[str], Lock], threading: Any = threading) -> None:
        self._make = make
        self._threads = threads_of(threading)
        self._mutex = threading.RLock()
        self._entries: dict[str, _Entry] = {}

    def read(self, key: str, timeout: float | None = None) -> "KeyGuard":
        """Read under the key's lock in a ``with`` block, which yields the lock's fence.

        Entering raises what the lock's own ``read(timeout)`` raises, LockTimeout for one.
        """
        return KeyGuard(self, key, timeout, False)

    def write(self, key: str, timeout: float | None = None) -> "KeyGuard":
        """Write under the key's lock in a ``with`` block, which yields the lock's fence.

        Entering raises what the lock's own ``write(timeout)`` raises, LockTimeout for one.
        """
        return KeyGuard(self, key, timeout, True)

    def __len__(self) -> int:
        """How many keys have a lock now, because a thread holds it or waits for it."""
        return len(self._entries)

    def statistics(self, key: str) -> LockStatistics | None:
        """Who holds the key's lock and how many wait for it, now; None if nobody does either."""
        _ = self._threads.me  # refuses in a forked child, where the mutex may be closed for good
        entry = self._entries.get(key)
        return entry.lock.statistics() if entry else None

    def _enlist(self, key: str) -> Lock:
        _ = self._threads.me
        mutex = self._mutex
        enlisted = False
        try:
            mutex.acquire()
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(self._make(key))
            entry.users += 1
            enlisted = True
            mutex.release()
            return entry.lock
        except BaseException:
            give_back(mutex)
            if enlisted:
                self._leave(key)
            raise

    @unbroken_start
    def _leave(self, key: str) -> None:
        try:
            _ = self._threads.me
        except Inherited:
            return  # a forked child leaves a block of its parent
        mutex = self._mutex
        left = False
        try:
            mutex.acquire()
            left = True
            self._strike(key)
            mutex.release()
        except BaseException:
            give_back(mutex)
            if not left:  # interrupted while it waited for the mutex
                with mutex:
                    self._strike(key)
            raise

    @unbroken_start
    def _strike(self, key: str) -> None:
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
    """Holds one key's lock while its ``with`` block runs, and the lock in the table as long."""

    __slots__ = ("_guard", "_key", "_table", "_timeout", "_write")

    def __init__(self, table: LockTable, key: str, timeout: float | None, write: bool) -> None:
        self._table = table
        self._key = key
        self._timeout = timeout
        self._write = write

    def __enter__(self) -> Fence | None:
        lock = self._table._enlist(self._key)
        try:
            guard: AbstractContextManager[Fence | None] = (
                lock.write(self._timeout) if self._write else lock.read(self._timeout)
            )
            fence = guard.__enter__()
        except BaseException:
            self._table._leave(self._key)
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
            self._table._leave(self._key)
