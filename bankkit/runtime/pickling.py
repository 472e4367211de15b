"""Base classes for exceptions that can be copied and for objects that cannot.

Python copies an exception by calling its class with `args`, which usually holds only the text. If
the constructor takes other arguments, the copy is wrong or fails. Then a `multiprocessing.Pool`
waits forever for a result that it cannot unpickle.
"""

from __future__ import annotations

from typing import Any


class Copied:
    """A mixin for exceptions with any constructor. It must be the first base class."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)  # this sets `args` and does not call `__init__`
    error.__dict__.update(state)
    return error


class Unique:
    """A mixin for objects whose copy would not work: a lock, a connection, a bank."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"A {type(self).__name__} cannot be copied or pickled: share it between threads, and "
            f"make a new one in each other process."
        )
