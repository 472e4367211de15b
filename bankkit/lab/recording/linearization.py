"""In which order did reads and writes of one balance take effect?

Of each we know only when it was requested, when it was answered, and the value that it saw or left.
`bankkit.histories.search` finds an order that explains all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from bankkit.histories import search

_Value = tuple[int | None]
"""A value, in a tuple of its own. It is None while it is unknown."""


@dataclass(frozen=True, slots=True)
class RegisterOperation:
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


def linearize(operations: Sequence[RegisterOperation]) -> list[int] | None:
    """The indices of the operations in an order that explains them, or None if there is none.

    The value before the first operation is unknown. The order omits operations that were never
    answered and whose effect nobody saw.
    """

    def after(state: _Value, index: int) -> _Value | None:
        operation = operations[index]
        before = state[0]
        value = operation.after(before)
        if value is None:
            return None
        # Only a read counts as one that changes nothing: a write of the same value is a write too,
        # and the order says which write came last.
        return state if operation.kind == "read" and value == before else (value,)

    spans = [(operation.start, operation.end) for operation in operations]
    alike = [(operation.kind, operation.value, operation.delta) for operation in operations]
    return search.linearize(spans, after, (None,), alike)
