"""What a fork does to the things that were made before it: in the child they are inert.

A child of ``fork`` gets copies of its parent's locks, sockets and channels, but none of the threads
behind them. Whoever must not be used there keeps a ``Birthplace`` and asks it first.
"""

import os

_forks = 0  # between the process that imported this module and the present one


def _count() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_count)


def refusal(what: str) -> str:
    """The sentence for ``what`` ("lock", "bank") that a forked child may not use."""
    return (
        f"This {what} belongs to the process that this one was forked from; make a new {what} in "
        f"this process, or start the process with multiprocessing's spawn method."
    )


class Birthplace:
    """The process in which it was made. Asking costs an attribute, not a system call."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    @property
    def is_here(self) -> bool:
        """Whether this process has not been forked off since."""
        return self._forks == _forks

    def check(self, what: str) -> None:
        """Raises RuntimeError, with the sentence for ``what``, in a child forked off since."""
        if self._forks != _forks:
            raise RuntimeError(refusal(what))
