"""What can be copied and pickled, and what cannot.

Exceptions can be, whatever their constructor takes. Python copies an exception by a call of its
class with `args`, the text in most cases. Where the constructor takes something else the copy is
wrong, or fails: then a `multiprocessing.Pool` waits forever for a result that it cannot unpickle.
"""

from __future__ import annotations

from typing import Any


class Copied:
    """Mixed into an exception class, in front of the others."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)  # which keeps `args`, and asks no constructor
    error.__dict__.update(state)
    return error


class Unique:
    """Mixed into what a copy would be a broken half of: a lock, a connection, a bank."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"A {type(self).__name__} cannot be copied or pickled: share it between threads, and "
            f"make one of its own in another process."
        )
