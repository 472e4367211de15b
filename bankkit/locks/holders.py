"""Who holds a lock: a thread, told from every other one, whether of this process or of its parent.

``threading.get_ident()`` does not tell: the ident of a thread that has ended is used again for the
next one, and in a forked child the copy of a thread has the ident of the original.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from bankkit.runtime.forks import refusal


class Holder:
    """Stands for one thread. Equal to itself only."""

    __slots__ = ("_life", "ident")

    def __init__(self, ident: int, life: Callable[[], object]) -> None:
        self.ident = ident
        self._life = life

    @property
    def has_ended(self) -> bool:
        return self._life() is None


class Inherited(RuntimeError):
    """A lock was used in a process that was forked from the lock's own."""


class Threads(Protocol):
    @property
    def me(self) -> Holder:
        """The present thread. Raises Inherited, a RuntimeError, in a forked child."""


class _Life:
    __slots__ = ("__weakref__",)


class _Here(threading.local):
    """The threads of this process. A thread's attributes, and with them its life, end with it."""

    def __init__(self) -> None:
        self.life = _Life()
        self.me = Holder(threading.get_ident(), weakref.ref(self.life))


class _Parent(threading.local):
    """What `_Here` becomes in a forked child, where locks that were made before still have it."""

    @property
    def me(self) -> Holder:
        raise Inherited(refusal("lock"))


class _StandIn(dict[int, Holder]):
    """The threads of a module that stands in for `threading`, which uses no ident twice."""

    def __init__(self, get_ident: Callable[[], int]) -> None:
        self._get_ident = get_ident

    def __missing__(self, ident: int) -> Holder:
        holder = self[ident] = Holder(ident, lambda: True)
        return holder

    @property
    def me(self) -> Holder:
        return self[self._get_ident()]


_here: Any = _Here()


def _in_forked_child() -> None:
    global _here
    _here.__class__ = _Parent
    _here = _Here()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


def threads_of(module: Any) -> Threads:
    """Who is who among the threads of ``threading``, or of a module that stands in for it."""
    threads: Threads = _here if module is threading else _StandIn(module.get_ident)
    return threads
