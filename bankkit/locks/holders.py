"""The identity of the thread that holds a lock, unique across time and forks.

``threading.get_ident()`` is not unique: a new thread may get the ident of one that has ended, and
in a forked child the copy of a thread has the ident of the original.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from bankkit.runtime.forks import refusal


class Holder:
    """One thread, which equals only itself."""

    __slots__ = ("_lifetime", "ident")

    def __init__(self, ident: int, lifetime: Callable[[], object]) -> None:
        self.ident = ident
        self._lifetime = lifetime

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return self._lifetime() is None


class Inherited(RuntimeError):
    """A lock was used in a process that was forked from the process that made the lock."""


class Threads(Protocol):
    """The threads that may hold a lock."""

    @property
    def me(self) -> Holder:
        """The calling thread. Raises Inherited, a RuntimeError, in a forked child."""


class _Lifetime:
    __slots__ = ("__weakref__",)


class _ThreadsOfThisProcess(threading.local):
    """Python deletes these attributes when their thread ends, and with them its `_Lifetime`."""

    def __init__(self) -> None:
        self.lifetime = _Lifetime()
        self.me = Holder(threading.get_ident(), weakref.ref(self.lifetime))


class _ThreadsOfParent(threading.local):
    """The class that `_here` gets in a forked child; locks of the parent still refer to it."""

    @property
    def me(self) -> Holder:
        raise Inherited(refusal("lock"))


class _ThreadsOfStandIn(dict[int, Holder]):
    """The threads of a module that stands in for `threading`; such a module reuses no ident."""

    def __init__(self, get_ident: Callable[[], int]) -> None:
        self._get_ident = get_ident

    def __missing__(self, ident: int) -> Holder:
        holder = self[ident] = Holder(ident, lambda: True)
        return holder

    @property
    def me(self) -> Holder:
        return self[self._get_ident()]


_here: Any = _ThreadsOfThisProcess()


def _in_forked_child() -> None:
    global _here
    _here.__class__ = _ThreadsOfParent
    _here = _ThreadsOfThisProcess()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


def threads_of(module: Any) -> Threads:
    """The threads of ``threading``, or of a module that stands in for it."""
    threads: Threads = _here if module is threading else _ThreadsOfStandIn(module.get_ident)
    return threads
