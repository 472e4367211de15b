"""The checks agree with a search through all orders, and say what is wrong in words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations
from math import inf
from typing import Any

import pytest

from bankkit.histories import (
    ANY,
    BankModel,
    CounterModel,
    Model,
    Operation,
    QueueModel,
    Raised,
    ReadWriteLockModel,
    RegisterModel,
    UnknownOperation,
    diagram,
    linearizable,
    sequentially_consistent,
)

History = Sequence[Operation]

CALLS: dict[str, tuple[Model, list[tuple[str, tuple[Any, ...]]], list[Any]]] = {
    "register": (
        RegisterModel(0),
        [("read", ()), ("write", (1,)), ("write", (2,)), ("compare_and_set", (0, 1))],
        [None, 0, 1, 2, True, False],
    ),
    "counter": (CounterModel(), [("increment", ()), ("add", (2,)), ("value", ())], [None, 1, 2, 3]),
    "queue": (
        QueueModel(capacity=1),
        [("put", ("a",)), ("put", ("b",)), ("get", ()), ("empty", ()), ("qsize", ())],
        [None, "a", "b", Raised("Empty"), Raised("Full"), True, 0, 1],
    ),
    "bank": (
        BankModel({"alice": 5, "bob": 0}),
        [
            ("create", ("carol", 1)), ("balance", ("alice",)), ("balance", ("bob",)),
            ("deposit", ("bob", 5)), ("withdraw", ("alice", 4)),
            ("transfer", ("alice", "bob", 5)), ("balance", ("carol",)),
        ],
        [
            None, 0, 5, 1, Raised("INSUFFICIENT_FUNDS"), Raised("ACCOUNT_NOT_FOUND"),
            Raised("ACCOUNT_EXISTS"),
        ],
    ),
    "lock": (
        ReadWriteLockModel(),
        [(name, ()) for name in ("acquire_read", "release_read", "acquire_write", "release_write")],
        [None, True, False],
    ),
}  # fmt: skip


def random_history(of: str, rng: random.Random) -> History:
    """Up to five calls by three clients. Most results are those of some order; some are not."""
    model, calls, results = CALLS[of]
    state, clock = model.initial, 0
    until = {"a": -1, "b": -1, "c": -1}
    history = []
    for _ in range(rng.randrange(2, 6)):
        client = rng.choice(list(until))
        name, arguments = rng.choice(calls)
        moment = clock = max(until[client] + 1, clock + rng.randrange(3))
        start = max(until[client] + 1, moment - rng.randrange(4))
        end = inf if rng.random() < 0.15 else max(start, moment) + rng.randrange(4)
        operation = Operation(client, name, arguments, start, end)
        answer = model.apply(state, operation)
        result = rng.choice(results)
        if answer is not None and rng.random() < 0.8:
            result, state = answer
            result = None if result is ANY else result
        until[client] = start if end == inf else int(end)
        told = None if end == inf else result
        history.append(Operation(client, name, arguments, start, end, told))
    return history


def keeps_times(order: Sequence[Operation]) -> bool:
    """Whether no operation comes after one that started when it had ended."""
    return not any(
        later.end < earlier.start for place, earlier in enumerate(order) for later in order[place:]
    )


def keeps_clients(order: Sequence[Operation]) -> bool:
    """Whether the order keeps each client's own; a pending call may come late."""
    return not any(
        later.client == earlier.client and later.start < earlier.start and not later.is_pending
        for place, earlier in enumerate(order)
        for later in order[place:]
    )


def plays(model: Model, order: Sequence[Operation]) -> bool:
    """Whether the model returns in this order what the operations have returned."""
    state = model.initial
    for each in order:
        answer = model.apply(state, each)
        if answer is None or not (each.is_pending or answer[0] is ANY or answer[0] == each.result):
            return False
        state = answer[1]
    return True


def has_order(model: Model, history: History, keeps: Any) -> bool:
    """Whether any order of any operations that has all answered ones explains them."""
    return any(
        all(each.is_pending or each in order for each in history)
        and keeps(order)
        and plays(model, order)
        for length in range(len(history) + 1)
        for order in permutations(history, length)
    )


@pytest.mark.parametrize("of", CALLS)
def test_they_find_an_order_if_and_only_if_there_is_one(of: str) -> None:
    """Compared with a search through all orders of all subsets; both answers are frequent."""
    rng = random.Random(of)
    model = CALLS[of][0]
    found = {True: 0, False: 0}
    for _ in range(60):
        history = random_history(of, rng)
        right = has_order(model, history, keeps_times)
        assert (linearizable(model)(history) is None) == right, diagram(history)
        by_client = has_order(model, history, keeps_clients)
        assert (sequentially_consistent(model)(history) is None) == by_client, diagram(history)
        assert by_client or not right
        found[right] += 1
    assert min(found.values()) >= 8, found


@pytest.mark.parametrize("of", CALLS)
def test_the_named_operation_ends_the_shortest_prefix_without_an_order(of: str) -> None:
    """Without its response there is an order, and so there is for every shorter prefix."""
    rng = random.Random(of)
    model = CALLS[of][0]
    seen = 0
    while seen < 8:
        history = random_history(of, rng)
        reason = linearizable(model)(history)
        if reason is None:
            continue
        seen += 1
        ends = sorted({each.end for each in history if not each.is_pending})
        worst = min(end for end in ends if not has_order(model, before(history, end), keeps_times))
        last = [each for each in history if each.end == worst]
        assert any(f"{each.client}'s {each} {each.response}" in reason for each in last), reason


def before(history: History, end: float) -> History:
    """The history up to this moment; calls that had not returned are pending."""
    return [
        each if each.end <= end
        else Operation(each.client, each.name, each.arguments, each.start)
        for each in history if each.start <= end
    ]  # fmt: skip


def write(value: int, start: float, end: float = inf) -> Operation:
    """A write by a client of its own; by default its response is not known."""
    return Operation(f"writer {value}", "write", (value,), start, end)


def read(value: int, start: float, end: float) -> Operation:
    """A read that saw `value`."""
    return Operation("reader", "read", (), start, end, value)


REGISTER = linearizable(RegisterModel(0))


def test_the_explanation_names_the_cause_and_what_would_be_right() -> None:
    assert REGISTER([write(1, 0, 1), read(0, 2, 3)]) == (
        "no order explains it: reader's read() returned 0, although writer 1's write(1) had "
        "returned before. In every order, it returns 1."
    )
    assert REGISTER([write(1, 0, 1), write(2, 0, 9), read(3, 2, 3)]) == (
        "no order explains it: reader's read() returned 3. "
        "In the possible orders, it returns 1 or returns 2."
    )


def test_intervals_that_touch_overlap() -> None:
    assert REGISTER([write(1, 0, 2), read(0, 2, 3)]) is None
    assert REGISTER([write(1, 0, 2), read(0, 2.5, 3)]) is not None


def test_a_call_without_a_response_may_take_effect_late_or_never() -> None:
    for seen in ((0, 0), (0, 1), (1, 1)):
        history = [write(1, 0), read(seen[0], 10, 11), read(seen[1], 20, 21)]
        assert REGISTER(history) is None
    assert REGISTER([write(1, 0), read(1, 10, 11), read(0, 20, 21)]) is not None
    assert REGISTER([read(1, 0, 1), write(1, 2)]) is not None, "not before it was called"


def test_a_refusal_is_a_response_that_the_model_must_give() -> None:
    check = linearizable(BankModel({"alice": 5}))
    refused = Operation("b", "withdraw", ("alice", 5), 2, 3, Raised("INSUFFICIENT_FUNDS"))
    assert check([Operation("a", "withdraw", ("alice", 1), 0, 1), refused]) is None
    assert check([Operation("a", "deposit", ("alice", 1), 0, 1), refused]) == (
        "no order explains it: b's withdraw('alice', 5) raised INSUFFICIENT_FUNDS. "
        "In every order, it returns 1."
    )


def test_many_calls_of_the_same_kind_are_ordered_quickly() -> None:
    """Without the memory, and without the exchange of equal calls, this takes forever."""
    crowd = [Operation(f"c{n}", "write", (n % 3,), 0, 100 + n) for n in range(24)]
    assert REGISTER([*crowd, read(7, 200, 201)]) is not None
    assert REGISTER([*crowd, read(2, 200, 201)]) is None
    counter = [Operation(f"c{n}", "increment", (), 0, 100 + n) for n in range(24)]
    value = Operation("reader", "value", (), 200, 201, 23)
    assert linearizable(CounterModel())([*counter, value]) is not None


def test_accounts_are_checked_apart() -> None:
    """Together, their 40 overlapping deposits have 2 ** 40 states."""
    names = [f"account {n}" for n in range(40)]
    check = linearizable(BankModel(dict.fromkeys(names, 0)))
    deposits = [Operation(name, "deposit", (name, 1), 0, 9) for name in names]
    balances = [Operation(name, "balance", (name,), 10, 11, 1) for name in names]
    assert check([*deposits, *balances]) is None
    transfer = Operation("t", "transfer", (names[0], names[1], 1), 12, 13)
    after = Operation("r", "balance", (names[1],), 14, 15, 1)
    assert check([*deposits, *balances, transfer, after]) is not None


def test_objects_are_checked_apart() -> None:
    def of(name: str, value: int) -> History:
        return (
            Operation("a", "write", (value,), 0, 1, None, name),
            Operation("b", "read", (), 2, 3, value, name),
        )

    for check in (REGISTER, sequentially_consistent(RegisterModel(0))):
        assert check([*of("x", 1), *of("y", 2)]) is None
        assert check([*of("x", 1), of("y", 2)[0], of("x", 2)[1]]) is not None


def test_clients_that_see_each_other_late_are_sequentially_consistent() -> None:
    """With one order for all objects: two clients cannot both be late (Lamport, 1979)."""
    check = sequentially_consistent(RegisterModel(0))
    assert check([write(1, 0, 1), read(0, 2, 3)]) is None
    late = [
        Operation("a", "write", (1,), 0, 1, None, "x"), Operation("a", "read", (), 2, 3, 0, "y"),
        Operation("b", "write", (1,), 0, 1, None, "y"), Operation("b", "read", (), 2, 3, 0, "x"),
    ]  # fmt: skip
    assert check(late) is not None
    assert check(late[:3]) is None


def test_a_long_history_is_decided_at_once() -> None:
    """400 calls of four clients, and one wrong read near the end, which is found and named."""
    history = []
    for n in range(100):
        history += [write(n + 1, 10 * n, 10 * n + 3)]
        history += [read(n + 1, 10 * n + 4, 10 * n + 6 + k) for k in range(3)]
    assert REGISTER(history) is None
    history[-2] = read(99, history[-2].start, history[-2].end)
    assert "returned 99, although writer 100's write(100) had returned" in str(REGISTER(history))


def test_what_no_model_describes_is_an_error() -> None:
    with pytest.raises(UnknownOperation, match=r"RegisterModel does not describe pop\(\)\. Record"):
        REGISTER([Operation("a", "pop", (), 0, 1)])
    with pytest.raises(UnknownOperation, match=r"describe write\(value=1\)"):
        REGISTER([Operation("a", "write", (), 0, 1, keywords=(("value", 1),))])
    for of, (model, _, _) in CALLS.items():
        with pytest.raises(UnknownOperation, match="zap"):
            linearizable(model)([Operation(of, "zap", (), 0, 1)])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (RegisterModel, r"such as RegisterModel\(\), not the class itself"),
        (None, r"such as RegisterModel\(0\), not None"),
        (RegisterModel([]), r"must be hashable, such as a tuple or a frozenset, not \[\]"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_model_is_refused_at_the_door(wrong: Any, says: str) -> None:
    for check in (linearizable, sequentially_consistent):
        with pytest.raises(TypeError, match=says):
            check(wrong)


def test_a_model_that_answers_wrongly_is_an_error() -> None:
    class Forgetful(RegisterModel):
        def apply(self, state: Any, operation: Operation) -> Any:
            return [state] if operation.name == "write" else (0, {})

    for name, says in (("write", r"must return a result and a state"), ("read", "not {}")):
        with pytest.raises(TypeError, match=says):
            linearizable(Forgetful())([Operation("a", name, (1,), 0, 1)])


def test_the_diagram_shows_who_overlaps_whom() -> None:
    assert diagram([read(1, 4, 5), write(1, 0, 4), write(2, 3)]) == (
        "writer 1  write(1) returned None     ├─────┤\n"
        "writer 2  write(2) has not returned    ├───────…\n"
        "reader    read() returned 1              ├───┤"
    )
    assert diagram([]) == ""
    assert diagram([read(1, n, n) for n in range(50)]).endswith("and 10 later calls")
