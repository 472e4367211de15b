"""Every search finds what all schedules together find: random programs, and those that once failed.

The unreduced search of a program is the truth. A search that skips schedules must reach the same
final states, with everything that the threads have seen on the way, and the same deadlocks.
"""

from typing import Any

import pytest

from bankkit import lab
from tests.explorer.specimens import together
from tests.support.outcomes import disagreement, disagreement_of_parts
from tests.support.random_programs import Program, program

CONDITION, LOCK = "with condition", "with lock"
"""Conditions and locks have numbers: condition 0 uses lock 0, which is a Lock and not an RLock."""

ONCE_MISSED: dict[str, Program] = {
    "a wake-up that times out waits for its lock before": (
        (),
        ((CONDITION, 1, (("wait in time", 1, ()),)), ("read", 0, ())),
        ((CONDITION, 1, (("notify all", 1, ()),)), ("write", 0, ()),
         (CONDITION, 1, (("notify all", 1, ()),))),
    ),
    "wait with a lock that another thread holds": (
        (), ((CONDITION, 0, ()),), (("if", 1, (("wait", 0, ()),)),),
    ),
    "notify with a lock that another thread holds": (
        (), ((CONDITION, 0, ()),), (("add", 0, ()), ("notify", 0, ())),
    ),
    "a wait in time at a barrier whose action runs": (
        (), (("arrive in time", 1, ()),), (("arrive in time", 1, ()), ("arrive in time", 1, ())),
    ),
    "two waits in time at a barrier with an action": (
        (("arrive in time", 1, ()),), (("arrive in time", 1, ()),),
    ),
    "a choice in the last step of a thread that is joined in time": (
        (("join in time", 0, ()), ("clock", 0, ())), (("read", 0, ()), ("choose", 0, ())),
    ),
    "a thread that another thread starts": (
        (("is alive", 0, ()),), (("read", 0, ()), ("start", 0, ())), (("await", 0, ()),),
    ),
    "a join of a thread that another thread starts": (
        (("read", 1, ()), ("join", 0, ())), (("read", 0, ()), ("start", 0, ())), (),
    ),
    "a thread that two threads start": (
        (), (("read", 0, ()), ("start", 0, ())), (("read", 1, ()), ("start", 0, ())), (),
    ),
    "a thread that blocks where all others are asleep": (
        (("add", 0, ()),), ((CONDITION, 0, ((CONDITION, 0, ()),)),),
        ((CONDITION, 0, (("wait in time", 0, ()),)), ("wait for data", 0, ())),
    ),
    "clocks after two reads": (
        (), (("sleep", 0, ()), ("read", 0, ()), ("clock", 0, ())),
        (("read", 0, ()), ("clock", 0, ())),
    ),
    "the clock of a lock whose wait timed out": (
        (), ((CONDITION, 1, (("wait in time", 1, ()),)), ("clock", 0, ())),
        (("sleep", 0, ()), (CONDITION, 1, ()), ("clock", 0, ())),
    ),
}  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", ONCE_MISSED)
def test_an_outcome_that_was_missed_is_found(name: str) -> None:
    """Found by random programs, or by looking for the like of what they found."""
    assert disagreement(ONCE_MISSED[name], most=20_000) == ""


@pytest.mark.parametrize("reduction", [True, False])
def test_a_wait_that_was_told_too_early_is_a_bug(reduction: bool) -> None:
    """The consumer is told before `ready` is set, if it waits before the first `notify_all`."""

    def scenario(threading: Any) -> None:
        condition = threading.Condition()
        state = threading.shared(ready=False)

        def consume() -> None:
            with condition:
                told = condition.wait(1)
            assert state.ready or not told

        def produce() -> None:
            with condition:
                condition.notify_all()
            state.ready = True
            with condition:
                condition.notify_all()

        together(threading, consume, produce)

    assert lab.explore(scenario, reduction=reduction).verdict == "bug"


def test_a_thread_that_catches_the_end_of_its_schedule_ends_with_it() -> None:
    """Unwound in a wait, it does not own the lock that its `with` releases, and it returns."""

    def scenario(threading: Any) -> None:
        condition = threading.Condition()

        def wait() -> None:
            try:
                with condition:
                    condition.wait()
            except RuntimeError:
                return

        threading.Thread(target=wait, daemon=True).start()

    assert lab.explore(scenario).verdict == "ok"


def test_a_thread_that_is_unwound_wakes_no_other() -> None:
    """Its barrier's action never ends; when that is unwound, the barrier breaks."""

    def scenario(threading: Any) -> None:
        never = threading.Event()
        barrier = threading.Barrier(2, action=never.wait)
        mutexes = threading.Lock(), threading.Lock()

        def arrive(number: int) -> None:
            with mutexes[number]:
                barrier.wait()

        for number in range(2):
            threading.Thread(target=arrive, args=(number,), daemon=True).start()

    assert lab.explore(scenario).verdict == "ok"


@pytest.mark.parametrize("preemptions", [0, 1])
def test_random_schedules_keep_the_bound(preemptions: int) -> None:
    """The update is lost only with one preemption, and the result names the bound that it kept."""

    def scenario(threading: Any) -> None:
        counter = threading.shared(value=0)

        def add() -> None:
            counter.value += 1

        together(threading, add, add)
        assert counter.value == 2

    result = lab.explore(scenario, strategy="pct", preemptions=preemptions, schedules=200)
    assert result.verdict == ("bug" if preemptions else "unknown")
    assert str(result.bound) in str(result)


def test_random_schedules_keep_the_bound_on_timeouts() -> None:
    """The thread gives up only if its timeout fires while the other can run."""

    def scenario(threading: Any) -> None:
        event = threading.Event()
        answers: list[bool] = []
        together(threading, event.set, lambda: answers.append(event.wait(1.0)))
        assert answers == [True]

    assert lab.explore(scenario, strategy="pct", timeouts=0, schedules=200).verdict == "unknown"
    assert lab.explore(scenario, strategy="pct", timeouts=1, schedules=200).verdict == "bug"


@pytest.mark.one_in(10)
@pytest.mark.parametrize("first", range(0, 50, 5))
def test_random_programs_have_the_same_outcomes_in_every_search(first: int) -> None:
    """`make soak` compares 10,000 others."""
    for seed in range(first, first + 5):
        assert disagreement(program(seed), most=100) == "", seed


def test_random_programs_have_the_same_outcomes_in_parts() -> None:
    """`make soak` compares 10,000 others."""
    for seed in range(3):
        assert disagreement_of_parts(program(seed), most=20) == "", seed
