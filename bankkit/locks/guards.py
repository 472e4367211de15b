"""The guards behind ``with lock.read():`` and ``with lock.write():``.

The Redis lock, which can be lost, derives its guards from these. They are classes with slots,
because a ``contextlib`` generator costs as much as the lock itself. No interrupt comes between a
block and its ``__exit__``, or between ``__exit__`` and the release: the block's last call is still
inside the block, and both functions have an `unbroken_start`.
"""

from types import TracebackType

from .holders import Inherited
from .interrupts import unbroken_start
from .protocol import Fence, Lock, LockTimeout


class ReadGuard:
    """Holds a lock for reading while its ``with`` block runs."""

    __slots__ = ("_lock", "_timeout")

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> None:
        if not self._lock.acquire_read(self._timeout):
            raise LockTimeout(f"The lock was not acquired for reading within {self._timeout} s.")

    @unbroken_start
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._lock.release_read()
        except Inherited:
            return  # a forked child left a block of its parent; the parent keeps the lock


class WriteGuard:
    """Holds a lock for writing while its ``with`` block runs."""

    __slots__ = ("_lock", "_timeout")

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> Fence | None:
        """Return None: a lock inside this process cannot be lost and needs no fence."""
        if not self._lock.acquire_write(self._timeout):
            raise LockTimeout(f"The lock was not acquired for writing within {self._timeout} s.")
        return None

    @unbroken_start
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._lock.release_write()
        except Inherited:
            return
