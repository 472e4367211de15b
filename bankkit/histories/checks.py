"""Checks of a history against a model, for `explore(..., check=…)` or for any recorded calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from bankkit.histories.explanation import explanation
from bankkit.histories.operation import Operation
from bankkit.histories.orders import (
    Wrapped,
    applied,
    has_returned,
    linearization,
    require_hashable,
)
from bankkit.histories.search import order_by_client
from bankkit.histories.specification import Model

HistoryCheck = Callable[[Sequence[Operation]], str | None]
"""Returns why a history is wrong, in words; None if it is right."""


def linearizable(model: Model) -> HistoryCheck:
    """A check that a history is linearizable.

    It is if all operations can be put in an order in which each takes effect at one moment between
    its call and its return, and in which the model returns what they returned. If there is no such
    order, the check names the operation that ends the shortest prefix without one.

    Each object of a history is checked apart: a history is linearizable if every object's is
    (Herlihy and Wing, TOPLAS 12, 1990). So are the parts that `Model.keys` names: Horn and
    Kroening, "Faster linearizability checking via P-compositionality", FORTE 2015.

    Raises TypeError for something that is not a model. The check raises `UnknownOperation` for an
    operation that the model does not describe.
    """
    _require_model(model)

    def linearizable(history: Sequence[Operation]) -> str | None:
        for part in _parts(model, history):
            if linearization(model, part) is None:
                return explanation(model, part)
        return None

    return linearizable


def sequentially_consistent(model: Model) -> HistoryCheck:
    """A check that a history is sequentially consistent, which is weaker than linearizable.

    It is if the model allows an order of all operations that keeps each client's own order; a
    client may see the effects of others late. Every object of the history follows the same model.
    Lamport, "How to make a multiprocessor computer that correctly executes multiprocess programs",
    IEEE Transactions on Computers C-28 (1979).

    Raises as `linearizable` does.
    """
    _require_model(model)

    def sequentially_consistent(history: Sequence[Operation]) -> str | None:
        allows = has_returned(history)
        objects = list(dict.fromkeys(each.object for each in history))
        place = [objects.index(each.object) for each in history]

        def after(before: Wrapped, index: int) -> Wrapped | None:
            which, states = place[index], before.state
            answer = applied(model, states[which], history[index])
            if answer is None or not allows(index, answer[0]):
                return None
            state = answer[1]
            if state == states[which]:
                return before
            return Wrapped((*states[:which], state, *states[which + 1 :]))

        initial = Wrapped((model.initial,) * len(objects))
        clients = [each.client for each in history]
        pending = [each.is_pending for each in history]
        if order_by_client(clients, pending, after, initial) is not None:
            return None
        return (
            "no order explains it, even if each client sees the effects of the others as late as "
            "it likes."
        )

    return sequentially_consistent


def _require_model(model: Any) -> None:
    if isinstance(model, type):
        raise TypeError(f"A check needs a model, such as {model.__name__}(), not the class itself.")
    if not callable(getattr(model, "apply", None)) or not callable(getattr(model, "keys", None)):
        raise TypeError(f"A check needs a model, such as RegisterModel(0), not {model!r}.")
    require_hashable(model, model.initial)


def _parts(model: Model, history: Sequence[Operation]) -> list[list[Operation]]:
    """The operations of each part of each object that no operation connects with another part."""
    leader: dict[Hashable, Hashable] = {}

    def find(part: Hashable) -> Hashable:
        while leader[part] != part:
            part = leader[part]
        return part

    parts_of: list[list[Hashable]] = []
    whole: set[str] = set()
    for each in history:
        keys: list[Hashable] = [(each.object, key) for key in model.keys(each)]
        parts_of.append(keys)
        if not keys:
            whole.add(each.object)
        for key in keys:
            leader.setdefault(key, key)
            leader[find(key)] = find(keys[0])
    groups: dict[Hashable, list[Operation]] = {}
    for each, its_keys in zip(history, parts_of, strict=True):
        group = (each.object,) if each.object in whole else find(its_keys[0])
        groups.setdefault(group, []).append(each)
    return list(groups.values())
