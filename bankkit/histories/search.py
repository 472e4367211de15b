"""Searches for an order of operations that explains a history.

Operations of several clients overlap. Of each we know when it was called, when it returned, and
what it returned. An order is a *linearization* if every operation takes effect at one moment
between its two times, and everything that was returned agrees with the order: Herlihy and Wing,
"Linearizability: a correctness condition for concurrent objects", TOPLAS 12 (1990).

The search is by Wing and Gong, "Testing and verifying concurrent objects", JPDC 17 (1993). It
remembers the states that it has visited, as proposed by Lowe in "Testing for linearizability",
CCPE 29 (2017). Its time is linear in the number of operations while few of them overlap. In the
worst case it is exponential in the number of different operations that overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from math import inf
from typing import Any

After = Callable[[Any, int], Any]
"""The state after an operation, which is given by its index, in a state that is given; None if the
operation cannot have happened in that state. So None is no state. An operation that changes nothing
must give the same object that it got."""

_Next = tuple[int, Any]
"""An operation that may take effect next, and the state after it."""
_Candidates = Callable[[int, int, Any], Iterator[_Next]]
"""The operations that may take effect next. All before the first number have taken effect; the
second has a bit for each one from there on; the third is the state."""


def linearize(
    spans: Sequence[tuple[float, float]],
    after: After,
    initial: Any,
    alike: Sequence[Hashable],
) -> list[int] | None:
    """The indices of the operations in an order that explains them, or None if there is none.

    `spans` has the start and the end of each operation; an infinite end means that its response is
    not known. The order omits such operations if nobody saw their effect. Two operations are
    exchangeable if `alike` is equal for them: in every state they do and return the same.
    """
    by_start = sorted(range(len(spans)), key=lambda index: spans[index][0])
    starts = [spans[index][0] for index in by_start]
    ends = [spans[index][1] for index in by_start]

    def candidates(low: int, done: int, state: Any) -> Iterator[_Next]:
        found: list[int] = []
        first_end = inf
        for position in range(low, len(starts)):
            if starts[position] > first_end:
                break
            if not done >> (position - low) & 1:
                if ends[position] < first_end:
                    first_end = ends[position]
                found.append(position)
        # Each of them started before any other remaining operation ended.
        fitting: list[_Next] = []
        for position in found:
            if starts[position] <= first_end:
                new = after(state, by_start[position])
                if new is state and ends[position] != inf:
                    # It changes nothing, so every other operation can still follow it.
                    return iter(((position, new),))
                if new is not None and new is not state:
                    fitting.append((position, new))
        if len(fitting) < 2:
            return iter(fitting)
        # Of several that are alike, only the one that ended first is tried. In any valid order
        # that has another of them here, swapping the two gives a valid order, too.
        first: dict[Hashable, _Next] = {}
        for each in sorted(fitting, key=lambda each: ends[each[0]]):
            first.setdefault(alike[by_start[each[0]]], each)
        return iter(first.values())

    order = _search([end != inf for end in ends], initial, candidates)
    return None if order is None else [by_start[position] for position in order]


def order_by_client(
    clients: Sequence[Hashable],
    is_pending: Sequence[bool],
    after: After,
    initial: Any,
) -> list[int] | None:
    """An order that explains the operations and keeps only the order of each client's own.

    `clients` has the client of each operation, and a client's operations stand in its order. One
    whose response is not known may take effect after later ones of its client, or not at all. None
    if there is no order.
    """

    def candidates(low: int, done: int, state: Any) -> Iterator[_Next]:
        seen: set[Hashable] = set()
        fitting: list[_Next] = []
        for position in range(low, len(clients)):
            if done >> (position - low) & 1:
                continue
            client, pending = clients[position], is_pending[position]
            if client in seen:
                continue  # an earlier one of this client comes first
            if not pending:
                seen.add(client)
            new = after(state, position)
            if new is state and not pending:
                return iter(((position, new),))
            if new is not None and new is not state:
                fitting.append((position, new))
        return iter(fitting)

    return _search([not pending for pending in is_pending], initial, candidates)


def _search(is_answered: Sequence[bool], initial: Any, candidates: _Candidates) -> list[int] | None:
    """The positions of the operations in order, found depth first."""
    order: list[int] = []
    seen: set[tuple[int, int, Any]] = set()
    stack: list[tuple[int, int, int, Iterator[_Next]]] = []
    low, done, left = 0, 0, sum(is_answered)
    untried = candidates(low, done, initial)
    while left:
        chosen = next(untried, None)
        if chosen is None:
            if not stack:
                return None
            low, done, left, untried = stack.pop()
            order.pop()
            continue
        stack.append((low, done, left, untried))
        position, state = chosen
        order.append(position)
        left -= is_answered[position]
        done |= 1 << (position - low)
        while done & 1:
            low, done = low + 1, done >> 1
        place = low, done, state
        if place in seen:
            untried = iter(())
        else:
            seen.add(place)
            untried = candidates(low, done, state)
    return order
