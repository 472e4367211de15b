"""A race loses what it must, names the writes responsible, and always ends its threads."""

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bankkit import lab
from bankkit.lab.racing.race import Race
from bankkit.lab.recording.history import History
from bankkit.locks import POLICIES, LockStatistics, Mutex, ReadWriteLock
from tests.support.waiting import eventually


def race_of(concurrency: Any = "none", **options: Any) -> Race:
    defaults = {"writers": 2, "readers": 0, "rounds": 1, "hold_ms": 0.0, "policy": "fair"}
    return Race(concurrency, **{**defaults, "mode": "free", **options})


def own_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "race" in thread.name}


def stale_pairs(history: History) -> set[tuple[str, str]]:
    """Pairs (overwritten, stale) that the recorded times alone prove, without `lost_updates`.

    The first client's commit was confirmed after the second one had read the balance and before
    the second one began to commit, and no other commit lies in between.
    """
    spans = []
    for call in history.calls:
        read, begun, done = (call.find(kind) for kind in ("read", "committing", "committed"))
        if read and begun and done:
            spans.append((begun.at, done.at, read.at, call.client))
    spans.sort()
    return {
        (earlier[3], later[3])
        for earlier, later in pairwise(spans)
        if later[2] < earlier[0] and earlier[1] < later[0]
    }


# --- Forced ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("writers", "rounds"), [(2, 60), (3, 20), (5, 10), (16, 10)])
def test_forced_it_loses_every_time_and_names_the_pair(writers: int, rounds: int) -> None:
    result = lab.race("none", writers=writers, rounds=rounds, mode="forced")
    lost_in_each = writers - 1
    assert len(result.lost_updates) == lost_in_each * rounds
    assert result.lost == lost_in_each * rounds * 100_00
    assert result.expected == writers * rounds * 100_00
    assert result.deposits == writers * rounds, "every client got OK"
    named = [(each.overwritten.client, each.by.client) for each in result.lost_updates]
    assert named == [(f"client {n}", f"client {n + 1}") for n in range(1, writers)] * rounds
    assert set(named) == stale_pairs(result.history)
    assert result.verdict.startswith(f"${result.lost // 100:,} was lost")
    assert "client 2 read $0, client 1 wrote $100, client 2 wrote $100 over it." in result.verdict


@pytest.mark.parametrize(
    ("concurrency", "options"),
    [
        *[("read-write", {"policy": policy}) for policy in POLICIES],
        *[
            ("mutex", {}),
            ("redis-read-write", {}),
            ("atomic", {}),
            (Mutex, {}),
            (ReadWriteLock, {}),
        ],
    ],
)
def test_a_choice_that_excludes_it_cannot_be_forced(concurrency: Any, options: Any) -> None:
    result = lab.race(concurrency, writers=3, readers=2, rounds=3, mode="forced", **options)
    assert (result.lost, result.lost_updates) == (0, ())
    assert result.verdict.startswith(f"No loss could be forced under {result.concurrency}: ")
    assert result.kept_out == (concurrency != "atomic")
    assert stale_pairs(result.history) == set()


def test_a_race_that_was_cut_short_proves_nothing() -> None:
    result = replace(lab.race("mutex", mode="forced"), problem="After 1 of 2 calls, it stopped.")
    assert "No loss could be forced" not in result.verdict


def test_a_lock_that_does_not_count_its_waiters_gets_a_moment() -> None:
    result = lab.race(threading.Lock, mode="forced")
    assert (result.kept_out, result.lost) == (True, 0)
    result = lab.race("first-draft", mode="forced")
    assert (result.kept_out, result.lost) == (True, 0)


class Hole:
    """A learner's lock with only the four methods, which does not lock anything."""

    def acquire_read(self) -> None: ...
    def release_read(self) -> None: ...
    def acquire_write(self) -> None: ...
    def release_write(self) -> None: ...


def test_a_lock_of_your_own_that_does_not_lock_is_found_out() -> None:
    result = lab.race(Hole, writers=3, mode="forced")
    assert (result.concurrency, result.lost, result.kept_out) == ("Hole", 200_00, False)


def test_a_lock_of_your_own_may_refuse_and_may_tell_of_its_queue() -> None:
    class Full(Hole):
        def acquire_write(self, timeout: float | None = None) -> bool:  # type: ignore[override]
            return False

        def statistics(self) -> LockStatistics:
            return LockStatistics(readers=0, writer=None, waiting_readers=0, waiting_writers=0)

    result = lab.race(Full)
    assert "DEADLINE_EXCEEDED" in result.problem
    assert result.final == 0


# --- Free ------------------------------------------------------------------------------------


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("concurrency", "policy"),
    [
        ("mutex", "fair"),
        ("redis-read-write", "fair"),
        ("atomic", "fair"),
        *(("read-write", policy) for policy in POLICIES),
    ],
)
def test_free_and_nothing_is_lost(concurrency: str, policy: str) -> None:
    result = lab.race(concurrency, writers=6, readers=2, rounds=20, policy=policy)
    assert result.verdict == "Nothing was lost: the account should hold $12,000, and it does."
    assert (result.lost_updates, result.deposits) == ((), 120)
    assert len(result.waits("write")) == (0 if concurrency == "atomic" else 120)
    assert result.longest_wait("read") == max(result.waits("read"), default=0) > 0
    assert result.calls_per_second > 0


def test_free_without_a_lock_the_money_adds_up_to_the_named_losses() -> None:
    result = lab.race("none", writers=4, rounds=40, hold_ms=1)
    assert result.lost_updates
    assert sum(each.cents for each in result.lost_updates) == result.lost
    found = f"the account should hold $16,000 but holds ${(result.final or 0) // 100:,}."
    assert found in result.verdict
    assert result.verdict.startswith(f"${result.lost // 100:,} was lost in ")


def test_readers_meet_under_a_read_write_lock_and_not_under_a_mutex() -> None:
    together = lab.race("read-write", writers=0, readers=4, rounds=5, hold_ms=5)
    assert together.peak_readers > 1
    assert together.verdict == "There were no deposits."
    assert lab.race("mutex", writers=0, readers=4, rounds=5, hold_ms=5).peak_readers == 1


# --- How it ends -----------------------------------------------------------------------------


def in_background(race: Race) -> Callable[[], Any]:
    """Run the race in a thread; return a function that waits for the result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(race.run()))
    thread.start()

    def result() -> Any:
        thread.join(30)
        assert results, "the race has not ended"
        return results[0]

    return result


@pytest.mark.parametrize("mode", ["free", "forced"])
def test_stopped_in_the_middle(mode: str) -> None:
    race = race_of("none", writers=4, readers=2, rounds=5000, mode=mode)
    result = in_background(race)
    eventually(lambda: race.done > 10)
    race.stop()
    found = result()
    assert found.problem == f"After {race.done} of 30000 calls, the race was stopped."
    assert found.verdict.startswith(found.problem)
    assert found.history.calls
    assert own_threads() == set()


def test_stopped_before_it_has_begun() -> None:
    race = race_of("none", rounds=5000)
    race.stop()
    result = race.run()
    assert result.verdict == (
        "After 0 of 10000 calls, the race was stopped. There were no deposits."
    )


def test_stopped_while_all_wait_for_the_lock() -> None:
    race = race_of("mutex", writers=4, rounds=50, hold_ms=1000)
    result = in_background(race)
    eventually(lambda: bool(race.bank and race.bank.server.load >= 4))
    race.stop()
    assert "the race was stopped" in result().problem


def test_a_server_that_dies_in_the_middle() -> None:
    race = race_of("read-write", writers=4, rounds=5000)
    result = in_background(race)
    eventually(lambda: race.done > 10)
    assert race.bank is not None
    race.bank.server.stop(0)
    found = result()
    assert "got UNAVAILABLE" in found.problem or "got CANCELLED" in found.problem
    assert found.history.calls
    assert own_threads() == set()


def test_a_redis_that_dies_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANKKIT_REDIS_URL", raising=False)
    race = race_of("none", writers=4, rounds=5000)
    result = in_background(race)
    eventually(lambda: race.done > 10)
    assert race.bank is not None
    race.bank._engine.kill()
    found = result()
    assert "got UNAVAILABLE" in found.problem
    assert found.final is None
    assert found.lost == 0
    assert "The balance could not be read." in found.verdict


def test_the_interrupt_button_ends_it() -> None:
    race = race_of("none", writers=2, rounds=5000)

    def interrupt() -> None:
        eventually(lambda: race.done > 10)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        race.run()
    thread.join()
    assert own_threads() == set()


def test_progress_is_reported_and_never_decreases() -> None:
    told: list[int] = []
    race = race_of("none", writers=2, rounds=20, hold_ms=20)
    race.run(told.append)
    assert told
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= race.done == race.total == 40


# --- Invalid arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"writers": 0}, "A race has 1 to 64 clients, not 0 writers and 0 readers."),
        ({"writers": 10_000}, "writers must be a whole number from 0 to 64, not 10000."),
        ({"writers": 1, "mode": "forced"}, "writers must be a whole number from 2 to 64, not 1."),
        ({"writers": 40, "readers": 40}, "A race has 1 to 64 clients, not 40 writers and 40"),
        ({"readers": -1}, "readers must be a whole number from 0 to 64, not -1."),
        ({"writers": 2.0}, "writers must be a whole number from 0 to 64, not 2.0."),
        ({"writers": True}, "writers must be a whole number from 0 to 64, not True."),
        ({"rounds": 0}, "rounds must be a whole number from 1 to 50000 with 2 clients, not 0."),
        ({"rounds": 10**6}, "rounds must be a whole number from 1 to 50000 with 2 clients"),
        ({"hold_ms": -1}, "hold_ms must be 0 to 1000 milliseconds, not -1."),
        ({"hold_ms": float("nan")}, "hold_ms must be 0 to 1000 milliseconds, not nan."),
        ({"hold_ms": 1e9}, "hold_ms must be 0 to 1000 milliseconds"),
        ({"hold_ms": "1"}, "hold_ms must be 0 to 1000 milliseconds, not '1'."),
        ({"mode": "fast"}, "mode must be free or forced, not 'fast'."),
        ({"policy": "nobody"}, "policy must be one of fair, readers, writers, not 'nobody'."),
        ({"concurrency": "luck"}, "concurrency must be one of none, mutex,"),
    ],
)
def test_impossible_numbers(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^" + words.replace(".", r"\.")):
        lab.race(**options)


def test_an_object_that_is_not_a_lock_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no acquire_read, no release_read, no acquire"):
        lab.race(object)
    with pytest.raises(ValueError, match="concurrency must be one of none, mutex"):
        lab.race(7)  # type: ignore[arg-type]


def test_a_card_for_people_and_a_verdict_for_tests() -> None:
    result = lab.race("none", mode="forced")
    bundle = result._repr_mimebundle_()
    assert bundle["text/plain"] == result.verdict == repr(result)
    assert "Money lost" in bundle["text/html"]
    again = lab.race("none", mode="forced")
    assert again._repr_mimebundle_() == bundle, "a forced race looks the same on every run"
    free = lab.race("mutex", readers=2, rounds=3)._repr_mimebundle_()["text/html"]
    assert "Nothing lost" in free
    assert "calls a second" in free
