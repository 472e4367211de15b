"""Tells the real primitives, which the explorer does not schedule, from their stand-ins."""

from __future__ import annotations

import _thread
import concurrent.futures.thread
import queue
import threading
from typing import Any

LOCKS: tuple[type[Any], ...] = (type(_thread.allocate_lock()), type(threading.RLock()))
"""A lock that only one thread uses makes no difference."""

_PRIMITIVES = (
    *LOCKS, threading.Condition, threading.Event, threading.Semaphore, threading.Barrier,
    threading.Thread, queue.SimpleQueue,
)  # fmt: skip
# These are the classes as they are now: while a module is patched, it has others.
_Queue = queue.Queue
_Pool = concurrent.futures.thread.ThreadPoolExecutor
_Executor = concurrent.futures.Executor

MADE_OF_LOCKS: tuple[type[Any], ...] = (_Queue, _Executor)
"""Their objects are made of real primitives or of stand-ins, and not yet while `__init__` runs."""


def is_unscheduled(value: object) -> bool:
    """Whether the object is a real primitive, or a queue or a pool that is made of real ones."""
    if isinstance(value, _PRIMITIVES):
        return True
    if isinstance(value, _Queue):
        return isinstance(getattr(value, "mutex", None), LOCKS)
    if isinstance(value, _Pool):
        return isinstance(getattr(value, "_shutdown_lock", None), LOCKS)
    return isinstance(value, _Executor)
