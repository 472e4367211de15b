"""A base class for objects that a `with` block closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """A context manager that yields itself and calls `close()` at the end of the block."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Releases the object. Runs also if the block raises; that error is not suppressed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
