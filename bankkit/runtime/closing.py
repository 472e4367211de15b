"""Objects that a `with` block closes at its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """A base of classes with a `close()`: a `with` block yields the object, then closes it."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Called at the end of the block, however that ends. An error in the block goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
