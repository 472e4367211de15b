"""Loops that wait by looking again and again: they sleep until what they see changes.

Every giving-up, hidden counter and stale value in here is a trap: a thread that is put to sleep
although its next round may differ makes a wrong `ok`.
"""

import itertools
import queue
import random
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from bankkit.explorer import explore, replay
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.loops.spinning import Spinning
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.strategy import Bound, Strategy
from tests.support.shares import in_turn
from tests.support.traces import NOTHING

HERE = sys.modules[__name__]
Scenario = Callable[[Any], None]

SEARCHES: dict[str, dict[str, Any]] = {
    "reduced": {},
    "unreduced": {"reduction": False},
    "bounded": {"preemptions": 2},
    "ordered": {"timing": "ordered"},
}


def explored(scenario: Scenario, **options: Any) -> Any:
    """What `explore` says if this module's `time` and `queue` are virtual."""
    return explore(scenario, patch=[HERE, queue], **options)


# Loops that wait.


def flag(threading: Any) -> None:
    """Wait for a flag."""
    state = threading.shared(ready=False, value=0)

    def consume() -> None:
        while not state.ready:
            pass
        assert state.value == 1

    def produce() -> None:
        state.value = 1
        state.ready = True

    threading.together(consume, produce)


def try_lock(threading: Any) -> None:
    """Try a lock until it is free."""
    lock = threading.Lock()
    state = threading.shared(count=0)

    def add() -> None:
        while not lock.acquire(blocking=False):
            time.sleep(0.01)
        state.count += 1
        lock.release()

    threading.together(add, add)
    assert state.count == 2


def back_off(threading: Any) -> None:
    """Try a lock, and wait longer each time, up to a limit."""
    lock = threading.Lock()
    state = threading.shared(count=0)

    def add() -> None:
        delay = 0.001
        while not lock.acquire(blocking=False):
            time.sleep(delay)
            delay = min(delay * 2, 0.004)
        state.count += 1
        lock.release()

    threading.together(add, add)
    assert state.count == 2


def poll_queue(threading: Any) -> None:
    """Ask a queue whether it is empty."""
    items: Any = queue.Queue()
    got = []

    def get() -> None:
        while items.empty():
            time.sleep(0.01)
        got.append(items.get())

    threading.together(get, lambda: items.put(1))
    assert got == [1]


def get_nowait(threading: Any) -> None:
    """Get from a queue, and try again if it is empty."""
    items: Any = queue.Queue()
    got = []

    def get() -> None:
        while True:
            try:
                item = items.get_nowait()
                break
            except queue.Empty:
                time.sleep(0.01)
        got.append(item)

    threading.together(get, lambda: items.put(1))
    assert got == [1]


def look_under_a_lock(threading: Any) -> None:
    """Look at plain data under its lock; what is done on the way out may change anything."""
    mutex = threading.Lock()
    data: dict[str, bool] = {}
    done = []

    def get() -> None:
        while True:
            with mutex:
                if data.get("ready"):
                    done.append(1)
                    return
            time.sleep(0.01)

    def put() -> None:
        with mutex:
            data["ready"] = True

    threading.together(get, put)
    assert done == [1]


def wait_in_time(threading: Any) -> None:
    """Wait for a condition with a timeout, and again."""
    condition = threading.Condition()
    state = threading.shared(ready=False)

    def get() -> None:
        with condition:
            while not state.ready:
                condition.wait(0.1)

    def put() -> None:
        with condition:
            state.ready = True
            condition.notify_all()

    threading.together(get, put)


def ask_an_event(threading: Any) -> None:
    """Ask an event, in a loop within a loop over a range."""
    events = threading.Event(), threading.Event()

    def wait() -> None:
        for number in range(2):
            while not events[number].is_set():
                pass

    threading.together(wait, events[0].set, events[1].set)


def peterson(threading: Any) -> None:
    """Peterson's lock for two threads (1981)."""
    state = threading.shared(wants_0=False, wants_1=False, turn=0, inside=0)

    def first() -> None:
        state.wants_0 = True
        state.turn = 1
        while state.wants_1 and state.turn == 1:
            pass
        state.inside += 1
        assert state.inside == 1
        state.inside -= 1
        state.wants_0 = False

    def second() -> None:
        state.wants_1 = True
        state.turn = 0
        while state.wants_0 and state.turn == 0:
            pass
        state.inside += 1
        assert state.inside == 1
        state.inside -= 1
        state.wants_1 = False

    threading.together(first, second)


WAITING = [
    flag, try_lock, back_off, poll_queue, get_nowait, look_under_a_lock, wait_in_time,
    ask_an_event, peterson,
]  # fmt: skip


@pytest.mark.one_in(2)
@pytest.mark.parametrize("scenario", WAITING)
def test_a_loop_that_waits_is_explored_to_the_end(scenario: Scenario) -> None:
    """Before, each of them was `unknown`: the first schedule did not end, or there was no last."""
    result = explored(scenario)
    assert result.verdict == "ok", result
    assert result.schedules < 150


@pytest.mark.parametrize(
    ("search", "scenario"), in_turn(SEARCHES, [flag, try_lock, look_under_a_lock])
)
def test_each_search_puts_loops_to_sleep(search: str, scenario: Scenario) -> None:
    assert explored(scenario, **SEARCHES[search]).verdict == "ok"


def test_random_schedules_put_loops_to_sleep() -> None:
    result = explored(flag, strategy="pct", schedules=20)
    assert result.limit == "the limit of 20 schedules was reached"


@pytest.mark.parametrize("options", SEARCHES.values(), ids=SEARCHES)
def test_what_a_loop_lets_through_too_early_is_a_bug(options: dict[str, Any]) -> None:
    """The flag is set before the value; the schedule can be replayed."""

    def scenario(threading: Any) -> None:
        state = threading.shared(ready=False, value=0)

        def consume() -> None:
            while not state.ready:
                pass
            assert state.value == 1

        def produce() -> None:
            state.ready = True
            state.value = 1

        threading.together(consume, produce)

    result = explore(scenario, **options)
    assert result.bug is not None
    assert len(result.bug.schedule) == 3
    assert replay(scenario, result.bug.schedule).kind == "failed assertion"


# The same outcomes as with a Condition.

Program = tuple[tuple[tuple[str, int, int], ...], ...]


def programs(seed: int, threads: int) -> Program:
    """Threads that wait for numbers, write and read them, and add under a lock."""
    chance = random.Random(seed)
    kinds = ("wait", "write", "write", "read", "add")
    return tuple(
        tuple(
            (chance.choice(kinds), chance.randrange(2), chance.randrange(2) + 1)
            for _ in range(chance.randrange(1, 4))
        )
        for _ in range(threads)
    )


def every_end(
    scenario: Scenario, end: Callable[[], Hashable], make: Callable[[Scheduler], DepthFirst]
) -> set[Hashable]:
    """What `end` says after each schedule of a search, in which loops sleep from the start."""
    found: set[Hashable] = set()

    def observe(search: Strategy) -> None:
        if not search.cut:
            found.add(end())

    limits = Limits(20_000, time.monotonic() + 600)
    with (
        closing(Scheduler(limit=2000)) as scheduler,
        Laboratory(scenario, [HERE, queue], scheduler=scheduler) as laboratory,
    ):
        spinning = Spinning(scheduler)
        laboratory.find(make(scheduler), limits, NOTHING, observe)
    assert not limits.reached, limits.reached
    assert not spinning.hidden
    return found


def unreduced(scheduler: Scheduler) -> DepthFirst:
    return DepthFirst(scheduler, Bound())


def bounded(scheduler: Scheduler) -> DepthFirst:
    return BoundedSearch(scheduler, Bound())


def outcomes(
    program: Program, make: Callable[[Scheduler], DepthFirst], *, spins: bool
) -> set[Hashable]:
    """What the threads read, and which of them end."""
    seen: list[Any] = []

    def scenario(threading: Any) -> None:
        state = threading.shared(x=0, y=0)
        condition, mutex = threading.Condition(), threading.Lock()
        total = threading.shared(value=0)
        seen[:] = [[] for _ in program]

        def write(name: str, value: int) -> None:
            if spins:
                setattr(state, name, value)
                return
            with condition:
                setattr(state, name, value)
                condition.notify_all()

        def wait(name: str, value: int) -> None:
            if spins and name == "x":
                while state.x < value:
                    pass
            elif spins:
                while state.y != value:
                    pass
            else:
                with condition:
                    while state.x < value if name == "x" else state.y != value:
                        condition.wait()

        def add(value: int) -> int:
            if spins:
                while not mutex.acquire(blocking=False):
                    pass
            else:
                mutex.acquire()
            total.value += value
            mutex.release()
            return int(total.value)

        def run(number: int) -> None:
            for kind, which, value in program[number]:
                if kind == "read":
                    seen[number].append(getattr(state, "xy"[which]))
                elif kind == "add":
                    seen[number].append(add(value))
                else:
                    (write if kind == "write" else wait)("xy"[which], value)
            seen[number].append("end")

        threading.together(*(partial(run, number) for number in range(len(program))))

    return every_end(scenario, lambda: tuple(map(tuple, seen)), make)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("first", range(0, 8, 4))
def test_spinning_and_waiting_have_the_same_outcomes(first: int) -> None:
    """In each search, for two threads. What was seen by a thread that does not end counts, too."""
    for seed in range(first, first + 4):
        program = programs(seed, 2)
        waits = outcomes(program, SourceDpor, spins=False)
        for make in (SourceDpor, bounded, unreduced):
            assert outcomes(program, make, spins=True) == waits, (seed, make, program)


@pytest.mark.elsewhere
@pytest.mark.parametrize("first", range(200, 700, 100))
def test_more_programs_have_the_same_outcomes(first: int) -> None:
    """Without the unreduced search, which takes long for some of them."""
    for seed in range(first, first + 100):
        program = programs(seed, 2)
        waits = outcomes(program, SourceDpor, spins=False)
        for make in (SourceDpor, bounded):
            assert outcomes(program, make, spins=True) == waits, (seed, make, program)


def test_polls_and_timers_fire_in_order_whether_the_loop_sleeps_or_not() -> None:
    """The poll at 3 s may come before or after the write at 3 s, and the look at 4 s knows."""

    def ends(*, sleeps: bool) -> set[Hashable]:
        seen: list[Any] = []
        found: set[Hashable] = set()

        def scenario(threading: Any) -> None:
            seen.clear()
            state = threading.shared(ready=False, got=False)

            def poll() -> None:
                while not state.ready:
                    time.sleep(1)
                state.got = True
                seen.append(time.monotonic())

            def write() -> None:
                time.sleep(3)
                state.ready = True

            def look() -> None:
                time.sleep(4)
                seen.append(("got", state.got))

            threading.together(poll, write, look)

        limits = Limits(20_000, time.monotonic() + 600)
        with (
            closing(Scheduler(limit=2000)) as scheduler,
            Laboratory(scenario, [HERE], scheduler=scheduler, timing="ordered") as laboratory,
        ):
            if sleeps:
                Spinning(scheduler)
            search = DepthFirst(scheduler, Bound(timeouts=0))
            laboratory.find(search, limits, NOTHING, lambda _: found.add(tuple(seen)))
        assert not limits.reached
        return found

    assert ends(sleeps=True) == ends(sleeps=False)


# Traps: loops whose next round may differ.


def counts(threading: Any, lock: Any) -> bool:
    for _ in range(4):
        if lock.acquire(blocking=False):
            return True
        time.sleep(0.1)
    return False


def counts_the_same(threading: Any, lock: Any) -> bool:
    for _ in [None] * 4:
        while lock.locked():
            time.sleep(0.1)
            break
        else:
            return True
    return False


def repeats(threading: Any, lock: Any) -> bool:
    return any(lock.acquire(blocking=False) for _ in itertools.repeat(None, 4))


def counts_down(threading: Any, lock: Any) -> bool:
    left = 4
    while not lock.acquire(blocking=False):
        left -= 1
        if not left:
            return False
    return True


def counts_in_the_test(threading: Any, lock: Any) -> bool:
    tries = 0
    while (tries := tries + 1) < 4:
        if lock.acquire(blocking=False):
            return True
    return False


class Tries:
    """Counts where nobody looks."""

    def __init__(self) -> None:
        self.left = 4

    @property
    def over(self) -> bool:
        self.left -= 1
        return self.left < 0

    def __bool__(self) -> bool:
        return not self.over

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.left))


def counts_in_an_attribute(threading: Any, lock: Any) -> bool:
    tries = Tries()
    while not lock.acquire(blocking=False):
        tries.left -= 1
        if tries.left < 0:
            return False
    return True


def counts_in_a_property(threading: Any, lock: Any) -> bool:
    tries = Tries()
    while not lock.acquire(blocking=False):
        if tries.over:
            return False
    return True


def counts_in_its_truth(threading: Any, lock: Any) -> bool:
    tries = Tries()
    while not lock.acquire(blocking=False):
        if not tries:
            return False
    return True


def uses_up_a_list(threading: Any, lock: Any) -> bool:
    tries = [1, 2, 3]
    while not lock.acquire(blocking=False):
        if not tries.pop():
            return False
        if not tries:
            return False
    return True


def extends_a_list(threading: Any, lock: Any) -> bool:
    tries: list[int] = []
    while not lock.acquire(blocking=False):
        tries += [1]
        if len(tries) > 3:
            return False
    return True


def uses_up_an_iterator(threading: Any, lock: Any) -> bool:
    tries = iter([1, 2, 3])
    while not lock.acquire(blocking=False):
        if 9 in tries:
            return True
        if next(tries, None) is None:
            return False
    return True


def counts_in_a_closure(threading: Any, lock: Any) -> bool:
    tries = 0

    def is_over() -> bool:
        nonlocal tries
        tries += 1
        return tries > 3

    while not lock.acquire(blocking=False):
        if is_over():
            return False
    return True


def counts_in_a_default(threading: Any, lock: Any) -> bool:
    def is_over(tries: list[int] = []) -> bool:  # noqa: B006 - the list is the counter
        tries.append(1)
        return len(tries) % 4 == 0

    while not lock.acquire(blocking=False):
        if is_over():
            return False
    return True


def asks_a_generator(threading: Any, lock: Any) -> bool:
    def delays() -> Iterator[float]:
        yield from (0.1, 0.1, 0.1)

    waits = delays()
    while not lock.acquire(blocking=False):
        if next(waits, None) is None:
            return False
    return True


def calls_again(threading: Any, lock: Any) -> bool:
    def once() -> bool:
        while lock.locked():
            time.sleep(0.1)
            return False
        return True

    return any(once() for _ in range(4))


GIVING_UP = [
    counts, counts_the_same, repeats, counts_down, counts_in_the_test, counts_in_an_attribute,
    counts_in_a_property, counts_in_its_truth, uses_up_a_list, extends_a_list, uses_up_an_iterator,
    counts_in_a_closure, counts_in_a_default, asks_a_generator, calls_again,
]  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize("loop", GIVING_UP)
def test_a_loop_that_gives_up_after_some_tries_makes_all_of_them(
    loop: Callable[[Any, Any], bool],
) -> None:
    """Put to sleep, it would wait for the lock, and never give up."""
    answers: list[bool] = []

    def scenario(threading: Any) -> None:
        answers.clear()
        lock = threading.Lock()

        def hold() -> None:
            with lock:
                time.sleep(1)

        threading.together(hold, lambda: answers.append(loop(threading, lock)))

    for make in (SourceDpor, unreduced):
        assert every_end(scenario, lambda: answers[0], make) == {True, False}


def test_what_was_read_before_the_round_does_not_count() -> None:
    """At its second look at b, the thread still has an old a on its stack."""

    def scenario(threading: Any) -> None:
        state = threading.shared(a=0, b=0)

        def wait() -> None:
            while state.a + state.b != 2:
                pass

        def write() -> None:
            state.b = 1
            state.a = 1

        threading.together(wait, write)

    for options in SEARCHES.values():
        assert explore(scenario, **options).verdict == "ok"


def test_a_lock_that_a_poller_holds_for_a_moment_is_seen() -> None:
    """The other thread finds it taken, once and a second time."""
    found = set()

    def scenario(threading: Any) -> None:
        mutex = threading.Lock()
        state = threading.shared(ready=False)

        def poll() -> None:
            while True:
                with mutex:
                    if state.ready:
                        return
                time.sleep(0.1)

        def write() -> None:
            refused = [not mutex.acquire(blocking=False) for _ in range(1)]
            if not refused[0]:
                mutex.release()
            state.ready = state.ready
            refused.append(not mutex.acquire(blocking=False))
            if not refused[1]:
                mutex.release()
            found.add(tuple(refused))
            state.ready = True

        threading.together(poll, write)

    every_end(scenario, lambda: None, lambda scheduler: BoundedSearch(scheduler, Bound(2)))
    assert found == set(itertools.product([False, True], repeat=2))


def test_a_poller_that_swallows_a_notification_is_a_bug() -> None:
    """`notify` wakes the thread that polls, and the one that waits without a timeout is lost."""

    def scenario(threading: Any) -> None:
        condition = threading.Condition()
        state = threading.shared(ready=False)

        def poll() -> None:
            with condition:
                while not state.ready:
                    condition.wait(0.1)

        def wait() -> None:
            with condition:
                while not state.ready:
                    condition.wait()

        def write() -> None:
            with condition:
                state.ready = True
                condition.notify()

        threading.together(poll, wait, write)

    for options in ({}, {"reduction": False}, {"preemptions": 1}):
        result = explore(scenario, **options)
        assert result.bug is not None
        assert result.bug.kind == "lost wakeup"


def test_a_loop_that_looks_at_unseen_data_is_unknown() -> None:
    """Nobody has written what it reads by steps, but it ends. That is no livelock, and no `ok`."""

    def scenario(threading: Any) -> None:
        state = threading.shared(turn=0)
        plain = {"ready": False}

        def wait() -> None:
            while not plain["ready"]:
                time.sleep(0.1)

        def write() -> None:
            while state.turn == 0:
                time.sleep(0.1)
            plain["ready"] = True

        def begin() -> None:
            state.turn = 1

        threading.together(wait, write, begin)

    result = explored(scenario, reduction=False, seconds=20)
    assert result.verdict == "unknown"
    assert "has left a loop although no step had changed what the loop sees" in result.limit


def test_the_time_that_a_loop_takes_is_not_explored_and_that_is_said() -> None:
    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def get() -> None:
            started = time.monotonic()
            while not lock.acquire(blocking=False):
                time.sleep(0.01)
            lock.release()
            assert time.monotonic() - started < 1

        def hold() -> None:
            with lock:
                pass

        threading.together(hold, get)

    result = explored(scenario)
    assert result.verdict == "unknown"
    assert "reads the clock after a loop that waits by sleeping" in result.limit


# Livelocks.


def test_a_loop_that_waits_for_nobody_is_a_livelock() -> None:
    """It is told in words, and its schedule ends there when it is replayed."""

    def scenario(threading: Any) -> None:
        state = threading.shared(ready=False)

        def wait() -> None:
            while not state.ready:
                pass

        threading.together(wait)

    for options in SEARCHES.values():
        result = explore(scenario, **options)
        assert result.bug is not None
        assert result.bug.kind == "livelock"
        assert "wait repeats the loop at test_spinning.py:" in result.bug.text
        assert "read state.ready" in result.bug.text
        assert len(result.bug.schedule) <= 2
        assert replay(scenario, result.bug.schedule).kind == "livelock"


def test_two_loops_that_wait_for_each_other_are_a_livelock() -> None:
    def scenario(threading: Any) -> None:
        state = threading.shared(a=False, b=False)

        def first() -> None:
            while not state.b:
                time.sleep(0.1)
            state.a = True

        def second() -> None:
            while not state.a:
                time.sleep(0.1)
            state.b = True

        threading.together(first, second)

    result = explored(scenario)
    assert result.bug is not None
    assert result.bug.kind == "livelock"
    assert "first repeats" in result.bug.text
    assert "second repeats" in result.bug.text
    assert result.bug.waiting.keys() == {"main", "first", "second"}


def test_a_loop_that_waits_for_a_deadlock_is_a_deadlock() -> None:
    """The cause is told, not its consequence."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        state = threading.shared(done=False)

        def lock_twice() -> None:
            with lock, lock:
                state.done = True

        def wait() -> None:
            while not state.done:
                pass

        threading.together(lock_twice, wait)

    result = explore(scenario)
    assert result.bug is not None
    assert result.bug.kind == "deadlock"
    assert "repeats the loop" in result.bug.waiting["wait"]


def polite(threading: Any) -> None:
    """Each thread takes its lock, fails to take the other's, and steps back."""
    left, right = threading.Lock(), threading.Lock()

    def take(one: Any, other: Any) -> None:
        while True:
            with one:
                time.sleep(0.1)
                if other.acquire(blocking=False):
                    other.release()
                    return
            time.sleep(0.1)

    threading.together(lambda: take(left, right), lambda: take(right, left))


def test_two_threads_that_step_back_forever_are_a_livelock() -> None:
    """Both run all the time, and come back to the same state."""
    result = explored(polite)
    assert result.bug is not None
    assert result.bug.kind == "livelock"
    assert "try left: refused" in result.bug.text
    assert "try right: refused" in result.bug.text
    assert replay(polite, result.bug.schedule, patch=[HERE]).kind == "livelock"


def test_a_cycle_in_which_a_thread_never_runs_is_no_livelock() -> None:
    """The one that would end it could run at any time."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                with lock:
                    time.sleep(0.1)

        def end() -> None:
            with lock:
                stop.set()

        threading.together(work, end)

    result = explored(scenario, schedules=300)
    assert result.bug is None


def test_an_unknown_says_who_made_how_many_steps_and_where() -> None:
    def scenario(threading: Any) -> None:
        event = threading.Event()
        count = 0
        while not event.is_set():
            count += 1

    result = explore(scenario, steps=100)
    assert result.verdict == "unknown"
    assert "Steps by thread: main 100 (test_spinning.py:" in result.limit


class Flags:
    """Plain attributes, whose accesses are steps because `lines=` names the class."""

    def __init__(self) -> None:
        self.ready = [False, False]
        self.value = 0

    def wait(self, number: int) -> None:
        """Wait for a flag."""
        while not self.ready[number]:
            pass
        self.value += 1

    def write(self) -> None:
        """Set both flags."""
        self.ready[0] = True
        self.ready[1] = True


def test_loops_in_named_code_sleep() -> None:
    """Two threads look at plain attributes. Their looks do not wake each other."""

    def scenario(threading: Any) -> None:
        flags = Flags()
        threading.together(lambda: flags.wait(0), lambda: flags.wait(1), flags.write)

    result = explore(scenario, lines=[Flags], preemptions=0)
    assert result.verdict == "ok", result


def test_a_choice_in_a_loop_is_tried() -> None:
    """The loop may end at each round, so it does not sleep; and a choice is no cycle."""

    def scenario(threading: Any) -> None:
        tries = 0
        while threading.choose(2, "again"):
            tries += 1
            if tries == 3:
                return

    assert explore(scenario).verdict == "ok"
