"""Locks for readers and writers: one lock per file, and one small protocol that they share.

They work without the rest of the package::

    from bankkit.locks import ReadWriteLock

    lock = ReadWriteLock()
    with lock.read(timeout=1.0):
        ...

The Redis lock is imported on first use. It needs the package ``redis``; the others need only
Python.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .first_draft import FirstDraftLock
from .mutex import Mutex
from .none import NoLock
from .protocol import Fence, LeaseLost, Lock, LockStatistics, LockTimeout
from .read_write import POLICIES, ReadWriteLock
from .table import LockTable

if TYPE_CHECKING:
    from .redis_handover import STILL_HELD
    from .redis_read_write import Party, RedisLocks, RedisLockStatistics, RedisReadWriteLock

IN_PROCESS: dict[str, Callable[..., Lock]] = {
    "none": NoLock,
    "mutex": Mutex,
    "first-draft": FirstDraftLock,
    "read-write": ReadWriteLock,
}
"""Locks that work within one process, by the names that a server's ``concurrency`` takes."""

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

_ON_REDIS = {
    "STILL_HELD": "redis_handover",
    "Party": "redis_read_write",
    "RedisLockStatistics": "redis_read_write",
    "RedisLocks": "redis_read_write",
    "RedisReadWriteLock": "redis_read_write",
}


def __getattr__(name: str) -> object:
    if name not in _ON_REDIS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_ON_REDIS[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise ImportError(f"{name} needs the package redis: pip install redis") from error
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
