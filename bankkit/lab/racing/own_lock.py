"""An adapter that lets a learner's own lock work in the bank, like those of `bankkit.locks`."""

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

    Its acquire methods may take a timeout in seconds, or no timeout. They may return whether they
    got the lock; None counts as True. Raises TypeError, which names the missing methods, for an
    object without such methods.
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
        """A context manager that holds the lock to read."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """A context manager that holds the lock to write."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Acquire to read; return whether it succeeded within the timeout (seconds)."""
        return self._acquire_read(timeout)

    def release_read(self) -> None:
        """Release after a read."""
        self._release_read()

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Acquire to write; return whether it succeeded within the timeout (seconds)."""
        return self._acquire_write(timeout)

    def release_write(self) -> None:
        """Release after a write."""
        self._release_write()

    def statistics(self) -> LockStatistics:
        """The statistics of the wrapped lock, or unknown values if it keeps none."""
        ask = getattr(self._lock, "statistics", None)
        found = ask() if ask else None
        return found if isinstance(found, LockStatistics) else LockStatistics(0, None, None, None)


def adapted(lock: Any) -> Lock:
    """The lock itself if it has the methods of `bankkit.locks`, else an `OwnLock` around it."""
    if all(callable(getattr(lock, name, None)) for name in (*FOUR, "read", "write", "statistics")):
        return lock  # type: ignore[no-any-return]
    return OwnLock(lock)


def _acquirer(acquire: Callable[..., Any]) -> Callable[[float | None], bool]:
    """`acquire` as a function that takes a timeout or None and returns whether it got the lock."""
    try:
        takes_timeout = "timeout" in inspect.signature(acquire).parameters
    except ValueError:  # a built-in method, such as `threading.Lock`'s
        takes_timeout = True

    def acquire_in_time(timeout: float | None = None) -> bool:
        got = acquire(timeout=timeout) if takes_timeout and timeout is not None else acquire()
        return got is None or bool(got)

    return acquire_in_time
