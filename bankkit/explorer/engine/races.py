"""Finds two uses of the same data of which neither happens before the other.

If one of the two changes the data, this is a data race. Two threads that append to a list race only
if somebody looks at the order of its items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import Any, NamedTuple, Protocol

from bankkit.explorer.engine.scheduler import Task

EVERY: Any = object()
"""The key that stands for everything in an object."""


class Usage(Enum):
    """How code uses data."""

    READ = 0
    GLANCE = 1
    """A read that does not see the order of items: of a length, or of the sorted items."""
    APPEND = 2
    WRITE = 3


_CHANGES = (Usage.APPEND, Usage.WRITE)


class Order(Protocol):
    """The scheduler of a survey, which knows what happens before what."""

    def happens_before(self, me: Task, task: Task, number: int) -> bool:
        """Whether the thread's step of this number happens before the present step of `me`."""

    def number(self, task: Task) -> int:
        """The number of the thread's present step."""


class _Use(NamedTuple):
    task: Task
    number: int
    kind: Usage
    is_step: bool


class Races:
    """The uses of data in one schedule."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._used: dict[int, tuple[Any, dict[Any, list[_Use]]]] = {}
        """By id: an object, and its uses by key."""
        self._shuffled: dict[int, tuple[Task, Task]] = {}
        """By id: an object whose items are in an order that no lock decides, and who appended."""

    def clear(self) -> None:
        """Forget the schedule."""
        self._used.clear()
        self._shuffled.clear()

    def use(
        self, task: Task, owner: object, key: Any, kind: Usage, *, is_step: bool = False
    ) -> tuple[Task, Task] | None:
        """Record that the thread uses this part of an object; return the threads that race.

        `is_step` tells that the use is a step of its own. Two such uses are no race: the search
        tries both orders.
        """
        use = _Use(task, self._order.number(task), kind, is_step)
        uses = self._used.setdefault(id(owner), (owner, {}))[1]
        mine = uses.setdefault(key, [])
        if use in mine:
            return None
        found = None
        changes = kind in _CHANGES
        for other in _overlapping(uses, key):
            if other.task is task or not (changes or other.kind in _CHANGES):
                continue
            if (is_step and other.is_step) or (
                self._order.happens_before(task, other.task, other.number)
            ):
                continue
            if kind is other.kind is Usage.APPEND:
                self._shuffled[id(owner)] = other.task, task
            else:
                found = other.task, task
        mine.append(use)
        if found is None and kind is Usage.READ:
            return self._shuffled.get(id(owner))
        return found


def _overlapping(uses: dict[Any, list[_Use]], key: Any) -> Iterator[_Use]:
    parts: Iterable[list[_Use]] = uses.values()
    if key is not EVERY:
        parts = (uses[key], uses.get(EVERY, []))
    return chain.from_iterable(parts)
