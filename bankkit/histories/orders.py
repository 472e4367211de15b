"""Orders of operations that a model allows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from bankkit.histories.operation import Operation
from bankkit.histories.search import After, linearize
from bankkit.histories.specification import ANY, Model

History = Sequence[Operation]
Allows = Callable[[int, Any], bool]
"""Whether an order may give this result to the operation with this index."""


def has_returned(history: History) -> Allows:
    """Allows each operation what it has returned, and any result if that is not known."""

    def allows(index: int, result: Any) -> bool:
        operation = history[index]
        told = operation.result
        return result is ANY or operation.is_pending or result is told or bool(result == told)

    return allows


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The state of a model, which may be None. The search must not get None as a state."""

    state: Any


def transitions(model: Model, history: History, allows: Allows) -> After:
    """The states that the model reaches, for the search."""

    def after(before: Wrapped, index: int) -> Wrapped | None:
        answer = applied(model, before.state, history[index])
        if answer is None or not allows(index, answer[0]):
            return None
        state = answer[1]
        return before if state is before.state or state == before.state else Wrapped(state)

    return after


def applied(model: Model, state: Any, operation: Operation) -> tuple[Any, Any] | None:
    """What the model answers. Raises TypeError if that is not what `Model.apply` promises."""
    answer = model.apply(state, operation)
    if answer is None:
        return None
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(
            f"{type(model).__name__}.apply must return a result and a state, or None, "
            f"not {answer!r}."
        )
    require_hashable(model, answer[1])
    return answer


def require_hashable(model: Model, state: Any) -> None:
    """Raises TypeError for a state that could change, which the search could not remember."""
    try:
        hash(state)
    except TypeError:
        raise TypeError(
            f"A state of {type(model).__name__} must be hashable, such as a tuple or a frozenset, "
            f"not {state!r}."
        ) from None


def linearization(
    model: Model, history: History, allows: Allows | None = None, apart: int = -1
) -> list[int] | None:
    """An order of the whole history, by index; None if there is none.

    If `allows` treats one operation in its own way, `apart` is the index of this operation.
    """
    after = transitions(model, history, allows or has_returned(history))
    spans = [(operation.start, operation.end) for operation in history]
    return linearize(spans, after, Wrapped(model.initial), _alike(history, apart))


def _alike(history: History, apart: int) -> list[Hashable]:
    """A value for each operation. It is equal for those that do and return the same."""
    values: list[Hashable] = []
    for index, each in enumerate(history):
        told = None if each.is_pending else each.result
        value = index == apart, each.is_pending, each.name, each.arguments, each.keywords, told
        try:
            hash(value)
            values.append(value)
        except TypeError:
            values.append(index)
    return values
