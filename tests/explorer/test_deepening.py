"""The default search: it ends with an `ok` without a bound, or it says how far it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from bankkit import explorer
from bankkit.explorer import Bound, Strategy
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.search import deepening
from bankkit.explorer.strategies.bounded import BoundedSearch
from tests.benchmarks.explorer import program
from tests.explorer.specimens import data, locking, together, waiting
from tests.support.traces import NOTHING, bounded_search, trace, traces


def increments(threads: int, times: int, *, lost_after: int = 99) -> Callable[[Any], None]:
    """Threads that count in steps; an assertion fails if many updates are lost."""

    def scenario(threading: Any) -> None:
        counter = threading.shared(value=0)

        def add() -> None:
            for _ in range(times):
                counter.value += 1

        together(threading, *[add] * threads)
        assert counter.value > threads * times - lost_after

    return scenario


def deepened(scenario: Any, bounds: int) -> tuple[list[set[Hashable]], list[int]]:
    """All traces that a deepening search has run at the end of each bound, and its schedules."""
    found: set[Hashable] = set()
    reached, ran = [], []

    def observe(search: Strategy) -> None:
        if not search.cut:
            found.add(trace(search))

    with (
        closing(Scheduler(limit=1000)) as scheduler,
        Laboratory(scenario, scheduler=scheduler) as laboratory,
    ):
        limits = Limits(10**6, time.monotonic() + 300)
        search = BoundedSearch(scheduler, Bound(0), deepens=True)
        for _ in range(bounds):
            laboratory.find(search, limits, NOTHING, observe)
            reached.append(set(found))
            ran.append(limits.ran)
            if not search.deepen():
                break
        assert not search.unseen
    return reached, ran


@pytest.mark.parametrize(
    "scenario",
    [program(1, 2, "writers"), program(2, 1, "readers"), increments(2, 2), increments(3, 1),
     locking.SPECIMENS[0].corrected, waiting.SPECIMENS[1].corrected],
)  # fmt: skip
def test_each_bound_has_the_traces_of_a_search_with_that_bound(scenario: Any) -> None:
    """And nothing runs again: all bounds together take hardly more schedules than the last."""
    reached, ran = deepened(scenario, bounds=4)
    for preemptions, found in enumerate(reached):
        alone, schedules = traces(scenario, bounded_search(Bound(preemptions)))
        assert found == alone
        assert ran[preemptions] <= 1.1 * schedules + 2


CORPUS = (*data.SPECIMENS, *waiting.SPECIMENS, *locking.SPECIMENS)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: str(specimen.name))
def test_the_parts_of_the_search_agree(specimen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the search without a bound gets no turn, that with growing bounds has the same verdict."""
    monkeypatch.setattr(deepening, "WHOLE", 0)
    monkeypatch.setattr(deepening, "BOUNDED", 50)
    monkeypatch.setattr(deepening, "DRAWN", 1)
    found = explorer.explore(specimen.broken)
    assert found.bug is not None
    assert found.bug.schedule.preemptions == specimen.preemptions
    right = explorer.explore(specimen.corrected, schedules=3000)
    assert right.bug is None
    if right.verdict == "ok":
        assert right.exhausted == right.bound == Bound()


def test_a_small_scenario_takes_no_more_schedules_than_one_search() -> None:
    for scenario in (program(1, 1), program(1, 2), increments(2, 2)):
        result = explorer.explore(scenario)
        once = explorer.explore(scenario, strategy="exhaustive")
        assert (result.verdict, result.bound) == ("ok", Bound())
        assert (result.schedules, result.random) == (once.schedules, 0)


LARGE = increments(3, 3)


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each search have its turn after a tenth of the usual schedules."""
    for name in ("NEAR", "WHOLE", "BOUNDED", "DRAWN"):
        monkeypatch.setattr(deepening, name, getattr(deepening, name) // 10)


@pytest.mark.usefixtures("short_turns")
def test_a_search_that_does_not_end_says_how_far_it_came() -> None:
    """The bounds that it names are those that it has run; the same count gives the same result."""
    one, same = (explorer.explore(LARGE, schedules=500) for _ in range(2))
    assert one.verdict == "unknown"
    assert one.exhausted == Bound(1)
    assert one.begun > 10
    assert one.random > deepening.DRAWN
    told = f"Every schedule with at most 1 preemption ends well; 2 was begun: {one.begun:,} sched"
    assert told in str(one)
    assert str(one).startswith("unknown: the limit of 500 schedules was reached (500 schedules ")
    assert (one.limit, one.begun, one.random) == (same.limit, same.begun, same.random)
    assert explorer.explore(LARGE, preemptions=1).verdict == "ok"


def test_a_part_of_the_time_is_for_random_schedules() -> None:
    """Even if one search would use all of it."""
    result = explorer.explore(LARGE, seconds=0.3)
    assert result.limit == "the time limit was reached"
    assert result.random > 5


@pytest.mark.usefixtures("short_turns")
def test_a_bug_tells_which_bound_was_exhausted_before() -> None:
    """It needs that most updates are lost, and the search without a bound begins elsewhere."""
    result = explorer.explore(increments(4, 2, lost_after=6), schedules=5000)
    assert result.bug is not None
    assert result.exhausted is not None
    assert f"every schedule with {result.exhausted} ends well" in str(result).splitlines()[0]


def test_a_named_bound_is_kept_exactly() -> None:
    """There are no deeper and no random schedules, even if the bound is soon exhausted."""
    result = explorer.explore(increments(2, 1, lost_after=1), preemptions=0)
    assert (result.verdict, result.exhausted, result.random) == ("ok", Bound(0), 0)
    assert explorer.explore(increments(2, 1, lost_after=1)).verdict == "bug"


def test_timeouts_may_be_bounded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepening, "WHOLE", 2)

    def scenario(threading: Any) -> None:
        event = threading.Event()
        answers = []
        together(threading, event.set, lambda: answers.append(event.wait(1.0)))
        assert answers == [True]

    right = explorer.explore(scenario, timeouts=0)
    assert (right.verdict, right.exhausted) == ("ok", Bound(None, 0))
    assert explorer.explore(scenario, timeouts=1).verdict == "bug"


def test_state_that_threads_share_unseen_ends_the_reduction_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bounded search notices it; then the search without a bound may not skip either.

    The bug needs that `b` reads the plain list between two steps of `a` that concern only `a`.
    """
    monkeypatch.setattr(deepening, "NEAR", 2)
    monkeypatch.setattr(deepening, "WHOLE", 3)
    monkeypatch.setattr(deepening, "BOUNDED", 20)
    monkeypatch.setattr(deepening, "DRAWN", 0)

    def scenario(threading: Any, right: bool) -> None:
        both = threading.shared(value=0)
        mine, yours = threading.shared(value=0), threading.shared(value=0)
        plain: list[int] = []

        def a() -> None:
            both.value += 1
            mine.value = 1
            plain.append(1)
            mine.value = 2
            plain.clear()
            both.value += 1

        def b() -> None:
            both.value += 1
            yours.value = 1
            seen = bool(plain)
            if seen:
                yours.value = 2
            both.value += 1
            assert right or not seen

        together(threading, a, b)

    result = explorer.explore(partial(scenario, right=True))
    assert (result.bug, result.limit, result.exhausted) == (None, "", Bound())
    assert "depends on state that threads share" in result.unreduced
    assert explorer.explore(partial(scenario, right=False)).verdict == "bug"


def test_a_loop_that_never_ends_leaves_time_for_random_schedules() -> None:
    """No search can go on after it, so a few random schedules run, and the limit is named."""

    def scenario(threading: Any) -> None:
        flag = threading.shared(value=0)

        def count() -> None:
            while True:
                flag.value += 1

        together(threading, count, count)

    assert explorer.explore(scenario, steps=50, schedules=10).schedules == 10
    result = explorer.explore(scenario, steps=50)
    assert result.verdict == "unknown"
    assert "after 50 steps" in result.limit
    assert result.random == 3 * deepening.LAST
    assert result.schedules == result.random + 3


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(program(2, 2, "writers"), marks=pytest.mark.elsewhere), program(1, 2),
     program(2, 1, "readers"), increments(3, 1), increments(2, 3), locking.SPECIMENS[1].corrected],
)  # fmt: skip
def test_a_reduction_runs_no_more_schedules_than_none(scenario: Any) -> None:
    """This held for few schedules only; two readers and two writers ran more."""
    reduced = explorer.explore(scenario, preemptions=2)
    assert reduced.schedules <= explorer.explore(scenario, preemptions=2, reduction=False).schedules
