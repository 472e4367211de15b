"""In which order did reads and writes of one value take effect?

Operations of several clients overlap, and each is known only by when it was asked for, when it was
answered, and what it saw or left. An order that explains all of it is called a linearization:
every operation takes effect at one moment between its two times, and every read sees what the last
write before it left.

Sources: Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects",
TOPLAS 12 (1990); the search is that of Wing and Gong, "Testing and verifying concurrent objects",
JPDC 17 (1993), which remembers where it has been as Lowe proposes in "Testing for
linearizability", CCPE 29 (2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operation:
    """Something done to a register that holds a whole number."""

    kind: Literal["read", "write", "add"]
    value: int | None
    """What a read saw, a write set, and an addition left; None if it was not answered."""
    start: int
    end: float = inf
    """On the clock of `start`; infinite for one that was never answered. Such a write may have
    taken effect at any time since, or not at all."""
    delta: int = 0
    """What an addition added."""

    def after(self, value: int | None) -> int | None:
        """The value that this leaves of that one, which may be unknown; None if it cannot be."""
        if self.kind == "write":
            return self.value
        if self.kind == "add" and value is not None:
            value += self.delta
            return value if self.value in (None, value) else None
        return self.value if value in (None, self.value) else None


def linearize(operations: Sequence[Operation]) -> list[int] | None:
    """The indices of the operations in an order that explains them, or None if there is none.

    The value before the first operation may be any. Left out are those that were never answered
    and whose effect nobody saw. Takes time in proportion to their number while few overlap; at
    worst exponential in how many different ones do.
    """
    by_start = sorted(range(len(operations)), key=lambda index: operations[index].start)
    ops = [operations[index] for index in by_start]
    answered = sum(op.end != inf for op in ops)
    order: list[int] = []  # positions in `ops`
    seen: set[tuple[int, int, int | None]] = set()
    # How far all operations have taken effect, which ones past there have (a bit each), the value,
    # how many of the answered ones are left, and what to try next.
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
    """Which operations may be the next to take effect, the likeliest first.

    Those that began before the first of the others was answered, and that fit the value.
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
                return iter((position,))  # it changes nothing: whatever comes later still can
    # Of those that do the same the one that is due first: in any order that explains it all with
    # another one here, the two may change places.
    first: dict[tuple[str, int | None, int], int] = {}
    for position in sorted(fitting, key=lambda position: ops[position].end):
        op = ops[position]
        first.setdefault((op.kind, op.value, op.delta), position)
    return iter(first.values())
