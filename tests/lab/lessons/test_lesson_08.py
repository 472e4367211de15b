"""The parts of lesson 08: lock scripts, a rush at one account, and the cost of a lock."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bankkit import lab
from bankkit.lab.lessons import lesson_08
from bankkit.lab.racing.lock_driver import LockDriver
from bankkit.lab.racing.tradeoff import HOLD_MS, SHARES, Point, Tradeoff, measured
from bankkit.locks import POLICIES, FirstDraftLock, Mutex, NoLock, ReadWriteLock


class Forgetful(lesson_08.ReadWriteLock):
    """A lock whose writers release it without waking the waiters."""

    def release_write(self) -> None:
        with self.changed:
            self.writing = False


@pytest.fixture
def nobody_stays() -> Iterator[None]:
    """Check that no thread of the driver outlives the test."""
    before = set(threading.enumerate())
    yield
    after = set(threading.enumerate()) - before
    assert not [each.name for each in after if each.name.startswith("driver ")]


# --- Lock scripts --------------------------------------------------------------------------------


@pytest.mark.parametrize("make_lock", [ReadWriteLock, FirstDraftLock, lesson_08.ReadWriteLock])
def test_a_right_lock_lets_readers_in_together_and_a_writer_alone(make_lock: Any) -> None:
    play = lab.run_lock_script(
        make_lock, "ann reads, ben reads, carl writes, ann leaves, ben leaves"
    )
    assert [row.states.get("carl") for row in play.rows] == [
        *(None, None, "waits to write", "waits to write", "writes", ""),
    ]
    assert play.verdict == (
        "The lock kept its rule, and no thread was left waiting. "
        "At most 2 threads read at the same time."
    )


def test_no_lock_lets_everybody_in() -> None:
    play = lab.run_lock_script(NoLock, "ann reads, ben writes\ncarl writes")
    assert [row.trespass for row in play.rows] == [
        "",
        "ben writes while ann reads",
        "ben and carl write at the same time",
        "ben and carl write at the same time",  # ann has left
        "",
        "",
    ]
    assert play.trespass == "ben writes while ann reads"
    assert "✗ Out of order" in play._repr_mimebundle_()["text/html"]


def test_a_mutex_makes_readers_wait_for_nothing() -> None:
    play = lab.run_lock_script(Mutex, "ann reads, ben reads")
    assert play.verdict == "ben waits to read, and no thread writes or wants to."
    assert repr(play).splitlines()[:3] == [
        "             ann            ben",
        "ann reads    reads          ·",
        "ben reads    reads          waits to read  "
        "! ben waits to read, and no thread writes or wants to",
    ]


@pytest.mark.usefixtures("nobody_stays")
def test_threads_left_waiting_are_named_and_ended() -> None:
    play = lab.run_lock_script(Forgetful, "ann writes, ben reads, carl writes, ann leaves")
    assert play.left_waiting == ("ben", "carl")
    assert play.verdict == (
        "Every other thread has left, and ben and carl still wait. No thread will ever wake them."
    )


def test_a_waiting_thread_can_do_nothing_else() -> None:
    play = lab.run_lock_script(ReadWriteLock, "ann writes, ben reads, ben leaves, ben reads")
    assert [row.step for row in play.rows] == [
        *("ann writes", "ben reads"),
        *("ben still waits and cannot leave", "ben still waits and cannot read"),
        *("ann leaves", "ben leaves"),
    ]


def test_under_readers_a_writer_starves_and_under_fair_it_does_not() -> None:
    relay = "ann reads, dora writes, ben reads, ann leaves, ann reads, ben leaves"
    for policy in POLICIES:

        def make_lock(policy: str = policy) -> ReadWriteLock:
            return ReadWriteLock(policy)

        play = lab.run_lock_script(make_lock, relay)
        starved = all(row.states["dora"] == "waits to write" for row in play.rows[1:6])
        assert starved is (policy == "readers")


@pytest.mark.usefixtures("nobody_stays")
def test_what_the_lock_raises_is_raised() -> None:
    class Broken(ReadWriteLock):
        def acquire_write(self, timeout: float | None = None) -> bool:
            raise LookupError("no lock here")

    with pytest.raises(LookupError, match="no lock here"):
        lab.run_lock_script(Broken, "ann reads, ben writes")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "1 to 40 steps, not 0"),
        ("ann reads, " * 41, "1 to 40 steps, not 41"),
        ("ann sleeps", "'ann sleeps' is not a step"),
        ("reads", "'reads' is not a step"),
        ("ann leaves", "ann cannot leave without holding"),
        ("ann reads, ann writes", "ann already reads"),
    ],
)
def test_a_script_without_sense_is_refused(script: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lab.run_lock_script(ReadWriteLock, script)


def test_an_object_that_is_not_a_lock_is_refused() -> None:
    with pytest.raises(TypeError, match="has no acquire_read"):
        lab.run_lock_script(object, "ann reads")


def test_names_are_escaped() -> None:
    shown = lab.run_lock_script(ReadWriteLock, "<b> reads")._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt; reads" in shown
    assert "<b>" not in shown


@pytest.mark.usefixtures("nobody_stays")
def test_a_thread_that_spins_is_ended() -> None:
    class Spins(ReadWriteLock):
        def acquire_read(self, timeout: float | None = None) -> bool:
            while True:
                pass

    with LockDriver(Spins()) as driver:
        driver.tell("ann", "reads")
        assert driver.states() == {"ann": "waits to read"}


def test_a_table_has_no_column_for_marks_that_are_not_there() -> None:
    fine = lab.run_lock_script(ReadWriteLock, "ann reads")._repr_mimebundle_()["text/html"]
    assert fine.count("<th") == 2 + 2  # the corner and ann, and the two steps


# --- The lock of the exercises -------------------------------------------------------------------


def test_the_lock_of_the_exercises_notices_what_is_done_without_its_condition() -> None:
    lock = lesson_08.ReadWriteLock()
    with lock.changed:
        lock.readers += 1
    assert lock.unguarded == ""
    assert lock.writing is False
    assert lock.unguarded == "writing"


def test_it_holds_in_a_bank() -> None:
    result = lab.race(lesson_08.ReadWriteLock, writers=2, mode="forced")
    assert (result.lost, result.problem) == (0, "")


# --- The rush ------------------------------------------------------------------------------------


def test_each_policy_shows_its_worst_and_fair_has_none() -> None:
    rush = {policy: lab.measure_starvation(policy) for policy in ("readers", "writers", "fair")}
    assert lab.phases(rush["readers"]) == [("read", 60), ("write", 20)]
    assert lab.phases(rush["writers"]) == [("read", 1), ("write", 20), ("read", 59)]
    turns = lab.phases(rush["fair"])
    assert len(turns) > 20
    assert sum(count for mode, count in turns if mode == "write") == 20
    picture = lab.waits(rush)
    assert picture.line == (
        "4 clients made 60 reads, and 2 made 20 deposits. Under the policy readers, no deposit "
        "entered before the last read. Under the policy writers, no waiting read entered before "
        "the last deposit. Under the policy fair, reads and deposits took turns."
    )
    assert picture.png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="readers, writers, not nobody"):
        lab.waits({"nobody": rush["fair"]})


# --- What a lock costs ---------------------------------------------------------------------------


def test_what_is_measured_is_all_there_and_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    # Through sys.modules, because the name `tradeoff` in `lab` is the function.
    monkeypatch.setattr(sys.modules[Point.__module__], "TRY_SECONDS", 0.01)
    done: list[int] = []
    points = list(measured(done.append))
    assert [(point.hold_ms, point.share) for point in points] == [
        (hold, share) for hold in (HOLD_MS, 0.0) for share in SHARES
    ]
    assert all(point.mutex > 0 and point.read_write > 0 for point in points)
    assert done == list(range(1, 31))


def made_up(long: float, quick: float) -> Tradeoff:
    """Points with these ratios: `long` where threads hold the lock, `quick` where they only add."""
    return Tradeoff(
        Point(hold, share, 100.0, 100.0 * ratio)
        for hold, ratio in ((HOLD_MS, long), (0.0, quick))
        for share in SHARES
    )


def test_the_line_claims_only_what_was_measured() -> None:
    as_usual = made_up(5.0, 0.2)
    assert as_usual.ratio(0, 1.0) == 0.2
    assert "2 ms, they completed more operations per second" in repr(as_usual)
    assert "it completed fewer at every share" in repr(as_usual)
    odd = made_up(0.9, 1.1)
    assert "they did not complete more operations" in repr(odd)
    assert "it did not complete fewer at every share" in repr(odd)
    with pytest.raises(KeyError):
        odd.ratio(3, 1.0)
