"""In which order did reads and writes of one value take effect?

Operations of several clients overlap. Of each we know only when it was requested, when it was
answered, and the value that it saw or left. An order that explains all of this is called a
linearization: every operation takes effect at one moment between its two times, and every read
sees the value that the last write before it left.

Sources: Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects",
TOPLAS 12 (1990). The search is by Wing and Gong, "Testing and verifying concurrent objects",
JPDC 17 (1993). It remembers the states that it has visited, as proposed by Lowe in "Testing for
linearizability", CCPE 29 (2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on a register that holds a whole number."""

    kind: Literal["read", "write", "add"]
    value: int | None
    """The value that a read saw, a write set or an addition left; None if it was not answered."""
    start: int
    end: float = inf
    """On the clock of `start`; infinite if the operation was never answered. Such a write may have
    taken effect at any time after `start`, or not at all."""
    delta: int = 0
    """The amount that an addition added."""

    def after(self, value: int | None) -> int | None:
        """The value after this operation, applied to `value`, which is None if unknown.

        None if the operation cannot have happened at this value, or if the result is unknown.
        """
        if self.kind == "write":
            return self.value
        if self.kind == "add" and value is not None:
            value += self.delta
            return value if self.value in (None, value) else None
        return self.value if value in (None, self.value) else None


def linearize(operations: Sequence[Operation]) -> list[int] | None:
    """The indices of the operations in an order that explains them, or None if there is none.

    The value before the first operation is unknown. The order omits operations that were never
    answered and whose effect nobody saw. The time is linear in the number of operations while few
    of them overlap. In the worst case it is exponential in the number of different operations that
    overlap.
    """
    by_start = sorted(range(len(operations)), key=lambda index: operations[index].start)
    ops = [operations[index] for index in by_start]
    answered = sum(op.end != inf for op in ops)
    order: list[int] = []  # positions in `ops`
    seen: set[tuple[int, int, int | None]] = set()
    # All operations before `low` have taken effect; `done` has a bit for each one from there on.
    # `left` counts the answered operations that remain.
    low, done, value, left = 0, 0, None, answered
    stack: list[tuple[int, int, int | None, int, Iterator[int]]] = []
    untried = _candidates(ops, low, done, value)
    while left:
        chosen = next(untried, None)
        if chosen is None:
            if not stack:
                return None
            low, done, value, left, untried = stack.pop()
            order.pop()
            continue
        stack.append((low, done, value, left, untried))
        order.append(chosen)
        value = ops[chosen].after(value)
        left -= ops[chosen].end != inf
        done |= 1 << (chosen - low)
        while done & 1:
            low, done = low + 1, done >> 1
        if (low, done, value) in seen:
            untried = iter(())
        else:
            seen.add((low, done, value))
            untried = _candidates(ops, low, done, value)
    return [by_start[position] for position in order]


def _candidates(ops: list[Operation], low: int, done: int, value: int | None) -> Iterator[int]:
    """The operations that may take effect next, in the order in which they were answered.

    Each started before any other remaining operation was answered, and fits the value.
    """
    found: list[int] = []
    first_end = inf
    for position in range(low, len(ops)):
        op = ops[position]
        if op.start > first_end:
            break
        if not done >> (position - low) & 1:
            first_end = min(first_end, op.end)
            found.append(position)
    fitting = [
        position
        for position in found
        if ops[position].start <= first_end and ops[position].after(value) is not None
    ]
    if value is not None:
        for position in fitting:
            if ops[position].kind == "read":
                # A read changes nothing, so every other operation can still follow it.
                return iter((position,))
    # If several operations do the same, only the one answered first is tried. In any valid order
    # that has another of them here, swapping the two gives a valid order, too.
    first: dict[tuple[str, int | None, int], int] = {}
    for position in sorted(fitting, key=lambda position: ops[position].end):
        op = ops[position]
        first.setdefault((op.kind, op.value, op.delta), position)
    return iter(first.values())
