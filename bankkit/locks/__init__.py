"""Locks for readers and writers: one lock a file, one small protocol that they share.

Usable without the rest of the package::

    from bankkit.locks import ReadWriteLock

    lock = ReadWriteLock()
    with lock.read(timeout=1.0):
        ...
"""

from collections.abc import Callable

from .first_draft import FirstDraftLock
from .mutex import Mutex
from .none import NoLock
from .protocol import Fence, LeaseLost, Lock, LockStatistics, LockTimeout
from .read_write import POLICIES, ReadWriteLock
from .redis_read_write import Party, RedisLocks, RedisLockStatistics, RedisReadWriteLock
from .redis_scripts import STILL_HELD
from .table import LockTable

IN_PROCESS: dict[str, Callable[..., Lock]] = {
    "none": NoLock,
    "mutex": Mutex,
    "first-draft": FirstDraftLock,
    "read-write": ReadWriteLock,
}
"""Locks that work within one process, by the name under which a server is told to use them."""

__all__ = [
    "IN_PROCESS",
    "POLICIES",
    "STILL_HELD",
    "Fence",
    "FirstDraftLock",
    "LeaseLost",
    "Lock",
    "LockStatistics",
    "LockTable",
    "LockTimeout",
    "Mutex",
    "NoLock",
    "Party",
    "ReadWriteLock",
    "RedisLockStatistics",
    "RedisLocks",
    "RedisReadWriteLock",
]
