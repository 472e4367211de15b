"""`explore(check=)` checks the history of every schedule, and no reduction loses a history."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bankkit.explorer import (
    BrokenSchedule,
    FailedCheck,
    ScenarioError,
    Schedule,
    explore,
    explored,
    linearizable,
    replay,
    sequentially_consistent,
)
from bankkit.histories import (
    CounterModel,
    Operation,
    QueueModel,
    RegisterModel,
    UnknownOperation,
)
from tests.explorer.specimens import together
from tests.explorer.specimens.histories import SPECIMENS, HistorySpecimen, Stale, stale
from tests.support.shares import in_turn

Scenario = Callable[[Any], object]

SEARCHES: dict[str, dict[str, Any]] = {
    "reduced, no bound": {},
    "reduced, 0 preemptions": {"preemptions": 0},
    "reduced, 2 preemptions": {"preemptions": 2},
    "every schedule": {"reduction": False},
    "pct": {"strategy": "pct", "schedules": 300},
}
BOUNDED = ("reduced, no bound", "reduced, 2 preemptions")


@pytest.fixture
def no_whole_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small search, too, cuts schedules short that reach nothing new."""
    monkeypatch.setattr("bankkit.explorer.strategies.bounded.WHOLE", 0)


in_every_search = pytest.mark.parametrize("search", SEARCHES)
REGISTER = linearizable(RegisterModel(0))


# What is found.


@pytest.mark.parametrize(
    ("specimen", "search"),
    in_turn(SPECIMENS, BOUNDED),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_the_mistake_is_found_and_its_correction_is_not(
    specimen: HistorySpecimen, search: str
) -> None:
    """With the fewest preemptions possible, and without a check all is well."""
    settings = SEARCHES[search]
    broken, check = specimen.scenario(right=False), linearizable(specimen.model)
    found = explore(broken, check=check, **settings)
    assert found.bug is not None, found
    assert found.bug.kind == "failed check"
    assert specimen.says in found.bug.text
    assert found.bug.schedule.preemptions == specimen.preemptions
    assert explore(broken, **settings).bug is None
    assert explore(specimen.scenario(right=True), check=check, **settings).verdict == "ok"


def test_a_bug_shows_the_history_and_the_schedule_and_can_be_replayed() -> None:
    (specimen,) = (each for each in SPECIMENS if each.name == "transfer in two halves")
    broken, check = specimen.scenario(right=False), linearizable(specimen.model)
    bug = explore(broken, check=check).bug
    assert bug is not None
    sentence, calls, table, _why = str(bug).split("\n\n")
    assert sentence == f"failed check: {bug.text}"
    assert calls == bug.history
    assert len(calls.splitlines()) == 5
    assert "call Accounts.transfer('alice', 'bob', 5)" in " ".join(table.split())
    assert isinstance(bug.error, FailedCheck)
    assert bug.history in str(bug.error)
    schedule = Schedule.from_json(bug.schedule.to_json())
    again = replay(broken, schedule, check=check)
    assert (again.kind, again.text, again.schedule) == (bug.kind, bug.text, schedule)
    assert replay(broken, schedule).kind == "ended"


def test_an_explored_test_can_have_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    @explored(check=REGISTER)
    def test(threading: Any) -> None:
        stale(threading)

    with pytest.raises(BrokenSchedule, match=r"no order explains it: .* returned 0") as caught:
        test()
    monkeypatch.setattr(
        "bankkit.explorer.decorator.schedule_to_replay", caught.value.outcome.schedule
    )
    with pytest.raises(BrokenSchedule, match="no order explains it"):
        test()


# Two schedules of one trace may have different histories.


@pytest.mark.one_in(4)
@in_every_search
@pytest.mark.parametrize("reader_first", [False, True])
def test_the_order_of_unrelated_calls_is_part_of_the_history(
    search: str, reader_first: bool
) -> None:
    """The trap: both schedules are one trace, and only one of them is linearizable."""

    def scenario(threading: Any) -> None:
        stale(threading, reader_first)

    assert explore(scenario, check=REGISTER, **SEARCHES[search]).verdict == "bug"
    late = explore(scenario, check=sequentially_consistent(RegisterModel(0)), **SEARCHES[search])
    assert late.verdict in ("ok", "unknown"), late


@in_every_search
def test_a_call_without_steps_can_come_late(search: str) -> None:
    """The second read comes from the thread's own copy, and between the reads there is a write."""

    class Copying(Stale):
        def __init__(self, threading: Any) -> None:
            super().__init__(threading)
            self._copy = threading.local()

        def read(self) -> int:
            if not hasattr(self._copy, "value"):
                self._copy.value = self._cells.written
            return int(self._copy.value)

    def scenario(threading: Any) -> None:
        register = threading.recorded(Copying(threading))

        def read_twice() -> None:
            register.read()
            register.read()

        together(threading, lambda: register.write(1), read_twice)

    settings = SEARCHES[search]
    if settings.get("preemptions") == 0:  # it takes one to come between
        settings = {"preemptions": 1}
    assert explore(scenario, check=REGISTER, **settings).verdict == "bug"


@in_every_search
def test_a_call_returns_when_what_it_waited_for_has_happened(search: str) -> None:
    """The write has returned when its helper has ended, before the thread makes another step."""

    class Helped(Stale):
        def __init__(self, threading: Any) -> None:
            super().__init__(threading)
            self._threading = threading

        def write(self, value: int) -> None:
            together(self._threading, lambda: setattr(self._cells, "written", value))

    def scenario(threading: Any) -> None:
        register = threading.recorded(Helped(threading))
        together(threading, lambda: register.write(1), register.read)

    assert explore(scenario, check=REGISTER, **SEARCHES[search]).verdict == "bug"


@pytest.mark.usefixtures("no_whole_schedules")
def test_each_reader_sees_all_returns_before_it_not_only_the_last() -> None:
    """Two writers that share nothing; the reader may begin after either, after both or first."""

    def scenario(threading: Any) -> None:
        history = threading.history()
        cells = threading.shared(a=0, b=0, c=0)

        def call(name: str) -> None:
            with history.call(name):
                setattr(cells, name, 1)

        threads = [threading.Thread(target=call, args=(name,), name=name) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    every = histories(scenario, reduction=False, preemptions=2)[0]
    assert histories(scenario, preemptions=2)[0] == every
    assert histories(scenario)[0] >= every
    before_c = {
        frozenset(each.client for each in history if each.end < c.start)
        for history in every
        for c in history
        if c.client == "c"
    }
    assert before_c == {frozenset(names) for names in ("", "a", "b", "ab")}


Plan = tuple[tuple[str, ...], ...]
"""The operations of each thread."""

KINDS = (
    "read x", "write x", "read y", "write y", "both", "nothing", "locked", "helped", "refused",
    "timed", "set", "chosen", "in doubt y",
)  # fmt: skip


def planned(plan: Plan) -> Scenario:
    """Threads that make these calls of one object, or of two."""

    def scenario(threading: Any) -> None:
        cells = threading.shared(x=0, y=0)
        lock, event = threading.Lock(), threading.Event()
        histories = threading.history(), threading.history()

        def add(name: str) -> int:
            setattr(cells, name, getattr(cells, name) + 1)
            return int(getattr(cells, name))

        def work(kind: str) -> Any:
            match kind.split():
                case ["read", name]:
                    return getattr(cells, name)
                case ["write", name]:
                    return add(name)
                case ["both"]:
                    return add("x"), cells.y
                case ["locked"]:
                    with lock:
                        return cells.x
                case ["helped"]:
                    return together(threading, lambda: add("y"))
                case ["timed"]:
                    return event.wait(1.0), cells.x
                case ["set"]:
                    return event.set()
                case ["chosen"]:
                    return threading.choose(2), cells.x
                case ["refused"]:
                    raise KeyError(cells.y)
            return None

        def run(kinds: Sequence[str]) -> None:
            for kind in kinds:
                try:
                    with histories[kind.endswith("y")].call(kind) as call:
                        if kind.startswith("in doubt"):
                            call.unknown()
                        else:
                            call.returned(work(kind))
                except KeyError:
                    pass

        threads = [threading.Thread(target=run, args=(kinds,)) for kinds in plan]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return scenario


def histories(scenario: Scenario, **settings: Any) -> tuple[set[Sequence[Operation]], int, bool]:
    """The histories that a search finds, how many schedules it ran, and whether it ran all."""
    found: set[Sequence[Operation]] = set()
    result = explore(scenario, check=found.add, seconds=300, **settings)
    assert result.bug is None
    return found, result.schedules, not result.limit


def compare(seed: int, most: int) -> int:
    """Compare the searches on a random plan; return how many complete ones were compared."""
    rng = random.Random(seed)
    threads = rng.randrange(2, 4)
    plan = tuple(
        tuple(rng.choice(KINDS) for _ in range(rng.randrange(1, 3 if threads == 2 else 2)))
        for _ in range(threads)
    )
    scenario = planned(plan)
    compared = 0
    for bound in ({}, {"preemptions": 0}, {"preemptions": 1}, {"preemptions": 2}):
        every, ran, complete = histories(scenario, reduction=False, schedules=most, **bound)
        if complete:
            compared += 1
            reduced, fewer, is_complete = histories(scenario, schedules=most, **bound)
            assert (reduced, is_complete) == (every, True), (plan, bound)
            assert fewer <= ran, (plan, bound)
    return compared


@pytest.mark.usefixtures("no_whole_schedules")
def test_every_search_finds_the_same_histories() -> None:
    """Random plans; the unreduced search is the truth."""
    assert sum(compare(seed, most=120) for seed in range(3)) >= 6


@pytest.mark.elsewhere
@pytest.mark.usefixtures("no_whole_schedules")
def test_every_search_finds_the_same_histories_of_many_plans() -> None:
    assert sum(compare(seed, most=1500) for seed in range(20)) >= 45


def test_the_search_stays_small() -> None:
    """Beginnings do not conflict with each other, so threads that only begin need one schedule."""

    def scenario(threading: Any) -> None:
        history = threading.history()

        def begin() -> None:
            with history.call("begin") as call:
                call.unknown()

        together(threading, begin, begin, begin)

    assert explore(scenario, check=lambda history: None).schedules == 1


# What a check may be, and what it may not.


@pytest.mark.parametrize(
    ("answer", "text"),
    [(None, ""), (True, ""), (False, "the check returned False."), ("too few", "too few")],
)
def test_a_check_is_any_function_of_the_history(answer: object, text: str) -> None:
    result = explore(stale, check=lambda history: answer)
    assert (result.bug.text if result.bug else "") == text


def test_a_check_may_assert() -> None:
    def check(history: Sequence[Operation]) -> None:
        assert len(history) == 3, "there are not three calls"

    bug = explore(stale, check=check).bug
    assert bug is not None
    assert (bug.kind, bug.text) == ("failed check", "there are not three calls")


def test_a_check_that_is_wrong_is_no_bug_of_the_program() -> None:
    with pytest.raises(UnknownOperation, match=r"CounterModel does not describe Stale\.write"):
        explore(stale, check=linearizable(CounterModel()))
    with pytest.raises(ZeroDivisionError):
        explore(stale, check=lambda history: 1 / 0)
    with pytest.raises(TypeError, match="not 5"):
        explore(stale, check=lambda history: 5)
    with pytest.raises(TypeError, match=r"check= must be a function of a history"):
        explore(stale, check=RegisterModel(0))  # type: ignore[arg-type]


def test_a_check_of_nothing_is_an_error() -> None:
    """A history without a call would pass every check."""

    def scenario(threading: Any) -> None:
        together(threading, threading.Lock().acquire)

    for settings in ({}, {"strategy": "pct", "schedules": 2}):
        with pytest.raises(ScenarioError, match="the scenario recorded no call"):
            explore(scenario, check=REGISTER, **settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_whole_schedules")
def test_schedules_that_fail_or_were_cut_short_are_not_checked() -> None:
    """A bug in a thread is told as such, and the check sees only whole histories."""
    lengths = set()

    def scenario(threading: Any) -> None:
        register = threading.recorded(Stale(threading))
        cells = threading.shared(x=0)

        def write() -> None:
            cells.x = 1
            register.write(1)

        together(threading, write, write, lambda: cells.x)

    assert explore(scenario, check=lambda history: lengths.add(len(history)), preemptions=2)
    assert lengths == {2}

    def failing(threading: Any) -> None:
        stale(threading)
        raise ValueError("first")

    bug = explore(failing, check=REGISTER).bug
    assert bug is not None
    assert bug.kind == "exception"


@pytest.mark.parametrize("ends", ["by the time limit", "by Ctrl-C"])
def test_a_check_that_does_not_end_is_ended(ends: str) -> None:
    def check(history: Sequence[Operation]) -> None:
        while True:
            if ends == "by Ctrl-C":
                signal.raise_signal(signal.SIGINT)

    if ends == "by Ctrl-C":
        with pytest.raises(KeyboardInterrupt):
            explore(stale, check=check)
    else:
        result = explore(stale, check=check, seconds=0.3)
        assert (result.verdict, result.limit) == ("unknown", "the time limit was reached")


def test_a_queue_of_the_standard_library_is_linearizable() -> None:
    """Its own code runs; `get` waits for an item."""
    import queue

    def scenario(threading: Any) -> None:
        items = threading.recorded(queue.Queue(), "put", "get", "empty")
        together(threading, lambda: items.put("a"), lambda: items.put("b"), items.get)
        items.get()
        items.empty()

    result = explore(scenario, patch=[queue], preemptions=1, check=linearizable(QueueModel()))
    assert result.verdict == "ok", result
