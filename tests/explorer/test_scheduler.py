"""The stand-in for `threading` behaves like the real module, and `Run` runs it step by step."""

import gc
import signal
import threading
import time
import types
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer.engine import patience
from tests.explorer.specimens import together

Scenario = Callable[[Any], object]


def run(scenario: Scenario, **settings: Any) -> lab.Result:
    """Explore a scenario that must be ok."""
    result = lab.explore(scenario, **settings)
    assert result.verdict == "ok", result
    return result


def outcomes(scenario: Callable[[Any], object], **settings: Any) -> set[object]:
    """All values that the scenario returns, over all schedules."""
    seen = set()
    run(lambda threading: seen.add(scenario(threading)), **settings)
    return seen


MISUSE: dict[str, Callable[[Any], object]] = {
    "release an unlocked Lock": lambda t: t.Lock().release(),
    "release an unlocked RLock": lambda t: t.RLock().release(),
    "a timeout without blocking": lambda t: t.Lock().acquire(False, 1.0),
    "a negative timeout": lambda t: t.Lock().acquire(True, -2.0),
    "a timeout past the longest": lambda t: t.Lock().acquire(True, t.TIMEOUT_MAX * 2),
    "RLock: a negative timeout": lambda t: t.RLock().acquire(True, -2.0),
    "wait without the lock": lambda t: t.Condition().wait(),
    "notify without the lock": lambda t: t.Condition().notify(),
    "notify_all without the lock": lambda t: t.Condition().notify_all(),
    "a semaphore below 0": lambda t: t.Semaphore(-1),
    "a semaphore released 0 times": lambda t: t.Semaphore().release(0),
    "a semaphore's timeout without blocking": lambda t: t.Semaphore().acquire(False, 1.0),
    "a bounded semaphore released too often": lambda t: t.BoundedSemaphore().release(),
    "a broken barrier": lambda t: (barrier := t.Barrier(2)).abort() or barrier.wait(),
    "join before start": lambda t: t.Thread().join(),
    "join the current thread": lambda t: t.current_thread().join(),
    "start twice": lambda t: (thread := t.Thread()).start() or thread.start(),
}


@pytest.mark.parametrize("misuse", MISUSE)
def test_misuse_raises_what_the_real_module_raises(misuse: str) -> None:
    """The real `threading` is tried first, and the stand-in must raise the same type."""
    with pytest.raises((RuntimeError, ValueError, OverflowError)) as real:
        MISUSE[misuse](threading)

    def scenario(threading: Any) -> None:
        with pytest.raises(real.type):
            MISUSE[misuse](threading)

    run(scenario)


def test_a_thread_has_a_name_an_ident_and_an_end() -> None:
    """This holds for a subclass of `Thread`, and for the main thread."""

    def scenario(threading: Any) -> None:
        idents = []

        class Worker(threading.Thread):  # type: ignore[misc]
            def run(self) -> None:
                assert threading.current_thread() is self
                idents.append(threading.get_ident())

        worker = Worker(name="worker", daemon=True)
        assert (worker.ident, worker.name, worker.daemon) == (None, "worker", True)
        assert not worker.is_alive()
        worker.start()
        worker.join()
        assert not worker.is_alive()
        assert idents == [worker.ident] != [threading.get_ident()]
        assert threading.current_thread() is threading.main_thread()
        assert threading.current_thread().name == "main"

    run(scenario)


def test_each_thread_has_its_own_local() -> None:
    """A subclass of `local` is initialised once in each thread that uses it."""

    def scenario(threading: Any) -> None:
        class Local(threading.local):  # type: ignore[misc]
            def __init__(self, start: int) -> None:
                self.value = start

        local = Local(7)
        mutex = threading.Lock()

        def work(add: int) -> None:
            with mutex:
                local.value += add
            assert local.value == 7 + add

        together(threading, lambda: work(1), lambda: work(2))
        assert dict(vars(local)) == {"value": 7}

    run(scenario)


def test_a_reentrant_lock_counts() -> None:
    """After two `with` blocks of one thread, the RLock is free."""

    def scenario(threading: Any) -> None:
        lock = threading.RLock()

        def work() -> None:
            with lock, lock:
                pass
            assert lock.acquire(timeout=0)
            lock.release()

        together(threading, work)

    run(scenario)


def test_a_set_of_primitives_has_the_same_order_in_each_run() -> None:
    """And so has the one in which `ThreadPoolExecutor` keeps its threads."""
    orders = set()
    kept: list[Any] = []

    def scenario(threading: Any) -> None:
        locks = [threading.Lock() for _ in range(5)]
        in_a_set = set(locks)
        orders.add(tuple(map(locks.index, in_a_set)))
        kept.extend(locks)  # so that each schedule's locks have other addresses

        def work() -> None:
            for lock in in_a_set:
                with lock:
                    pass

        together(threading, work, work)

    run(scenario, preemptions=1)
    assert len(orders) == 1


def test_an_object_keeps_its_hash() -> None:
    """A subclass may put it into a set before the real constructor has run."""

    def scenario(threading: Any) -> None:
        class Registered(threading.Thread):  # type: ignore[misc]
            def __init__(self) -> None:
                found.add(self)
                super().__init__()

        found: set[Any] = set()
        thread = Registered()
        assert thread in found

    run(scenario)


def test_a_timeout_fires_or_it_does_not() -> None:
    """The explorer tries both, for a lock that another thread holds for a while."""

    def scenario(threading: Any) -> object:
        lock = threading.Lock()
        got = []

        def hold() -> None:
            with lock:
                pass

        def wait() -> None:
            got.append(lock.acquire(timeout=2.0))
            if got[0]:
                lock.release()

        together(threading, hold, wait)
        return got[0]

    assert outcomes(scenario) == {True, False}


def test_every_wait_can_time_out_or_be_answered() -> None:
    """The explorer tries both for all five kinds of waits, with and without reduction."""

    def event(threading: Any) -> object:
        it = threading.Event()
        answers = []
        together(threading, it.set, lambda: answers.append(it.wait(1.0)))
        return answers[0]

    def condition(threading: Any) -> object:
        it = threading.Condition()
        answers = []

        def wait() -> None:
            with it:
                answers.append(it.wait(1.0))

        def notify() -> None:
            with it:
                it.notify()

        together(threading, wait, notify)
        return answers[0]

    def semaphore(threading: Any) -> object:
        it = threading.Semaphore(0)
        answers = []
        together(threading, it.release, lambda: answers.append(it.acquire(timeout=1.0)))
        return answers[0]

    def join(threading: Any) -> object:
        event = threading.Event()
        thread = threading.Thread(target=event.is_set)
        thread.start()
        thread.join(1.0)
        return not thread.is_alive()

    def barrier(threading: Any) -> object:
        it = threading.Barrier(2)
        answers = []

        def wait() -> None:
            try:
                answers.append(it.wait(1.0) >= 0)
            except threading.BrokenBarrierError:
                answers.append(False)

        together(threading, wait, wait)
        return all(answers)

    for scenario in (event, condition, semaphore, join, barrier):
        for reduction in (True, False):
            assert outcomes(scenario, reduction=reduction) == {True, False}, scenario


def test_time_passes_only_with_a_timeout_and_reaches_other_threads() -> None:
    """An event that is set 5 s later takes its waiter to that time; real time does not pass."""
    module = types.ModuleType("module")
    module.monotonic = time.monotonic  # type: ignore[attr-defined]
    module.sleep = time.sleep  # type: ignore[attr-defined]

    def scenario(threading: Any) -> None:
        started = module.monotonic()
        assert started == 0
        ready = threading.Event()

        def work() -> None:
            module.sleep(5.0)
            ready.set()

        threading.Thread(target=work).start()
        if ready.wait(2.0):
            assert module.monotonic() == 5
        else:
            assert module.monotonic() == 2

    before = vars(module).copy()
    run(scenario, patch=[module])
    assert vars(module) == before


@pytest.mark.parametrize("by", ["join", "join with a timeout", "is_alive"])
def test_who_sees_the_end_of_a_thread_is_no_earlier_than_it(by: str) -> None:
    module = types.ModuleType("module")
    module.monotonic = time.monotonic  # type: ignore[attr-defined]
    module.sleep = time.sleep  # type: ignore[attr-defined]
    seen = []

    def scenario(threading: Any) -> None:
        thread = threading.Thread(target=lambda: module.sleep(5.0))
        thread.start()
        if by == "is_alive":
            ended = not thread.is_alive()
        else:
            thread.join(None if by == "join" else 10.0)
            ended = thread.explorer_done()
        if ended:
            seen.append(module.monotonic())

    run(scenario, patch=[module])
    assert set(seen) <= {5.0, 10.0}
    assert 5.0 in seen


def test_wait_for_ends_at_its_timeout() -> None:
    """A notification that does not make the predicate true does not end the wait."""

    def scenario(threading: Any) -> object:
        condition = threading.Condition()
        door = []

        def open_it() -> None:
            with condition:
                condition.notify_all()  # nothing has changed yet
            with condition:
                door.append("open")
                condition.notify_all()

        threading.Thread(target=open_it).start()
        with condition:
            return bool(condition.wait_for(lambda: door, timeout=1.0))

    assert outcomes(scenario) == {True, False}


def test_a_barrier_releases_all_together_and_counts_them() -> None:
    """In each of two rounds the action runs once, and the threads get the numbers 0 and 1."""

    def scenario(threading: Any) -> object:
        actions = []
        barrier = threading.Barrier(2, action=lambda: actions.append("action"))
        indices = []

        def work() -> None:
            for _ in range(2):
                indices.append(barrier.wait())

        together(threading, work, work)
        assert actions == ["action", "action"]
        return tuple(sorted(indices))

    assert outcomes(scenario) == {(0, 0, 1, 1)}


def test_the_waiter_that_notify_wakes_is_a_choice() -> None:
    """The explorer wakes the first of two waiters in one schedule and the second in another."""

    def scenario(threading: Any) -> object:
        condition = threading.Condition()
        waiting: list[str] = []
        woken: list[str] = []
        somebody_woke = threading.Event()

        def wait(name: str) -> None:
            with condition:
                waiting.append(name)
                condition.wait()
                woken.append(name)
                somebody_woke.set()

        for name in ("first", "second"):
            threading.Thread(target=wait, args=(name,), daemon=True).start()
        with condition:
            if waiting != ["first", "second"]:
                return None
            condition.notify()
        somebody_woke.wait()
        return woken[0]

    assert outcomes(scenario) == {None, "first", "second"}


def test_every_choice_is_tried() -> None:
    """Two calls of `choose` give all pairs of their numbers."""

    def scenario(threading: Any) -> object:
        return threading.choose(3, "first"), threading.choose(2, "second")

    assert outcomes(scenario) == {(a, b) for a in range(3) for b in range(2)}


class Slotted:
    """A class whose attribute is a slot."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Plain:
    """A class with an attribute of its own, and with instances that have a `__dict__`."""

    shared_by_all = 1

    def __init__(self) -> None:
        self.value = 0


@pytest.mark.parametrize("cls", [Slotted, Plain])
def test_tracked_attributes_race(cls: type[Any]) -> None:
    """Two increments of a tracked attribute lose one, and the schedule names the attribute."""

    def scenario(threading: Any) -> None:
        thing = threading.track(cls())
        assert type(thing).__name__ == cls.__name__
        assert isinstance(thing, cls)

        def work() -> None:
            thing.value += 1

        together(threading, work, work)
        assert thing.value == 2

    found = lab.explore(scenario)
    assert found.bug is not None
    assert "read thing.value" in str(found.bug)


def test_a_tracked_attribute_is_still_an_attribute() -> None:
    """It can be read, made later, set and deleted."""

    def scenario(threading: Any) -> None:
        thing = threading.track(Plain())
        assert thing.shared_by_all == 1
        with pytest.raises(AttributeError):
            thing.later  # noqa: B018
        thing.later = 5
        assert thing.later == 5
        del thing.later
        assert not hasattr(thing, "later")
        with pytest.raises(TypeError, match="is a method"):
            threading.track([], "append")
        with pytest.raises(TypeError, match="cannot be tracked"):
            threading.track(3)

    run(scenario)


class Counter:
    """A class that does not know of the explorer."""

    def __init__(self) -> None:
        self.value = 0

    def increment(self) -> None:
        """One more."""
        value = self.value
        self.value = value + 1

    @property
    def doubled(self) -> int:
        """Twice the value, computed in a loop."""
        total = 0
        while total < 2 * self.value:
            total += 2
        return total


def counting(threading: Any) -> None:
    """Increment a counter in two threads, without a lock."""
    counter = Counter()
    together(threading, counter.increment, counter.increment)
    assert counter.doubled == 4


def test_lines_are_steps_on_request() -> None:
    """Only with `lines=` a counter loses an increment, and afterwards its code is as before."""
    code = Counter.increment.__code__
    assert lab.explore(counting).verdict == "unknown"
    found = lab.explore(counting, lines=[Counter])
    assert found.bug is not None
    assert found.bug.kind == "failed assertion"
    assert any("self.value = value + 1" in move.does for move in found.bug.schedule.moves)
    assert Counter.increment.__code__ is code
    assert Counter.increment.__doc__ == "One more."
    assert lab.replay(counting, found.bug.schedule, lines=[Counter]).kind == "failed assertion"
    with pytest.raises(TypeError, match="lines= takes"):
        lab.explore(counting, lines=[3])


def test_modules_are_restored_even_after_an_error() -> None:
    """KeyboardInterrupt in a scenario leaves `explore`, and the module is as before."""
    module = types.ModuleType("module")
    module.threading = threading  # type: ignore[attr-defined]
    module.Lock = threading.Lock  # type: ignore[attr-defined]
    before = vars(module).copy()

    def scenario(threading: Any) -> None:
        assert module.threading is threading
        assert module.Lock is threading.Lock
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.explore(scenario, patch=[module])
    assert vars(module) == before


# Scenarios that would hang.


def sleeps(threading: Any) -> None:
    """Sleep in real time."""
    time.sleep(60)


def loops(threading: Any) -> None:
    """Loop forever in a thread, without a step."""

    def work() -> None:
        while True:
            pass

    together(threading, work)


def swallows(threading: Any) -> None:
    """Catch the exception that ends a stuck scenario, and get stuck again."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            break
    time.sleep(60)


def waits_for_a_real_lock(_: Any) -> None:
    """Acquire a lock of the real module twice."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def test_a_wait_for_another_process_on_a_busy_machine_is_no_deadlock() -> None:
    answered = threading.Event()

    def scenario(_: Any) -> None:
        threading.Timer(patience.LOOP_PATIENCE + 2 * patience.TICK, answered.set).start()
        answered.wait()

    assert lab.explore(scenario).bug is None


@pytest.mark.parametrize("scenario", [sleeps, loops, swallows, waits_for_a_real_lock])
def test_a_scenario_that_is_stuck_ends_with_its_line(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Stuck` names the thread and its line; the signal handler and timer are restored."""
    monkeypatch.setattr(patience, "WAIT_PATIENCE", 1.0)
    handler, timer = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    thread = "work" if scenario is loops else "main"
    with pytest.raises(lab.Stuck, match=rf"Thread {thread} at test_scheduler\.py:\d+ \("):
        lab.explore(scenario)
    assert signal.getsignal(signal.SIGALRM) == handler
    assert signal.getitimer(signal.ITIMER_REAL) == timer


def test_a_loop_is_noticed_off_the_main_thread_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the watchdog is a thread instead of a timer."""
    monkeypatch.setattr(patience, "LOOP_PATIENCE", 0.25)
    errors: list[BaseException] = []

    def explore() -> None:
        try:
            lab.explore(loops)
        except lab.Stuck as error:
            errors.append(error)

    thread = threading.Thread(target=explore)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert "Thread work at test_scheduler.py" in str(errors[0])


# Python drops an exception that a handler raises in a weak reference's callback; then the next tick
# ends the exploration.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_foreign_timer_still_ends_the_exploration() -> None:
    """A handler that was set before still runs, and it sees the frames of `explore`."""

    class TimeUp(BaseException):
        pass

    def on_alarm(_: int, frame: FrameType | None) -> None:
        """Raise while `explore` runs; repeatedly, because Python may drop the exception."""
        while frame is not None:
            if frame.f_code is lab.explore.__code__:
                raise TimeUp
            frame = frame.f_back

    def forever(threading: Any) -> None:
        event = threading.Event()
        rounds = 0
        while not event.is_set():
            rounds += 1  # otherwise it is a livelock

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        with pytest.raises(TimeUp):
            lab.explore(forever, steps=10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_object_of_a_finished_schedule_cannot_be_used() -> None:
    """A lock that the scenario has passed outside raises RuntimeError."""
    kept: list[Any] = []
    run(lambda threading: kept.append(threading.Lock()))
    with pytest.raises(RuntimeError, match="not running"):
        kept[0].acquire()


# Step by step.


def two_deposits(threading: Any) -> None:
    """Deposit 100 twice, without a lock."""
    account = threading.shared(balance=0)

    def deposit() -> None:
        account.balance += 100

    threads = [threading.Thread(target=deposit, name=name) for name in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.balance == 200


def test_a_run_is_controlled_step_by_step() -> None:
    """It shows the possible moves and the threads before each step, and its outcome at the end."""
    with lab.Run(two_deposits) as run:
        assert {move.thread: move.does for move in run.enabled} == {
            "alice": "read account.balance",
            "bob": "read account.balance",
        }
        main, alice, _ = run.threads
        assert (main.state, main.waits) == ("blocked", "waits for alice to end")
        assert (alice.state, alice.stack[0].text) == ("ready", "account.balance += 100")
        for name in ("alice", "bob", "bob", "alice"):
            assert run.outcome is None
            run.step(name)
        assert [move.thread for move in run.enabled] == ["main"]
        run.step(run.enabled[0])
        assert run.outcome is not None
        assert run.outcome.kind == "failed assertion"
        assert run.enabled == ()
        assert len(run.schedule) == 5
        with pytest.raises(ValueError, match="not possible now"):
            run.step("bob")


def test_a_step_can_be_undone() -> None:
    """The moves and threads are as before, even after the end; at the start nothing happens."""
    with lab.Run(two_deposits) as run:
        run.undo()
        run.step("alice")
        run.step("bob")
        before = run.schedule, run.enabled, run.threads
        run.step("bob")
        run.undo()
        assert (run.schedule, run.enabled, run.threads) == before
        for name in ("bob", "alice", "main"):
            run.step(name)
        assert run.outcome is not None
        run.undo()
        assert run.outcome is None
        assert [move.thread for move in run.enabled] == ["main"]


def test_a_run_goes_on_from_a_schedule() -> None:
    """All moves of a bug but the last, and then the last, give the same outcome."""
    bug = lab.explore(two_deposits).bug
    assert bug is not None
    moves = bug.schedule.moves[:-1]
    with lab.Run(two_deposits, lab.Schedule(moves)) as run:
        run.step("main")
        assert run.outcome is not None
        assert run.outcome.text == bug.text


def test_a_run_that_waits_leaves_modules_alone() -> None:
    """Between steps, patched modules and the signal handler are the real ones."""
    module = types.ModuleType("module")
    module.threading = threading  # type: ignore[attr-defined]

    def scenario(_: Any) -> None:
        lock = module.threading.Lock()
        with lock:
            pass

    handler = signal.getsignal(signal.SIGALRM)
    with lab.Run(scenario, patch=[module]) as run:
        assert module.threading is threading
        assert signal.getsignal(signal.SIGALRM) == handler
        run.step("main")
        run.step("main")
        assert run.outcome is not None
        assert run.outcome.kind == "ended"


def test_a_run_that_gets_stuck_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `Stuck`, the run can still be closed."""
    monkeypatch.setattr(patience, "WAIT_PATIENCE", 1.0)

    def scenario(threading: Any) -> None:
        threading.Event().is_set()
        time.sleep(60)

    run = lab.Run(scenario)
    with pytest.raises(lab.Stuck):
        run.step("main")
    run.close()


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_run_that_is_dropped_unwinds_its_threads(in_a_cycle: bool) -> None:
    """Otherwise Python 3.15 would let its threads continue with half of their objects cleared."""
    unwound: list[str] = []

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def work() -> None:
            try:
                for _ in range(10):
                    with lock:
                        pass
            finally:
                unwound.append(threading.current_thread().name)

        threading.together(work, work)

    def begin() -> None:
        run = lab.Run(scenario)
        for _ in range(3):
            run.step(run.enabled[0])
        if in_a_cycle:
            cycle: list[Any] = [run]
            cycle.append(cycle)

    begin()
    if in_a_cycle:
        gc.collect()
    assert len(unwound) == 2


def test_a_run_that_is_dropped_in_another_thread_stays_as_it_is() -> None:
    """Only the thread that made a run could unwind its threads."""
    unwound: list[str] = []

    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        try:
            with lock:
                pass
        finally:
            unwound.append("main")

    runs = [lab.Run(scenario)]
    thread = threading.Thread(target=runs.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert not unwound
