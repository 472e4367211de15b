"""A stand-in for `queue.SimpleQueue`. The other queues of the standard library run as they are."""

from __future__ import annotations

from collections import deque
from queue import Empty
from types import GenericAlias
from typing import Any

from bankkit.explorer.engine.scheduler import READ, WRITE, Task
from bankkit.explorer.stand_ins.primitives import NO, OTHERWISE, YES, Primitive, always, op


def _if_filled(task: Task) -> tuple[int, ...]:
    return YES if task.target.explorer_items else NO


def _if_filled_or_not(task: Task) -> tuple[int, ...]:
    return YES if task.target.explorer_items else OTHERWISE


PUT = op("put an item into {}", options=always)
GET = op("get an item from {}", options=_if_filled, waits=YES)
TRY_GET = op("get an item from {}", "find {} empty", options=_if_filled_or_not, modes=(WRITE, READ))
GET_TIMED = op(
    "get an item from {}", "get an item from {}: timed out",
    options=_if_filled_or_not, modes=(WRITE, READ), fires=True,
)  # fmt: skip
COUNT = op("count the items of {}", options=always, modes=(READ,))


class SimpleQueue(Primitive):
    """A queue without a limit. To put an item into it is one step, and so is to get one."""

    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(self) -> None:
        self.explorer_items: deque[Any] = deque()
        self._explorer.register(self)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append an item. This never waits; the other arguments are ignored."""
        scheduler = self._explorer
        if scheduler.is_running and not scheduler.is_over:  # an executor's finalizer comes late
            scheduler.point(PUT, self)
        self.explorer_items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for the first item and remove it. Raises queue.Empty if there is none in time."""
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        scheduler = self._explorer
        if block and timeout is None:
            scheduler.point(GET, self)
        elif not block or not timeout:
            if scheduler.point(TRY_GET, self):
                raise Empty
        elif scheduler.timed(GET_TIMED, self, timeout):
            raise Empty
        return self.explorer_items.popleft()

    def put_nowait(self, item: Any) -> None:
        """Append an item."""
        self.put(item)

    def get_nowait(self) -> Any:
        """Remove the first item. Raises queue.Empty if there is none."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Whether there is no item. To ask is a step."""
        return self.qsize() == 0

    def qsize(self) -> int:
        """How many items there are. To ask is a step."""
        self._explorer.point(COUNT, self)
        return len(self.explorer_items)

    def explorer_available(self) -> bool:
        """Whether there is an item."""
        return bool(self.explorer_items)
