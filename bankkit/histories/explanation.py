"""Says in words why a history has no order: where the shortest prefix without one ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from bankkit.histories.operation import Operation, Raised
from bankkit.histories.orders import Wrapped, applied, has_returned, linearization
from bankkit.histories.specification import ANY, Model

MOST_RESULTS = 3
"""An explanation names the results that the orders give, if they are no more."""
MOST_CAUSES = 2
"""An explanation names so many operations that had returned before."""
MOST_SEARCHED = 20_000
"""To find them, searches of about so many operations are made."""


def explanation(model: Model, history: Sequence[Operation]) -> str:
    """Why this history, which has no order, has none. It must be of one object.

    `no order explains it: reader's read() returned 0, although writer's write(1) had returned
    before. In every order it returns 1.`
    """
    prefix, last = _shortest_prefix(model, history)
    operation = prefix[last]
    causes = _causes(model, prefix, last)
    because = f", although {' and '.join(causes)} had returned before" if causes else ""
    return (
        f"no order explains it: {_told(operation)} {operation.response}{because}."
        f"{_expected(model, prefix, last)}"
    )


def _told(operation: Operation) -> str:
    return f"{operation.client}'s {operation}"


def _shortest_prefix(model: Model, history: Sequence[Operation]) -> tuple[list[Operation], int]:
    """The shortest prefix without an order, and the index of the operation that ends it.

    A longer prefix has none either, so the search can halve the interval.
    """
    answered = sorted(
        (index for index, each in enumerate(history) if not each.is_pending),
        key=lambda index: history[index].end,
    )
    good, bad = 0, len(answered)
    while bad - good > 1:
        middle = (good + bad) // 2
        if linearization(model, _prefix(history, answered[:middle])) is None:
            bad = middle
        else:
            good = middle
    last = history[answered[bad - 1]]
    prefix = _prefix(history, answered[:bad])
    return prefix, next(index for index, each in enumerate(prefix) if each is last)


def _prefix(history: Sequence[Operation], answered: Sequence[int]) -> list[Operation]:
    """The history until the last of these operations has returned; the others are pending."""
    until = history[answered[-1]].end
    returned = set(answered)
    return [
        each if index in returned else replace(each, end=inf, result=None)
        for index, each in enumerate(history)
        if each.start <= until
    ]


def _causes(model: Model, prefix: list[Operation], last: int) -> list[str]:
    """Operations that ended before the last one started, and if they had not, all would be well."""
    found: list[str] = []
    before = [index for index, each in enumerate(prefix) if each.end < prefix[last].start]
    before.sort(key=lambda index: prefix[index].end)
    for index in before[-max(MOST_CAUSES, MOST_SEARCHED // len(prefix)) :]:
        overlapping = replace(prefix[index], end=prefix[last].end)
        other = [*prefix[:index], overlapping, *prefix[index + 1 :]]
        if linearization(model, other) is not None:
            found.append(_told(prefix[index]))
    return found[-MOST_CAUSES:]


def _expected(model: Model, prefix: list[Operation], last: int) -> str:
    """A sentence about what the last operation returns in all orders of the others."""
    results: list[Any] = []
    returned = has_returned(prefix)

    def allows(index: int, result: Any) -> bool:
        return result not in results if index == last else returned(index, result)

    while len(results) <= MOST_RESULTS:
        order = linearization(model, prefix, allows, apart=last)
        if order is None:
            break
        state = Wrapped(model.initial)
        for index in order:
            answer = applied(model, state.state, prefix[index])
            assert answer is not None  # the search has just applied it
            if index == last:
                results.append(answer[0])
                break
            state = Wrapped(answer[1])
    if not results:
        return " In no order can it take effect."
    if len(results) > MOST_RESULTS or ANY in results:
        return ""
    given = [
        f"raises {result.name}" if isinstance(result, Raised) else f"returns {result!r}"
        for result in results
    ]
    which = "every order" if len(given) == 1 else "the possible orders"
    return f" In {which}, it {' or '.join(given)}."
