"""Detection of forks: an object that was made before a fork must not be used in the child.

A child of ``fork`` gets copies of its parent's locks, sockets and channels, but none of the threads
behind them. An object that must not be used in the child keeps a ``Birthplace`` and checks it
before each use.
"""

import os

_forks = 0  # number of forks between the process that imported this module and this one


def _count() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_count)


def refusal(what: str) -> str:
    """The error text for a forked child that uses its parent's ``what`` ("lock", "bank")."""
    return (
        f"This {what} belongs to the process that this one was forked from; make a new {what} in "
        f"this process, or start the process with multiprocessing's spawn method."
    )


class Birthplace:
    """The process in which this object was made. A check reads an attribute; no system call."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    @property
    def is_here(self) -> bool:
        """Whether this is still the process that made the object."""
        return self._forks == _forks

    def check(self, what: str) -> None:
        """Raises RuntimeError, with the text of ``refusal(what)``, in a child forked since."""
        if self._forks != _forks:
            raise RuntimeError(refusal(what))
