"""An exploration ends when it must: by Ctrl-C, at its deadline, and whatever a scenario catches."""

import gc
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer.certificate.survey import SurveyScheduler
from bankkit.explorer.engine import patience, scheduler, stall
from bankkit.explorer.engine.garbage import FROZEN
from bankkit.explorer.engine.patience import TICK, Progress
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running import laboratory
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy
from tests.explorer.specimens import together
from tests.support.shares import in_turn

Scenario = Callable[[Any], object]

LATE = 3.0
"""Seconds. A search ends within one second after its limit, and later on a busy machine."""


def press() -> None:
    """Press Ctrl-C. Python calls the handler right after."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _everything_is_restored() -> Iterator[None]:
    """No exploration leaves a handler, a timer, a trace function or a collector behind."""

    def now() -> tuple[object, ...]:
        return (
            signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM),
            signal.getitimer(signal.ITIMER_REAL), sys.gettrace(), gc.isenabled(),
            gc.get_freeze_count() >= FROZEN, list(gc.callbacks), sys.unraisablehook,
        )  # fmt: skip

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        before = now()
        yield
        assert now() == before
    finally:
        signal.signal(signal.SIGINT, usual)


def three_threads(threading: Any, at: Callable[[], object] = lambda: None) -> None:
    """Three threads take a lock; `at` is called in between."""
    lock = threading.Lock()
    condition = threading.Condition()

    def work() -> None:
        with lock:
            at()
        with condition:
            condition.notify_all()

    together(threading, work, work, work)


def three_careless_threads(threading: Any) -> None:
    """Three threads take two locks, and catch whatever comes."""
    locks = [threading.Lock() for _ in range(2)]

    def work() -> None:
        for lock in locks:
            with suppress(BaseException), lock:
                pass

    together(threading, work, work, work)


def nth(number: int, do: Callable[[], object]) -> Callable[..., None]:
    """A function whose n-th call calls `do`."""
    calls = 0

    def call(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            do()

    return call


# Ctrl-C.


@pytest.mark.parametrize("number", [1, 2, 7, 50, 51, 52])
@pytest.mark.parametrize("preemptions", [None, 2])
def test_ctrl_c_in_a_thread(number: int, preemptions: int | None) -> None:
    """It ends the exploration in the schedule in which it comes."""
    at = nth(number, press)
    with pytest.raises(KeyboardInterrupt):
        lab.explore(lambda threading: three_threads(threading, at), preemptions=preemptions)


PLACES: list[tuple[type, str]] = [
    (Scheduler, "run"), (Scheduler, "abandon"), (Scheduler, "point"), (Scheduler, "admit"),
    (Scheduler, "register"), (Scheduler, "_after"), (Scheduler, "_switch"),
    (DepthFirst, "choices"), (Strategy, "decide"), (DepthFirst, "begin"),
    (BoundedSearch, "advance"), (BoundedSearch, "_do"), (Step, "identify"),
    (laboratory.Laboratory, "run_unwatched"), (laboratory.Laboratory, "watch"),
    (laboratory.Laboratory, "__enter__"), (laboratory.Laboratory, "__exit__"),
]  # fmt: skip


WAYS = [
    (after, scenario)
    for scenario in (three_threads, three_careless_threads)
    for after in (False, True)
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("place", "way"),
    in_turn(PLACES, WAYS),
    ids=lambda pair: "-".join(getattr(each, "__name__", str(each)) for each in pair),
)
def test_ctrl_c_in_the_explorer(
    place: tuple[type, str], way: tuple[bool, Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never cuts a change of the explorer's state in two, and it is never lost."""
    (cls, name), (after, scenario) = place, way
    original = getattr(cls, name)
    for number in (1, 2, 30):
        if name in ("__enter__", "__exit__") and number > 1:
            continue
        at = nth(number, press)

        def changed(*args: Any, at: Callable[[], None] = at) -> Any:
            if not after:
                at()
            result = original(*args)
            if after:
                at()
            return result

        monkeypatch.setattr(cls, name, changed)
        with pytest.raises(KeyboardInterrupt):
            lab.explore(scenario, preemptions=2)
        monkeypatch.setattr(cls, name, original)
    assert lab.explore(scenario, preemptions=2).verdict == "ok"


def swallows(threading: Any) -> None:
    """Catch KeyboardInterrupt in a thread."""
    event = threading.Event()

    def work() -> None:
        with suppress(BaseException):
            press()
        event.set()

    together(threading, work)


def swallows_in_a_finalizer(threading: Any) -> None:
    """Python itself ignores what a finalizer raises."""

    class Noisy:
        def __del__(self) -> None:
            press()

    together(threading, Noisy, Noisy)


def swallows_in_a_callback(threading: Any) -> None:
    """Python itself ignores what the callback of a weak reference raises."""

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: press())
    del thing
    together(threading, lambda: reference)


def swallows_everything_forever(threading: Any) -> None:
    """A worker that must not die."""
    lock = threading.Lock()
    pressed = False

    def work() -> None:
        nonlocal pressed
        while True:
            with suppress(BaseException), lock:
                if not pressed:
                    pressed = True
                    press()

    together(threading, work)


def exits_on_ctrl_c(threading: Any) -> None:
    """A thread that ends quietly at Ctrl-C."""

    def work() -> None:
        try:
            press()
        except KeyboardInterrupt:
            sys.exit()

    together(threading, work)


def is_in_a_loop(threading: Any) -> None:
    """A loop without steps that catches everything."""
    press_once = nth(1, press)

    def work() -> None:
        while True:
            try:
                press_once()
                while True:
                    pass
            except BaseException:
                continue

    together(threading, work)


def is_in_a_wait(threading: Any) -> None:
    """A real wait, over and over."""
    press_once = nth(1, press)

    def work() -> None:
        while True:
            try:
                press_once()
                time.sleep(60)
            finally:
                continue

    together(threading, work)


@pytest.mark.parametrize(
    "scenario",
    [
        swallows, swallows_in_a_finalizer, swallows_in_a_callback, swallows_everything_forever,
        exits_on_ctrl_c, is_in_a_loop, is_in_a_wait,
    ],
)  # fmt: skip
def test_a_scenario_cannot_keep_ctrl_c(scenario: Scenario) -> None:
    """It comes out of `explore`, and soon."""
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lab.explore(scenario, steps=10**9)
    assert time.monotonic() - started < 20 * TICK


def test_a_scenario_cannot_keep_another_signal() -> None:
    """SystemExit of a handler for SIGTERM ends the exploration, not only a virtual thread."""

    def leave(*_: object) -> None:
        sys.exit(7)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit) as found:
            lab.explore(
                lambda threading: three_threads(
                    threading, lambda: signal.raise_signal(signal.SIGTERM)
                )
            )
        assert found.value.code == 7
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_raises_nothing_is_only_called() -> None:
    """The exploration continues to its end."""
    called: list[int] = []
    at = nth(3, press)
    before = signal.signal(signal.SIGINT, lambda number, frame: called.append(number))
    try:
        assert lab.explore(lambda threading: three_threads(threading, at)).verdict == "ok"
    finally:
        signal.signal(signal.SIGINT, before)
    assert called == [signal.SIGINT]


def test_ctrl_c_while_a_bug_is_shortened() -> None:
    """There is no half result."""
    runs = 0

    def scenario(threading: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == 4:
            press()
        account = threading.shared(balance=0)

        def deposit() -> None:
            account.balance += 100

        together(threading, deposit, deposit, deposit)
        assert account.balance == 300

    with pytest.raises(KeyboardInterrupt):
        lab.explore(scenario)
    assert runs == 4


def test_ctrl_c_in_a_step_of_a_run() -> None:
    """`Run.step` raises it, and the run can be closed."""
    run = lab.Run(lambda threading: three_threads(threading, press))

    def step_to_the_end() -> None:
        while run.outcome is None:
            run.step(run.enabled[0])

    with pytest.raises(KeyboardInterrupt):
        step_to_the_end()
    run.close()


# Code that catches everything.


def returns_in_finally(threading: Any) -> None:
    """A deadlock; the thread that waits returns whatever happens."""
    lock = threading.Lock()
    lock.acquire()

    def work() -> int:
        try:
            lock.acquire()
        finally:
            return 1

    together(threading, work)


def retries_in_finally(threading: Any) -> None:
    """A deadlock; the thread waits again when its wait fails."""
    lock = threading.Lock()
    lock.acquire()

    def work() -> None:
        try:
            lock.acquire()
        finally:
            lock.acquire()

    together(threading, work)


def retries_forever(threading: Any) -> None:
    """A deadlock; the thread never gives up."""
    lock = threading.Lock()
    lock.acquire()

    def work() -> None:
        while True:
            try:
                lock.acquire()
            except BaseException:
                pass

    together(threading, work)


def retries_forever_twice(threading: Any) -> None:
    """The same in two loops, and the exceptions are kept."""
    lock = threading.Lock()
    lock.acquire()
    errors: list[BaseException] = []

    def work() -> None:
        while True:
            try:
                while True:
                    try:
                        lock.acquire()
                    except BaseException as error:
                        errors.append(error)
            except BaseException as error:
                errors.append(error)
                continue

    together(threading, work)


def loops_when_it_is_unwound(threading: Any) -> None:
    """A deadlock; then a loop without steps that catches everything."""
    lock = threading.Lock()
    lock.acquire()

    def work() -> None:
        try:
            lock.acquire()
        finally:
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    continue

    together(threading, work)


def starts_a_thread_when_it_is_unwound(threading: Any) -> None:
    """A deadlock; the new thread and the release of others must not run any more."""
    lock = threading.Lock()
    lock.acquire()
    event = threading.Event()

    def work() -> None:
        try:
            lock.acquire()
        finally:
            thread = threading.Thread(target=event.wait)
            thread.start()
            event.set()
            thread.join()

    together(threading, work, event.wait)


def breaks_a_barrier_when_it_is_unwound(threading: Any) -> None:
    """A deadlock in a barrier's action: the barrier then breaks, and lets its other thread go."""
    lock = threading.Lock()
    lock.acquire()
    barrier = threading.Barrier(2, action=lock.acquire)

    def work() -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            raise AssertionError("this thread has continued") from None

    together(threading, work, work)


DEADLOCKS = [
    returns_in_finally, retries_in_finally, retries_forever, retries_forever_twice,
    loops_when_it_is_unwound, starts_a_thread_when_it_is_unwound,
    breaks_a_barrier_when_it_is_unwound,
]  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("scenario", "preemptions"), in_turn(DEADLOCKS, [None, 1]))
def test_a_deadlock_is_found_whatever_the_code_catches(
    scenario: Scenario, preemptions: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither `Stuck`, nor an endless loop, nor another failure."""
    monkeypatch.setattr(patience, "LOOP_PATIENCE", 0.25)
    result = lab.explore(scenario, preemptions=preemptions)
    assert result.bug is not None
    assert result.bug.kind in ("deadlock", "lost wakeup"), result


def test_a_thread_that_never_ends_is_left_and_counted() -> None:
    """Many of them are an error that says what to do instead of a full memory."""

    def run_often(unwound: Laboratory) -> None:
        for _ in range(5):
            unwound.run(DepthFirst(unwound.scheduler, Bound()))

    with (
        closing(Scheduler(limit=100)) as s,
        Laboratory(retries_forever_twice, scheduler=s) as unwound,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(laboratory, "MOST_LEFT", 2)
        patch.setattr(scheduler, "PATIENT", 3)
        patch.setattr(scheduler, "INSISTENT", 5)
        with pytest.raises(lab.ScenarioError, match="catch Exception instead"):
            run_often(unwound)
        assert s.left == 3


def test_the_explorers_trace_function_is_gone_afterwards() -> None:
    """A debugger's or a coverage tool's own trace function is back."""

    def trace(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert lab.explore(retries_forever).verdict == "bug"
        found = sys.gettrace()
    finally:
        sys.settrace(before)
    assert found is trace


def test_off_the_main_thread_a_loop_that_catches_everything_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There the watchdog is a thread instead of a timer."""
    monkeypatch.setattr(patience, "LOOP_PATIENCE", 0.25)
    errors: list[BaseException] = []

    def forever(_: Any) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue

    def explore() -> None:
        try:
            lab.explore(forever)
        except lab.Stuck as error:
            errors.append(error)

    thread = threading.Thread(target=explore, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    # Python 3.14 is interrupted where the loop jumps back.
    assert re.search(r"\((while True:|pass)\) makes no step", str(errors[0]))


# The deadline.


def endless_steps(threading: Any) -> None:
    """Never-ending, with steps."""
    event = threading.Event()
    rounds = 0
    while not event.is_set():
        rounds += 1


def test_the_deadline_ends_a_schedule() -> None:
    """It need not wait for the end of the schedule, and what it cut is no verdict."""
    started = time.monotonic()
    result = lab.explore(endless_steps, seconds=0.5, steps=10**9)
    assert time.monotonic() - started < LATE
    assert (result.verdict, result.limit) == ("unknown", "the time limit was reached")
    assert result.schedules == 0


def test_the_deadline_ends_a_schedule_that_catches_everything() -> None:
    """The thread catches every exception around its slow steps."""

    def scenario(threading: Any) -> None:
        event = threading.Event()
        while True:
            with suppress(BaseException):
                while not event.is_set():
                    pass

    started = time.monotonic()
    result = lab.explore(scenario, seconds=0.5, steps=10**9)
    assert time.monotonic() - started < LATE
    assert result.verdict == "unknown"


def test_a_bug_at_the_deadline_is_not_shortened_for_long() -> None:
    """Five seconds of shortening would be too much then."""

    def scenario(threading: Any) -> None:
        things = [threading.shared(value=0) for _ in range(3)]

        def work() -> None:
            for thing in things:
                thing.value += 1

        together(threading, work, work, work, work)
        assert [thing.value for thing in things] == [4, 4, 4]

    started = time.monotonic()
    result = lab.explore(scenario, strategy="pct", seconds=0.3)
    assert result.verdict == "bug"
    assert time.monotonic() - started < 0.3 + LATE


def test_off_the_main_thread_the_deadline_holds() -> None:
    """There the watchdog is a thread."""
    results: list[lab.Result] = []
    thread = threading.Thread(
        target=lambda: results.append(lab.explore(endless_steps, seconds=0.5, steps=10**9))
    )
    thread.start()
    thread.join(30)
    assert results[0].verdict == "unknown"
    assert results[0].seconds < 1.5


def test_a_search_continues_after_a_deadline() -> None:
    """The laboratory can be used for another search, for instance to shorten a bug."""
    with (
        closing(Scheduler(limit=10**9)) as s,
        Laboratory(endless_steps, scheduler=s) as unended,
    ):
        for _ in range(2):
            limits = Limits(10, time.monotonic() + 0.3)
            assert unended.find(BoundedSearch(s, Bound()), limits) is None
            assert limits.reached == "the time limit was reached"


# A loop is told from a wait.


def test_a_wait_gets_more_time_than_a_loop() -> None:
    """A loop is stuck after its CPU time, whatever the clock says; a wait after many looks."""
    loop = Progress()
    loop.is_new(1, cpu=10.0)
    assert not loop.is_stuck(cpu=10.9)
    assert loop.is_stuck(cpu=11.0)
    assert not loop.is_stuck(cpu=11.0, slowness=SurveyScheduler.slowness), "each step takes longer"
    wait = Progress()
    looks = int(patience.WAIT_PATIENCE / TICK)
    for _ in range(looks):
        wait.is_new(1, cpu=10.0)
        assert not wait.is_stuck(cpu=10.0)
    wait.is_new(1, cpu=10.0)
    assert wait.is_stuck(cpu=10.0)
    wait.is_new(2, cpu=10.0)
    assert not wait.is_stuck(cpu=10.9)


def test_a_starved_process_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer comes after more looks than a loop has: the wait takes no CPU time."""
    import os

    monkeypatch.setattr(stall, "TICK", 0.02)
    monkeypatch.setattr(patience, "LOOP_PATIENCE", 0.04)
    looks = 0
    original = Progress.is_new

    def is_new(self: Progress, steps: int, cpu: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 8:
            os.write(answers, bytes(100))  # the scenario runs more than once
        return original(self, steps, cpu)

    monkeypatch.setattr(Progress, "is_new", is_new)
    answer, answers = os.pipe()
    try:
        result = lab.explore(lambda threading: os.read(answer, 1))
    finally:
        os.close(answer)
        os.close(answers)
    assert result.verdict == "ok"
    assert looks >= 8


# Finalizers of earlier schedules.


def with_a_cycle(threading: Any, on_end: Callable[[], object], *, collect: bool = False) -> None:
    """A schedule leaves a cycle whose finalizer uses a lock."""
    lock = threading.Lock()

    class Node:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            with lock:
                on_end()

    def work() -> None:
        Node()
        for _ in range(50):
            cycle: list[Any] = []
            cycle.append(cycle)
        if collect:
            gc.collect()
        for _ in range(4):
            with lock:
                pass

    together(threading, work, work)


def test_a_finalizer_of_a_cycle_never_runs_in_a_later_schedule() -> None:
    """The collector would have run it at any operation, as a step of another schedule."""
    running: list[int] = []
    wrong: list[str] = []
    number = 0

    def scenario(threading: Any) -> None:
        nonlocal number
        number += 1
        own = number
        running.append(own)

        def on_end() -> None:
            if running and running[-1] != own:
                wrong.append(f"the finalizer of {own} in {running[-1]}")

        try:
            with_a_cycle(threading, on_end)
        finally:
            running.pop()

    result = lab.explore(scenario, reduction=False)
    assert result.verdict == "ok", result
    assert not wrong
    assert number > 10


def test_what_was_there_before_is_not_visited_by_the_collector() -> None:
    """Python 3.12 has some frozen objects from its start."""
    frozen: list[int] = []

    def scenario(threading: Any) -> None:
        frozen.append(gc.get_freeze_count())

    lab.explore(scenario)
    assert min(frozen) > 10_000


def test_what_a_thread_returns_ends_with_the_thread() -> None:
    """Nothing keeps it, as in Python, so its finalizer runs before the thread can be joined."""
    living = 0

    class Noisy:
        def __init__(self) -> None:
            nonlocal living
            living += 1

        def __del__(self) -> None:
            nonlocal living
            living -= 1

    def scenario(threading: Any) -> None:
        together(threading, Noisy, Noisy)
        assert living == 0

    result = lab.explore(scenario)
    assert result.bug is None, result
    assert "keeps objects alive" in str(result), "the survey watches them"


def test_a_scenario_may_collect_garbage_itself() -> None:
    """Its own, not that of earlier schedules."""
    ended: list[int] = []
    number = 0
    wrong: list[tuple[int, int]] = []

    def scenario(threading: Any) -> None:
        nonlocal number
        number += 1
        own = number

        def on_end() -> None:
            ended.append(own)
            if own != number:
                wrong.append((own, number))

        with_a_cycle(threading, on_end, collect=True)

    assert lab.explore(scenario, preemptions=1, reduction=False).verdict == "ok"
    assert ended
    assert not wrong


def test_what_a_thread_keeps_alive_is_finalized_with_its_schedule() -> None:
    """The scheduler keeps its records of threads, but nothing of the program."""
    number = 0
    wrong: list[tuple[int, int]] = []

    def scenario(threading: Any) -> None:
        nonlocal number
        number += 1
        own = number
        lock = threading.Lock()

        class Thing:
            def __del__(self) -> None:
                if number != own:
                    wrong.append((own, number))

            def work(self) -> None:
                with lock:
                    pass

        threads = [threading.Thread(target=Thing().work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert lab.explore(scenario, reduction=False).verdict == "ok"
    assert not wrong


# A scenario that fails before its first step.


def fails(threading: Any) -> None:
    """Fail at once."""
    raise ZeroDivisionError


def fails_in_a_thread(threading: Any) -> None:
    """Fail in a thread, before its first step."""
    together(threading, lambda: 1 // 0)


def fails_after_a_start(threading: Any) -> None:
    """Fail while another thread has not begun."""
    lock = threading.Lock()
    threading.Thread(target=lock.acquire).start()
    raise ZeroDivisionError


def fails_with_a_lock(threading: Any) -> None:
    """Fail while it holds what another thread waits for, which catches everything."""
    lock = threading.Lock()

    def work() -> int:
        try:
            with lock:
                return 1
        finally:
            return 2

    thread = threading.Thread(target=work)
    thread.start()
    thread.is_alive()
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "scenario", [fails, fails_in_a_thread, fails_after_a_start, fails_with_a_lock]
)
@pytest.mark.parametrize("preemptions", [None, 0, 2])
@pytest.mark.parametrize("strategy", ["exhaustive", "pct"])
def test_a_failure_before_the_first_step_is_reported_at_once(
    scenario: Scenario, preemptions: int | None, strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few schedules run, and none is looked for that has fewer than no steps."""
    runs = nth(30, lambda: pytest.fail("too many runs"))

    def counted(threading: Any) -> None:
        runs()
        scenario(threading)

    result = lab.explore(counted, preemptions=preemptions, strategy=strategy)
    assert result.bug is not None
    assert result.bug.kind == "exception"
    assert "ZeroDivisionError" in result.bug.text
