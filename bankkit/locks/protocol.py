"""The protocol that every lock of the bank follows, so that one can replace another."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import TIMEOUT_MAX
from typing import NamedTuple, Protocol


class LockTimeout(TimeoutError):
    """A lock was not acquired in time. The thread neither holds it nor waits for it any more."""


class LeaseLost(RuntimeError):
    """A lock was lost before its holder released it: another holder may have entered since.

    Only a lock outside this process can be lost.
    """


class Fence(NamedTuple):
    """A fencing token: it grows with every writer of ``key``, and a store can check it.

    A writer that lost its lock without noticing (a paused process, an expired lease) has a smaller
    token than the present writer. Locks inside one process cannot be lost and yield None.
    """

    key: str
    token: int


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """A consistent snapshot of a lock, for debugging, tests and pictures. It is soon outdated."""

    readers: int
    """Number of threads that read; a thread that reads twice counts once."""
    writer: int | None
    """Ident of the thread that writes, within its own process."""
    waiting_readers: int | None
    """Number of threads that wait to read; None if the lock does not count them."""
    waiting_writers: int | None
    """Number of threads that wait to write; None if the lock does not count them."""
    reader_idents: tuple[int, ...] = ()
    """Idents of the threads that read, in the order they entered; empty if the lock does not
    record them."""


class Lock(Protocol):
    """A lock for readers and writers.

    A timeout is in seconds: None waits forever, and 0 tries once without waiting. Infinity and
    numbers above ``threading.TIMEOUT_MAX`` count as ``TIMEOUT_MAX``. Anything else (negative, NaN,
    not a number) raises ValueError.

    A ``with`` block releases its lock even if a KeyboardInterrupt comes, at any moment. Between
    ``acquire_read`` and the caller's own ``try`` there is no such protection.

    The holder is a thread. If it ends without releasing, the lock stays taken, also for a later
    thread with the same ident. In a forked child every method of a lock of the parent raises
    RuntimeError. But the end of a ``with`` block that the fork happened in does nothing there.
    """

    def read(self, timeout: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lock for reading in a ``with`` block. Entering may raise LockTimeout."""

    def write(self, timeout: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lock for writing in a ``with`` block. Entering may raise LockTimeout."""

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Acquire the lock for reading. Returns False if it was not acquired in time."""

    def release_read(self) -> None:
        """End one read. Raises RuntimeError if this thread does not read."""

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Acquire the lock for writing. Returns False if it was not acquired in time."""

    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""

    def statistics(self) -> LockStatistics:
        """The present holders and the number of waiters."""


FOREVER = -1.0
"""The value with which ``threading.Lock.acquire`` waits without a limit."""


def seconds(timeout: float | None) -> float:
    """The timeout in the form that ``threading.Lock.acquire`` takes.

    Raises ValueError unless it is None or a number of seconds >= 0.
    """
    if timeout is None:
        return FOREVER
    # Not `timeout < 0`: NaN compares false with everything, so that would let NaN pass.
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise ValueError(
            "A timeout must be None or a number of seconds >= 0, an int or a float, "
            f"not {timeout!r}."
        )
    return min(timeout, TIMEOUT_MAX)
