"""What every lock of the bank promises, so that one can stand in for another."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import TIMEOUT_MAX
from typing import NamedTuple, Protocol


class LockTimeout(TimeoutError):
    """A lock was not had in time. Nothing is held and nothing was queued that still waits."""


class LeaseLost(RuntimeError):
    """A hold ended before its holder released it: somebody else may have been inside meanwhile.

    Only a lock that lives outside of this process can be lost.
    """


class Fence(NamedTuple):
    """Proof of a hold that a store can check: a token that grows with every writer of ``key``.

    A holder that lost its lock without noticing (a paused process, an expired lease) is told from
    the present one by its smaller token. Locks inside one process cannot be lost and yield None.
    """

    key: str
    token: int


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """One consistent look at a lock, for debugging, tests and pictures. Stale once you hold it."""

    readers: int
    """Threads that read now; a thread that reads twice counts once."""
    writer: int | None
    """Ident of the thread that writes now, in its own process."""
    waiting_readers: int | None
    """Threads that wait to read; None from a lock that does not know."""
    waiting_writers: int | None
    """Threads that wait to write; None from a lock that does not know."""
    reader_idents: tuple[int, ...] = ()
    """Idents of the threads that read now, in the order they entered, from a lock that knows."""


class Lock(Protocol):
    """A lock for readers and writers.

    A timeout is in seconds: None waits for ever, 0 tries once without waiting, infinity and
    numbers past ``threading.TIMEOUT_MAX`` are cut to that. Anything else (negative, NaN, not a
    number) raises ValueError.

    A KeyboardInterrupt at any moment releases what a ``with`` block held. Between ``acquire_read``
    and the ``try`` of a caller nothing can do that.

    The holder is a thread. If it ends without releasing, the lock stays taken, also for a later
    thread with the same ident. In a process forked from the lock's own, every method raises
    RuntimeError; only the end of a ``with`` block that the fork was in does nothing there.
    """

    def read(self, timeout: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lock for reading in a ``with`` block. Raises LockTimeout on entering it."""

    def write(self, timeout: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lock for writing in a ``with`` block. Raises LockTimeout on entering it."""

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Take the lock for reading; False when it was not had in time."""

    def release_read(self) -> None:
        """End one read. Raises RuntimeError if this thread does not read."""

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Take the lock for writing; False when it was not had in time."""

    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""

    def statistics(self) -> LockStatistics:
        """Who holds the lock and how many wait for it, now."""


FOREVER = -1.0
"""How ``threading.Lock.acquire`` spells "wait without a limit"."""


def seconds(timeout: float | None) -> float:
    """The timeout as ``threading.Lock.acquire`` takes it. Raises ValueError for a bad one."""
    if timeout is None:
        return FOREVER
    # "not >= 0" and not "< 0": NaN compares false with everything.
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise ValueError(
            "A timeout must be None or a number of seconds >= 0, an int or a float, "
            f"not {timeout!r}."
        )
    return min(timeout, TIMEOUT_MAX)
