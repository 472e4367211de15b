"""Lets `concurrent.futures` treat futures in the order in which they were made.

It orders them by their addresses, which differ from schedule to schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def number_of(thing: Any) -> int:
    """A number that is the same in each run of a schedule, if the object is a future."""
    condition = getattr(thing, "_condition", None)
    return int(getattr(condition, "explorer_key", 0)) or id(thing)


class FuturesInOrder(set[Any]):
    """A set of futures that yields the oldest first."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=number_of))

    def __sub__(self, other: Any) -> FuturesInOrder:
        return FuturesInOrder(super().__sub__(other))
