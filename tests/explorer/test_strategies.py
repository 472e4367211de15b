"""Each strategy draws schedules with the probabilities that its paper promises."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from bankkit import explorer
from bankkit.explorer import Strategy
from bankkit.explorer.strategies.named import RANDOM
from bankkit.explorer.strategies.strategy import Step
from tests.explorer.specimens import data, together, waiting
from tests.support.shares import in_turn

Seen = Counter[tuple[str, ...]]


def steps(*objects: str) -> Callable[[Any, Any, str, list[str]], None]:
    """A thread that writes these attributes, one after the other, and says so each time."""

    def work(threading: Any, shared: Any, name: str, order: list[str]) -> None:
        for attribute in objects:
            setattr(shared, attribute, name)
            order.append(name if len(set(objects)) == 1 else f"{attribute}{name}")

    return work


def drawn(strategy: Any, *threads: Any, schedules: int, **settings: Any) -> Seen:
    """How often each order of the threads' steps was drawn."""
    orders: list[tuple[str, ...]] = []

    def scenario(threading: Any) -> None:
        shared = threading.shared(x="", y="", z="")
        order: list[str] = []
        together(
            threading,
            *(
                lambda work=work, name=name: work(threading, shared, name, order)
                for work, name in zip(threads, "ab", strict=True)
            ),
        )
        orders.append(tuple(order))

    result = explorer.explore(scenario, strategy=strategy, schedules=schedules, **settings)
    assert result.bug is None
    return Counter(orders[: result.schedules])  # more schedules follow for the certificate


def chi_square(seen: Seen, possible: int) -> float:
    """How far the numbers are from equal ones: about `possible` - 1 for equal probabilities."""
    expected = seen.total() / possible
    unseen = possible - len(seen)
    return sum((n - expected) ** 2 / expected for n in seen.values()) + unseen * expected


FOUR_AND_TWO = steps("x", "x", "x", "x"), steps("x", "x")
ORDERS = math.comb(6, 2)
CRITICAL = 36.1
"""Equal probabilities of 15 orders exceed this once in a thousand experiments."""


def test_surw_draws_every_order_equally_often() -> None:
    """A random walk does not: it seldom delays the short thread."""
    assert chi_square(drawn("surw", *FOUR_AND_TWO, schedules=450, seed=1), ORDERS) < CRITICAL
    assert chi_square(drawn("random", *FOUR_AND_TWO, schedules=450, seed=1), ORDERS) > 100


def test_a_random_walk_gives_each_thread_every_turn_equally_often() -> None:
    seen = drawn("random", steps("x"), steps("x", "x"), schedules=400, seed=1)
    expected = {("a", "b", "b"): 1 / 2, ("b", "a", "b"): 1 / 4, ("b", "b", "a"): 1 / 4}
    for order, probability in expected.items():
        assert abs(seen[order] / 400 - probability) < 0.05


def alternations(seen: Seen) -> float:
    """How often the threads wrote x in one order, and y in the other."""
    return (
        sum(
            number
            for order, number in seen.items()
            if (order.index("xa") < order.index("xb")) != (order.index("ya") < order.index("yb"))
        )
        / seen.total()
    )


def test_pct_takes_a_depth_that_is_larger_than_any_schedule() -> None:
    result = explorer.explore(lambda threading: None, strategy="pct", schedules=2, depth=10**9)
    assert result.bug is None


@pytest.mark.parametrize(
    ("strategy", "probability"), [("pos", 1 / 3), ("random", 1 / 4), ("pct", 0.0)]
)
def test_pos_decides_each_race_anew(strategy: str, probability: float) -> None:
    """Both threads write x and then y.

    Let a write x first; the write of x by b has raced, and draws again. It comes before the write
    of y by a half of the time. Then that write has lost once, so it loses to the write of y by b
    with a probability of 2/3: together 1/3. With depth 1, pct never alternates.
    """
    settings = {"depth": 1} if strategy == "pct" else {}
    seen = drawn(strategy, steps("x", "y"), steps("x", "y"), schedules=600, seed=1, **settings)
    assert abs(alternations(seen) - probability) < 0.04


@pytest.mark.parametrize(("depth", "schedules"), [(1, 100), (2, 300), (3, 1200)])
def test_pct_keeps_its_bound(depth: int, schedules: int) -> None:
    """Each order that needs so many priorities is as frequent as the paper promises.

    With n threads and k steps, that is at least 1 / (n k^(depth - 1)), here less three standard
    deviations. No schedule switches more often: the last switch is no preemption.
    """
    threads = steps(*"xxx"), steps(*"xxx")
    seen = drawn("pct", *threads, schedules=schedules, seed=1, depth=depth)
    assert max(map(switches, seen)) == depth
    promised = schedules / (2 * 6 ** (depth - 1))
    for order in set(itertools.permutations("aaabbb")):
        if switches(order) <= depth:
            assert seen[order] > promised - 3 * math.sqrt(promised), order


def switches(order: tuple[str, ...]) -> int:
    """How often another thread makes the next step."""
    return sum(one != other for one, other in itertools.pairwise(order))


def test_delays_are_counted_from_round_robin() -> None:
    """Three steps each: without a delay, a runs first; one delay lets b run earlier."""
    none = drawn("delay", steps(*"xxx"), steps(*"xxx"), schedules=1000, delays=0)
    assert list(none) == [tuple("aaabbb")]
    one = drawn("delay", steps(*"xxx"), steps(*"xxx"), schedules=1000, delays=1)
    assert set(one) == {tuple(order) for order in ("aaabbb", "aabbba", "abbbaa", "bbbaaa")}
    assert set(one.values()) == {1}


def test_delays_grow_until_every_schedule_has_run() -> None:
    seen = drawn("delay", steps(*"xx"), steps(*"xx"), schedules=1000)
    assert set(seen) == set(itertools.permutations("aabb"))
    result = explorer.explore(nothing, strategy="delay")
    assert (result.verdict, str(result.bound)) == ("ok", "no bound")
    result = explorer.explore(nothing, strategy="delay", delays=1)
    assert "ok: every schedule with at most 1 delay ends well" in str(result)


SPECIMENS = (*data.SPECIMENS[:2], *waiting.SPECIMENS[:2])


@pytest.mark.parametrize(
    ("specimen", "strategy"),
    in_turn(SPECIMENS, ["pos", "surw", "random", "delay"]),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_every_strategy_tells_a_mistake_from_its_correction(specimen: Any, strategy: Any) -> None:
    found = explorer.explore(specimen.broken, strategy=strategy, schedules=1000)
    assert found.verdict == "bug", found
    right = explorer.explore(specimen.corrected, strategy=strategy, schedules=100)
    assert right.bug is None
    assert strategy == "delay" or right.verdict == "unknown"


@pytest.mark.parametrize("strategy", RANDOM)
def test_a_seed_gives_the_same_schedules(strategy: str) -> None:
    one, same, other = (
        list(drawn(strategy, *FOUR_AND_TWO, schedules=20, seed=seed).items()) for seed in (1, 1, 2)
    )
    assert one == same != other


# Strategies of others.


def updates(threading: Any) -> None:
    """Lose an update if the threads take turns."""
    counter = threading.shared(value=0)

    def add() -> None:
        counter.value += 1

    together(threading, add, add)
    assert counter.value == 2


class Alternating(Strategy):
    """Takes turns."""

    def choose(self, choices: list[Step]) -> Step:
        return choices[0]


class Once(Alternating):
    """Has one schedule."""

    def advance(self) -> bool:
        return False


class All(Once):
    """Claims that its one schedule is all."""

    exhaustive = True


class Wrong(Strategy):
    """Chooses what is not offered."""

    def choose(self, choices: list[Step]) -> Step:
        return Step(choices[0].task, choices[0].option)


def nothing(threading: Any) -> None:
    """End well."""
    event = threading.Event()
    together(threading, event.set, event.set)


def test_a_strategy_of_ones_own_is_a_class() -> None:
    assert explorer.explore(updates, strategy=Alternating).verdict == "bug"
    assert explorer.explore(updates, strategy=Alternating, preemptions=0, schedules=9).bug is None
    assert explorer.explore(updates, strategy=lambda *all: Alternating(*all)).verdict == "bug"


def test_only_an_exhaustive_strategy_says_ok() -> None:
    result = explorer.explore(nothing, strategy=Once)
    assert (result.verdict, result.schedules) == ("unknown", 1)
    assert "the strategy has no more schedules" in str(result)
    assert explorer.explore(nothing, strategy=All).verdict == "ok"


def test_a_strategy_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match=r"Wrong\.choose must return one of its choices"):
        explorer.explore(nothing, strategy=Wrong)
    with pytest.raises(TypeError, match=r"must make a bankkit\.explorer\.Strategy, not int"):
        explorer.explore(nothing, strategy=lambda *all: 3)  # type: ignore[arg-type]


def test_a_test_with_a_random_strategy_passes_if_it_finds_nothing() -> None:
    """One that claims to be exhaustive must end."""
    for strategy in (*RANDOM, Once, All):
        explorer.explored(strategy=strategy, schedules=5)(lambda threading: nothing(threading))()
    with pytest.raises(explorer.NotExplored):
        explorer.explored(strategy="delay", schedules=1)(lambda threading: nothing(threading))()
