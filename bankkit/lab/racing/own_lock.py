"""Lets a lock of the reader's own stand in the bank, as the locks of `bankkit.locks` do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from bankkit.locks import Lock, LockStatistics
from bankkit.locks.guards import ReadGuard, WriteGuard

FOUR = ("acquire_read", "release_read", "acquire_write", "release_write")
TWO = ("acquire", "release")


class OwnLock:
    """Any object with the four methods of a read–write lock, or the two of a mutex.

    Its methods may take a timeout in seconds or nothing, and return whether the lock was had or
    nothing. Raises TypeError, in a sentence, for an object without such methods.
    """

    def __init__(self, lock: Any) -> None:
        names = FOUR if hasattr(lock, FOUR[0]) else TWO * 2
        missing = [name for name in dict.fromkeys(names) if not callable(getattr(lock, name, None))]
        if missing and names is not FOUR:
            missing = list(FOUR)
        if missing:
            raise TypeError(f"{type(lock).__name__} has no {', no '.join(missing)}.")
        self._lock = lock
        acquire_read, self._release_read, acquire_write, self._release_write = (
            getattr(lock, name) for name in names
        )
        self._acquire_read = _acquirer(acquire_read)
        self._acquire_write = _acquirer(acquire_write)

    def read(self, timeout: float | None = None) -> ReadGuard:
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        return self._acquire_read(timeout)

    def release_read(self) -> None:
        self._release_read()

    def acquire_write(self, timeout: float | None = None) -> bool:
        return self._acquire_write(timeout)

    def release_write(self) -> None:
        self._release_write()

    def statistics(self) -> LockStatistics:
        """The lock's own, or all unknown."""
        ask = getattr(self._lock, "statistics", None)
        found = ask() if ask else None
        return found if isinstance(found, LockStatistics) else LockStatistics(0, None, None, None)


def adapted(lock: Any) -> Lock:
    """The lock itself if it is one of `bankkit.locks`' kind, else one that stands for it."""
    if all(callable(getattr(lock, name, None)) for name in (*FOUR, "read", "write", "statistics")):
        return lock  # type: ignore[no-any-return]
    return OwnLock(lock)


def _acquirer(acquire: Callable[..., Any]) -> Callable[[float | None], bool]:
    """`acquire` as a method that takes a timeout or None and returns whether the lock was had."""
    try:
        takes_timeout = "timeout" in inspect.signature(acquire).parameters
    except ValueError:  # a built-in one, such as `threading.Lock`'s
        takes_timeout = True

    def answer(timeout: float | None = None) -> bool:
        had = acquire(timeout=timeout) if takes_timeout and timeout is not None else acquire()
        return had is None or bool(had)

    return answer
