"""How often a waiting thread is overtaken, and whether that grows with each round of the others."""

import sys
import time
from typing import Any

import pytest

from bankkit.explorer import Overtaken, explore, explore_starvation, replay
from bankkit.locks import ReadWriteLock

HERE = sys.modules[__name__]
"""Its `time` is virtual while the explorer runs."""


def passing(threading: Any) -> None:
    """One thread takes a lock twice while another waits for it."""
    lock = threading.Lock()

    def twice() -> None:
        for _ in range(2):
            with lock:
                time.sleep(1)

    def once() -> None:
        with lock:
            pass

    threading.together(twice, once)


def test_a_thread_that_waits_for_a_lock_is_overtaken() -> None:
    """The result names the lock, both threads and a schedule that shows it."""
    result = explore(passing, overtaken=True, patch=[HERE])
    assert result.verdict == "ok"
    (worst,) = result.overtaken
    assert (worst.lock, worst.thread, worst.times, worst.by) == ("lock", "once", 1, {"twice": 1})
    assert str(worst) == "once waits for lock and is overtaken (by twice once)"
    assert str(worst) in str(result)
    done = [(move.thread, move.does) for move in worst.schedule.moves]
    assert done.count(("twice", "acquire lock")) == 2
    assert done[-1] == ("once", "release lock")
    assert replay(passing, worst.schedule, patch=[HERE]).kind == "ended"


def test_it_is_measured_only_if_asked_for() -> None:
    assert explore(passing, patch=[HERE]).overtaken == ()


def test_a_thread_that_has_not_begun_to_wait_is_not_overtaken() -> None:
    """Nobody holds the lock when it comes, however often the other has held it before."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def work() -> None:
            for _ in range(3):
                with lock:
                    pass

        threading.together(work)
        with lock:
            pass

    assert explore(scenario, overtaken=True).overtaken == ()


def test_a_try_overtakes() -> None:
    """It takes the lock that was just released for the thread that waits."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def hold_and_try() -> None:
            with lock:
                time.sleep(1)
            if lock.acquire(blocking=False):
                lock.release()

        def wait() -> None:
            with lock:
                pass

        threading.together(hold_and_try, wait)

    (worst,) = explore(scenario, overtaken=True, patch=[HERE]).overtaken
    assert (worst.thread, worst.by) == ("wait", {"hold_and_try": 1})


def test_a_condition_has_no_order() -> None:
    """`notify` may wake the one who came last."""

    def scenario(threading: Any) -> None:
        condition = threading.Condition()
        state = threading.shared(open=False)

        def first() -> None:
            with condition:
                while not state.open:
                    condition.wait()

        def second() -> None:
            with condition:
                while not state.open:
                    condition.wait()

        def wake() -> None:
            with condition:
                state.open = True
                condition.notify()
            with condition:
                condition.notify()

        threading.together(first, second, wake)

    result = explore(scenario, overtaken=True, preemptions=0)
    (worst,) = [each for each in result.overtaken if each.lock == "condition"]
    assert (worst.thread, worst.by) in [("first", {"second": 1}), ("second", {"first": 1})]


def test_a_semaphore_and_a_queue_have_waiters_too() -> None:
    def scenario(threading: Any) -> None:
        places = threading.Semaphore(1)

        def work() -> None:
            for _ in range(2):
                with places:
                    time.sleep(1)

        threading.together(work, work)

    (worst,) = explore(scenario, overtaken=True, patch=[HERE]).overtaken
    assert (worst.lock, worst.times) == ("places", 1)


class Ticket:
    """A lock that serves threads in the order in which they came."""

    def __init__(self, threading: Any) -> None:
        self.changed = threading.Condition()
        self.last = self.now = 0

    def acquire(self) -> None:
        with self.changed:
            mine, self.last = self.last, self.last + 1
            while self.now != mine:
                self.changed.wait()

    def release(self) -> None:
        with self.changed:
            self.now += 1
            self.changed.notify_all()


class Barging:
    """A lock that a thread may take before another that was woken for it."""

    def __init__(self, threading: Any) -> None:
        self.changed = threading.Condition()
        self.taken = False

    def acquire(self) -> None:
        with self.changed:
            while self.taken:
                self.changed.wait()
            self.taken = True

    def release(self) -> None:
        with self.changed:
            self.taken = False
            self.changed.notify()


def workers(make: Any) -> Any:
    """Two threads that take a lock again and again, one that takes it once."""

    def scenario(threading: Any, rounds: int) -> None:
        lock = make(threading)

        def work(rounds: int) -> None:
            for _ in range(rounds):
                with threading.waiting("the lock"):
                    lock.acquire()
                time.sleep(1)
                lock.release()

        def again() -> None:
            work(rounds)

        def once() -> None:
            work(1)

        threading.together(again, once)

    return scenario


def test_a_lock_of_ones_own_is_fair_or_not() -> None:
    """What happens to its own primitives does not count."""
    fair = explore_starvation(workers(Ticket), patch=[HERE])
    assert (fair.verdict, fair.times) == ("bounded", ())
    assert str(fair).startswith("does not starve: no waiting thread is overtaken.")
    barging = explore_starvation(workers(Barging), patch=[HERE])
    assert (barging.verdict, barging.times) == ("starves", (0, 1, 2))
    assert barging.worst is not None
    assert barging.worst.by == {"again": 2}
    assert str(barging) == (
        "starves: once waits for the lock and is overtaken more often with each round that the "
        "others make: up to 0, 1 and 2 times. Measured in every schedule with at most 0 "
        "preemptions of 1, 2 and 3 rounds; this is no proof for more rounds."
    )


def readers_and_a_writer(policy: str) -> Any:
    """Two readers that come back, and a writer; for the policy `writers`, the other way round."""

    def scenario(threading: Any, rounds: int) -> None:
        lock = ReadWriteLock(policy, threading=threading)

        def read(rounds: int = 1) -> None:
            for _ in range(rounds):
                with threading.waiting("the lock"):
                    lock.acquire_read()
                time.sleep(1)
                lock.release_read()

        def write(rounds: int = 1) -> None:
            for _ in range(rounds):
                with threading.waiting("the lock"):
                    lock.acquire_write()
                time.sleep(1)
                lock.release_write()

        def anna() -> None:
            (write if policy == "writers" else read)(rounds)

        def ben() -> None:
            (write if policy == "writers" else read)(rounds)

        def carl() -> None:
            (read if policy == "writers" else write)()

        threading.together(anna, ben, carl)

    return scenario


@pytest.mark.one_in(2)
@pytest.mark.parametrize("policy", ["readers", "writers"])
def test_a_policy_that_prefers_one_side_starves_the_other(policy: str) -> None:
    """Each round more lets the others overtake carl twice more."""
    answer = explore_starvation(readers_and_a_writer(policy), patch=[HERE])
    assert answer.verdict == "starves"
    assert answer.times == (0, 2, 4)
    assert str(answer).startswith(
        "starves: carl waits for the lock and is overtaken more often with each round that the "
        "others make: up to 0, 2 and 4 times."
    )
    worst = answer.worst
    assert isinstance(worst, Overtaken)
    assert (worst.thread, worst.by) == ("carl", {"anna": 2, "ben": 2})
    scenario = readers_and_a_writer(policy)
    again = replay(lambda threading: scenario(threading, 3), worst.schedule, patch=[HERE])
    assert again.kind == "ended"


def test_the_fair_policy_starves_nobody() -> None:
    answer = explore_starvation(readers_and_a_writer("fair"), patch=[HERE], rounds=(1, 2))
    assert answer.verdict == "bounded"
    assert str(answer).startswith("does not starve")


def test_what_was_not_explored_to_the_end_is_unknown() -> None:
    """So is a scenario that fails."""
    answer = explore_starvation(workers(Ticket), patch=[HERE], schedules=2)
    assert answer.verdict == "unknown"
    assert "the limit of 2 schedules was reached" in str(answer)

    def fails(threading: Any, rounds: int) -> None:
        assert rounds == 1

    answer = explore_starvation(fails)
    assert answer.verdict == "unknown"
    assert str(answer).startswith("unknown: with 2 rounds, bug after 1 schedule")


@pytest.mark.parametrize("rounds", [(), (1,), (2, 1), (1, 1)])
def test_rounds_must_increase(rounds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two numbers that increase"):
        explore_starvation(workers(Ticket), rounds=rounds)


def test_a_block_that_an_exception_leaves_got_nothing() -> None:
    """It overtakes nobody, although it asked later."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def hold() -> None:
            with threading.waiting("lock"):
                lock.acquire()
            time.sleep(1)
            lock.release()

        def give_up() -> None:
            try:
                with threading.waiting("lock"):
                    if not lock.acquire(timeout=0.1):
                        raise TimeoutError
            except TimeoutError:
                return
            lock.release()

        threading.together(hold, hold, give_up)

    for each in explore(scenario, overtaken=True, patch=[HERE], preemptions=0).overtaken:
        assert each.times == 1
