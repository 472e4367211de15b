"""`linearize` finds an order if there is one, and the order explains what was seen."""

from collections.abc import Sequence
from itertools import permutations
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bankkit.lab.recording.linearization import RegisterOperation as Operation
from bankkit.lab.recording.linearization import linearize


def read(value: int, start: int, end: float) -> Operation:
    """A read that saw `value`."""
    return Operation("read", value, start, end)


def write(value: int, start: int, end: float = inf) -> Operation:
    """A write of `value`; by default never answered."""
    return Operation("write", value, start, end)


def add(delta: int, left: int | None, start: int, end: float = inf) -> Operation:
    """An addition that left the value `left`; by default never answered."""
    return Operation("add", left, start, end, delta)


def explains(ops: Sequence[Operation], order: Sequence[int]) -> bool:
    """Whether the order has every answered operation, respects their times, and fits the values."""
    if len(set(order)) != len(order):
        return False
    if any(op.end != inf and index not in order for index, op in enumerate(ops)):
        return False
    for place, index in enumerate(order):
        if any(ops[later].end < ops[index].start for later in order[place + 1 :]):
            return False
    firsts = {ops[index].value for index in order} | {
        (ops[index].value or 0) - ops[index].delta for index in order
    }
    return any(_plays(ops, order, first) for first in firsts | {0, None})


def _plays(ops: Sequence[Operation], order: Sequence[int], value: int | None) -> bool:
    for index in order:
        op = ops[index]
        if op.kind == "write":
            value = op.value
        elif op.kind == "read":
            if op.value != value:
                return False
        else:
            if value is None:
                return False
            value += op.delta
            if op.value not in (None, value):
                return False
    return True


def can_be_explained(ops: Sequence[Operation]) -> bool:
    """Whether any order of any subset explains the operations, found by trying all of them."""
    return any(
        explains(ops, order)
        for length in range(len(ops) + 1)
        for order in permutations(range(len(ops)), length)
    )


def test_a_read_that_overlaps_a_write_may_see_either_side_of_it() -> None:
    for seen, order in ((1, [0, 1, 2]), (2, [0, 2, 1])):
        assert linearize([write(1, 0, 1), read(seen, 2, 5), write(2, 3, 4)]) == order


def test_impossible_reads_have_no_order() -> None:
    assert linearize([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]) is None
    assert linearize([write(1, 0, 1), read(2, 2, 3)]) is None
    assert linearize([read(1, 0, 1), read(2, 2, 3)]) is None


def test_the_initial_value_is_unknown_until_a_read_sees_it() -> None:
    assert linearize([read(7, 0, 1), write(8, 0, 1)]) == [0, 1]
    assert linearize([]) == []


def test_a_write_that_was_never_answered_counts_if_it_was_seen() -> None:
    assert linearize([write(1, 0, 1), write(2, 2), read(2, 10, 11)]) == [0, 1, 2]
    assert linearize([write(1, 0, 1), write(2, 2), read(1, 10, 11)]) == [0, 2]


def test_an_addition_fits_only_the_value_from_which_it_was_computed() -> None:
    assert linearize([add(5, 15, 0, 9), add(1, 10, 0, 9), read(15, 10, 11)]) == [1, 0, 2]
    assert linearize([write(1, 0, 1), add(5, 7, 2, 3)]) is None
    assert linearize([write(1, 0, 1), add(5, None, 2), read(6, 4, 5)]) == [0, 1, 2]


def test_many_overlapping_writes_of_one_value_are_ordered_quickly() -> None:
    """Writes of the same value can be exchanged, so one order of them stands for all."""
    crowd = [write(place % 3, 0, 100 + place) for place in range(24)]
    assert linearize([*crowd, read(7, 200, 201)]) is None
    for value in range(3):
        ops = [*crowd, read(value, 200, 201)]
        order = linearize(ops)
        assert order is not None
        assert explains(ops, order)


Ops = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "add"]),
        st.integers(0, 2),
        st.integers(0, 8),
        st.one_of(st.integers(1, 5), st.just(inf)),
    ),
    max_size=5,
)


@given(Ops)
def test_it_finds_an_order_if_and_only_if_there_is_one(
    drawn: list[tuple[str, int, int, float]],
) -> None:
    ops = []
    for kind, value, start, length in drawn:
        if kind == "read":
            ops.append(read(value, start, start + (1 if length == inf else length)))
        elif kind == "write":
            ops.append(write(value, start, start + length))
        else:
            ops.append(add(1, None if length == inf else value, start, start + length))
    found = linearize(ops)
    if found is None:
        assert not can_be_explained(ops)
    else:
        assert explains(ops, found)


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(2, 12), st.integers(1, 400))
def test_it_finds_the_order_of_a_long_run(random: object, clients: int, steps: int) -> None:
    """Clients take random turns; each operation takes effect between its start and its end."""
    rng: Any = random
    value, clock = 0, 0
    ops: list[Operation] = []
    for _ in range(steps):
        start = clock
        clock += rng.randrange(3)
        end = clock + rng.randrange(1, 2 * clients)
        if rng.random() < 0.5:
            ops.append(read(value, start, end))
        else:
            value = rng.randrange(4)
            ops.append(write(value, start, end))
        clock += rng.randrange(2)
    found = linearize(ops)
    assert found is not None
    assert explains(ops, found)
