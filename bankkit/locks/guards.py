"""``with lock.read():`` and ``with lock.write():``; a lock that can be lost builds on these.

Classes with slots, because a ``contextlib`` generator costs as much as the lock itself. No
interrupt comes between a block and its ``__exit__``, or between that and the release: the block's
last call is still in it, and both functions have an `unbroken_start`.
"""

from types import TracebackType

from .holders import Inherited
from .interrupts import unbroken_start
from .protocol import Fence, Lock, LockTimeout


class ReadGuard:
    """Reads while its ``with`` block runs."""

    __slots__ = ("_lock", "_timeout")

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> None:
        if not self._lock.acquire_read(self._timeout):
            raise LockTimeout(f"The lock was not had for reading within {self._timeout} s.")

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
            return  # a forked child leaves a block of its parent, and the hold to the parent


class WriteGuard:
    """Writes while its ``with`` block runs."""

    __slots__ = ("_lock", "_timeout")

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> Fence | None:
        """Yields no fence: what lives in this process cannot be lost."""
        if not self._lock.acquire_write(self._timeout):
            raise LockTimeout(f"The lock was not had for writing within {self._timeout} s.")
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
