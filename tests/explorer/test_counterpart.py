"""A failing schedule has a counterpart that ends well, and the explanation is true of the two."""

import copy
import pickle
import queue
import re
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer import Explanation, Outcome, Result, explore, replay
from bankkit.explorer.answers import counterpart, explanation
from bankkit.explorer.answers.exchange_search import ExchangeSearch
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Strategy
from bankkit.locks import FirstDraftLock
from tests.explorer.specimens import Specimen, together
from tests.explorer.test_corpus import CORPUS
from tests.support import random_programs
from tests.support.scenarios import crossed_locks, reader_and_writer
from tests.support.traces import NOTHING

Scenario = Callable[[Any], object]

clock: Any = ModuleType("clock")
clock.sleep = time.sleep


def bug_of(scenario: Scenario, **settings: Any) -> Outcome:
    result = explore(scenario, **settings)
    assert result.bug is not None, result
    return result.bug


def why(scenario: Scenario, **settings: Any) -> Explanation:
    """The explanation of a scenario's bug, which is checked."""
    bug = bug_of(scenario, **settings)
    assert bug.why is not None
    check(scenario, bug, **settings)
    return bug.why


def check(scenario: Scenario, bug: Outcome, **settings: Any) -> None:
    """Fails unless what the explanation says is true of the two schedules."""
    settings = {name: settings[name] for name in ("patch", "lines", "timing") if name in settings}
    assert bug.why is not None
    good, steps = bug.why.counterpart, bug.why.steps
    if good is None:
        assert not steps
        assert not bug.why.waiting
        return
    assert replay(scenario, good, **settings).kind == "ended"
    assert replay(scenario, bug.schedule, **settings).kind == bug.kind
    failing = bug.schedule.moves
    if steps:
        first = min(steps) - 1
        assert good.moves[:first] == failing[:first], "they agree up to there"
        assert good.moves[first] != failing[first], "and only up to there"

    def nth(number: int) -> int:
        """How many steps the thread of this step has made before it."""
        return sum(move.thread == failing[number].thread for move in failing[:number])

    def place(number: int) -> int:
        """Where the counterpart makes this step: the thread's step with the same number."""
        its = [
            place for place, move in enumerate(good.moves) if move.thread == failing[number].thread
        ]
        return its[nth(number)] if nth(number) < len(its) else len(good.moves)

    if len(steps) == 2:
        later = steps[0] - 1
        assert later < steps[1] - 1
        assert place(steps[1] - 1) < place(later), "the order is the opposite one"
    # The numbers name the counterpart's steps, and all that are missing are other steps.
    (order,) = re.findall(r"in this order: (.*)\.$", bug.why.text)
    at = 0
    for part in order.split(", "):
        if "other" in part:
            at += int(part.partition(" ")[0])
            continue
        low, _, high = part.partition("–")
        for number in range(int(low), int(high or low) + 1):
            assert good.moves[at].thread == failing[number - 1].thread
            assert place(number - 1) == at
            at += 1
    assert at == len(good.moves)


# --- Each kind of bug ----------------------------------------------------------------------------


@pytest.mark.one_in(3)
@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: str(specimen.name))
def test_every_mistake_of_the_corpus_is_explained(specimen: Specimen) -> None:
    explanation = why(specimen.broken, preemptions=2)
    assert explanation.counterpart is not None or "Every schedule fails" in explanation.text


EXPECTED = {
    "unguarded counter": (
        "If step 2 (increment-2: read counter.value) comes after step 4 (increment: write "
        "counter.value), all ends well, as in this order: 1, 4, 2–3, 5."
    ),
    "if for while": (
        "If step 6 (consume-2: acquire available's lock) comes after step 8 (consume: wake up on "
        "available), all ends well, as in this order: 1–5, 8–9, 6, 6 other steps."
    ),
    "notification after the timeout": (
        "If step 6 (put: notify changed) wakes get instead of try_to_get, all ends well, as in "
        "this order: 1–7, 5 other steps."
    ),
    "queue not left on timeout": (
        "If step 11 (release: set gate) comes before the timeout fires at step 9 (impatient: wait "
        "for gate: timed out), all ends well, as in this order: 1–8, 10–12, 6 other steps."
    ),
    "locks again": (
        "Every schedule fails (2 schedules): the bug does not depend on the order of the steps."
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_words(name: str) -> None:
    (specimen,) = (each for each in CORPUS if each.name == name)
    assert why(specimen.broken, preemptions=2).text == EXPECTED[name]


def test_a_lost_wakeup_is_marked_in_its_table() -> None:
    """The issue's own sentence, and the numbers are those of the table."""
    result = explore(reader_and_writer(FirstDraftLock))
    assert result.bug is not None
    assert result.bug.why is not None
    assert result.bug.why.steps == (8, 10)
    text = re.sub(r"\s+", " ", str(result))
    assert "If step 8 (reader: check whether writers_mutex is locked) comes after step 10" in text
    marked = [line.split() for line in str(result).splitlines() if line[4:5] == ">"]
    assert [line[0] for line in marked] == ["8>check", "10>"]
    assert ">" not in result.bug.schedule.table()[:40]


def test_a_deadlock_is_decided_by_a_step_that_never_comes() -> None:
    bug = bug_of(crossed_locks)
    assert bug.why is not None
    assert bug.why.text.startswith(
        "If step 2 (bob: acquire right) comes only after alice has gone on to “acquire right” ("
    )
    check(crossed_locks, bug)
    assert bug.why.waiting == "alice"
    marks = [line[:5] for line in bug.table().splitlines() if line[:5].strip()]
    assert marks == ["   1 ", "  *2>", "   ∞>", "   ∞ "]


def test_a_timeout_that_fires() -> None:
    explanation = why(lambda threading: crossed_locks(threading, timeout=1.0), timeouts=1)
    assert "timed out" in explanation.text


def test_a_timeout_that_should_have_fired() -> None:
    """The order that ends well is one in which the second step times out instead."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        lock.acquire()
        got = threading.shared(count=0)

        def hold() -> None:
            lock.release()

        def impatient() -> None:
            assert not lock.acquire(timeout=1.0)

        together(threading, hold, impatient)
        assert got.count == 0

    explanation = why(scenario)
    assert explanation.text.startswith(
        "If step 3 (impatient: acquire lock) times out before step 2 (hold: release lock), all"
    )


def test_a_sleep_that_ends_too_early() -> None:
    """The data are read in the step in which the sleep ends, and nobody tracks them."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        plain = {"ready": False}

        def prepare() -> None:
            with lock:
                plain["ready"] = True

        def use() -> None:
            clock.sleep(1.0)
            ready = plain["ready"]
            assert ready

        together(threading, use, prepare)

    explanation = why(scenario, patch=[clock], reduction=False)
    told = r"If prepare has gone on to “acquire lock” \(\S+\) before the sleep ends at step 1 "
    assert re.match(told, explanation.text), explanation


def test_a_choice_decides() -> None:
    def scenario(threading: Any) -> None:
        state = threading.shared(sent=0)

        def send() -> None:
            state.sent = 1
            if threading.choose(2, "the message is lost"):
                state.sent = 0

        together(threading, send, lambda: state.sent)
        assert state.sent == 1

    explanation = why(scenario)
    assert explanation.text.startswith(
        "If step 2 (send: choose the message is lost: 1) is “choose the message is lost: 0” "
        "instead, all ends well"
    )
    assert explanation.steps == (2,)


def test_the_pair_is_the_data_and_not_a_lock_that_happens_to_be_taken() -> None:
    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        counter = threading.shared(value=0)

        def add() -> None:
            with lock:
                pass
            counter.value += 1

        together(threading, add, add)
        assert counter.value == 2

    assert re.findall(r"step \d+ \(\S+: (\w+ [\w.]+)", why(scenario).text) == [
        "read counter.value", "write counter.value",
    ]  # fmt: skip


def test_data_that_nobody_tracks_is_explained_by_the_steps_around_it() -> None:
    def scenario(threading: Any) -> None:
        plain = {"value": 0}
        mine, yours = threading.shared(at=0), threading.shared(at=0)

        def add(place: Any) -> None:
            value = plain["value"]
            place.at = 1  # a step, after which the other thread may come
            plain["value"] = value + 1

        together(threading, lambda: add(mine), lambda: add(yours))
        assert plain["value"] == 2

    found = explore(scenario, reduction=False)
    assert found.bug is None or found.bug.why is not None
    if found.bug is not None:
        check(scenario, found.bug)


def test_an_endless_loop_is_not_a_counterpart() -> None:
    """In the opposite order a thread spins forever; a third order ends well."""

    def scenario(threading: Any) -> None:
        state = threading.shared(turn=0)

        def first() -> None:
            state.turn = 1
            while state.turn == 2:
                pass

        def second() -> None:
            state.turn = 2

        together(threading, first, second)
        assert state.turn == 1

    bug = bug_of(scenario, steps=300)
    assert bug.why is not None
    check(scenario, bug)


class Unlocked:
    """Adds without a lock; with `lines=`, every access is a step."""

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        self.value += 1


def test_code_whose_lines_are_steps() -> None:
    def scenario(threading: Any) -> None:
        counter = Unlocked()
        threading.together(counter.add, counter.add)
        assert counter.value == 2

    assert len(why(scenario, lines=[Unlocked]).steps) == 2


def test_a_queue_of_the_standard_library() -> None:
    """Two threads see the same item, and one of them finds the queue empty."""

    def scenario(threading: Any) -> None:
        box: Any = queue.Queue()

        def take() -> None:
            if not box.empty():
                box.get_nowait()

        box.put(1)
        together(threading, take, take)

    assert len(why(scenario, patch=[queue]).steps) == 2


def test_a_pool() -> None:
    def scenario(threading: Any) -> None:
        state = threading.shared(value=0)

        def add() -> None:
            state.value += 1

        with futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(add), pool.submit(add)]:
                future.result()
        assert state.value == 2

    patch = [futures.thread, futures._base, queue]
    explanation = why(scenario, patch=patch, preemptions=2)
    assert re.findall(r"step \d+ \(\S+: (\w+ [\w.]+)", explanation.text) == [
        "read state.value", "write state.value",
    ]  # fmt: skip


def test_timeouts_in_order() -> None:
    """The alternative must keep to the order of the clock, too."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def hold() -> None:
            with lock:
                clock.sleep(2.0)

        def impatient() -> None:
            assert lock.acquire(timeout=1.0)
            lock.release()

        together(threading, hold, impatient)

    explanation = why(scenario, timing="ordered", patch=[clock])
    assert explanation.counterpart is not None


# --- Where no single pair is enough ---------------------------------------------------------------


def test_two_orders_together_decide() -> None:
    def scenario(threading: Any) -> None:
        first, second = threading.shared(by=""), threading.shared(by="")

        def write(name: str) -> None:
            first.by = name
            second.by = name

        together(threading, lambda: write("alice"), lambda: write("bob"))
        assert first.by == second.by == "alice"

    bug = bug_of(scenario)
    check(scenario, bug)
    assert bug.why is not None
    assert not bug.why.steps
    assert bug.why.text == (
        "No exchange of two steps is enough. Another schedule ends well, in this order: 3–4, "
        "1–2, 5–6."
    )


def test_data_that_nobody_tracks_may_end_well_where_no_trace_does() -> None:
    """All schedules are of one trace, which fails; so not every schedule does."""

    def scenario(threading: Any) -> None:
        plain: list[str] = []
        mine, yours = threading.shared(at=0), threading.shared(at=0)

        def write(place: Any, name: str) -> None:
            for _ in range(2):
                place.at = 1
                plain.append(name)

        together(threading, lambda: write(mine, "a"), lambda: write(yours, "b"))
        assert plain == ["b", "a", "a", "b"]

    bug = bug_of(scenario)
    assert bug.why is not None
    check(scenario, bug)
    assert bug.why.counterpart is not None


def test_every_schedule_fails() -> None:
    def scenario(threading: Any) -> None:
        counter = threading.shared(value=0)

        def add() -> None:
            counter.value += 1

        together(threading, add, add)
        assert counter.value == 3

    explanation = why(scenario)
    assert explanation.text.startswith("Every schedule fails (")
    assert explanation.counterpart is None


@pytest.mark.parametrize("times", [1, 2, 3, 5, 8])
def test_a_scenario_that_fails_only_at_first_is_refused_or_fails_again(times: int) -> None:
    """It once was a bug whose schedule ended well."""
    calls = iter(range(1_000_000))

    def scenario(threading: Any) -> None:
        counter = threading.shared(value=0)

        def add() -> None:
            counter.value += 1

        together(threading, add, add)
        assert counter.value == 2 or next(calls) >= times

    try:
        bug = explore(scenario).bug
    except lab.Diverged:
        return
    assert bug is None or bug.kind == "failed assertion"


# --- Random programs -----------------------------------------------------------------------------


def some_end_well(scenario: Scenario, most: int) -> bool | None:
    """Whether any of all schedules ends well; None if there are too many."""
    seen: set[bool] = set()

    def look(search: Strategy) -> None:
        seen.add(search.ending is None and scheduler.failure is None)

    with (
        closing(Scheduler(limit=500)) as scheduler,
        Laboratory(scenario, [random_programs.clock], scheduler=scheduler) as laboratory,
    ):
        limits = Limits(most, time.monotonic() + 600)
        laboratory.find(DepthFirst(scheduler, Bound()), limits, NOTHING, look)
    return None if limits.reached and True not in seen else True in seen


def failing_now_and_then(seed: int) -> Scenario:
    """A random program of which a third of all outcomes counts as wrong."""
    program = random_programs.Scenario(random_programs.program(seed))

    def scenario(threading: Any) -> None:
        program(threading)
        assert zlib.crc32(f"{seed} {program.outcome}".encode()) % 3

    return scenario


def explained(seeds: range) -> Counter[str]:
    """How many of the random programs' bugs have which explanation; each is checked."""
    kinds: Counter[str] = Counter()
    patch = [random_programs.clock]
    for seed in seeds:
        scenario = failing_now_and_then(seed)
        bug = explore(scenario, patch=patch, preemptions=2, schedules=300).bug
        if bug is None or bug.why is None:
            kinds["no bug" if bug is None else "no explanation"] += 1
            continue
        check(scenario, bug, patch=patch)
        always = bug.why.text.startswith("Every schedule fails")
        if always:
            assert not some_end_well(scenario, 100), seed
        kinds["always" if always else f"{len(bug.why.steps)} steps"] += 1
    return kinds


def test_the_explanations_of_random_programs_are_true() -> None:
    kinds = explained(range(40, 48))
    assert kinds["no explanation"] <= 1, kinds  # the machine may be slow
    assert {"always", "2 steps"} <= kinds.keys(), kinds


@pytest.mark.elsewhere
def test_the_explanations_of_many_random_programs_are_true() -> None:
    kinds = explained(range(1000, 1150))
    assert kinds["2 steps"] > 10, kinds
    assert {"1 steps", "always"} <= kinds.keys(), kinds


def test_a_bug_stays_a_bug_if_another_order_cannot_be_explored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In another order, a thread might be in a real wait."""

    def stuck(*_: object) -> None:
        raise lab.Stuck("Thread alice makes no step any more.")

    monkeypatch.setattr(explanation, "find_counterpart", stuck)
    bug = bug_of(crossed_locks)
    assert bug.kind == "deadlock"
    assert bug.why is None


# --- Limits --------------------------------------------------------------------------------------


def test_it_keeps_its_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known by then is not said."""

    def slow_and_wrong(threading: Any) -> None:
        wrong(threading, rounds=3)
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass
        raise AssertionError

    monkeypatch.setattr(counterpart, "SECONDS", 0.1)
    failing = replay(slow_and_wrong, lab.Schedule(())).schedule
    with (
        closing(Scheduler(limit=500)) as scheduler,
        Laboratory(slow_and_wrong, scheduler=scheduler) as laboratory,
    ):
        started = time.monotonic()
        found = counterpart.find_counterpart(laboratory, failing, started)
        assert time.monotonic() - started < 1.0
    assert getattr(found, "others", "unknown") == "unknown"


def wrong(threading: Any, rounds: int = 2) -> None:
    """Loses an addition, and has many steps to exchange."""
    counter = threading.shared(value=0)

    def add() -> None:
        for _ in range(rounds):
            counter.value += 1

    together(threading, add, add)
    assert counter.value == 2 * rounds


@pytest.mark.parametrize(
    ("method", "number"),
    [("begin", 1), ("advance", 1), ("advance", 5), ("pick", 1), ("pick", 30), ("_compare", 1)],
)
def test_ctrl_c_ends_it(method: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the search for the counterpart is."""
    calls = 0
    original = getattr(ExchangeSearch, method)

    def interrupted(self: Any, *rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            signal.raise_signal(signal.SIGINT)
        return original(self, *rest)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(ExchangeSearch, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            explore(wrong, preemptions=1)
        assert calls == number
    finally:
        signal.signal(signal.SIGINT, usual)


# --- As data -------------------------------------------------------------------------------------


def test_it_can_be_copied_and_pickled() -> None:
    result = explore(crossed_locks)
    for again in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert isinstance(again, Result)
        assert again.bug is not None
        assert result.bug is not None
        assert again.bug.why == result.bug.why
        assert str(again) == str(result)


def test_a_schedule_that_ends_well_has_none() -> None:
    assert explore(crossed_locks, preemptions=0).bug is None
    assert replay(crossed_locks, lab.Schedule(())).why is None
