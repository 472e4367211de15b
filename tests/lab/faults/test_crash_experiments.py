"""Servers that are killed or paused, and a Redis that is killed: what happens to the money.

The processes and signals are real. The only claim about time is that everything ends.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bankkit import lab
from bankkit.lab.faults.crash_experiments import (
    holder_killed,
    holder_paused,
    redis_restarted,
    two_servers,
)
from bankkit.lab.faults.crash_result import CrashResult
from bankkit.lab.recording.history import History
from bankkit.lab.recording.spans import Span
from bankkit.lab.timelines.layout import lanes_of
from bankkit.lab.timelines.narration import in_words
from tests.support import pictures
from tests.support.processes import Child, home, needs_proc
from tests.support.waiting import eventually

Told = list[tuple[str, str, str]]

killed = cache(holder_killed)
fenced = cache(holder_paused)
unfenced = cache(lambda: holder_paused(fencing=False))
restarted = cache(redis_restarted)
apart = cache(two_servers)
together = cache(lambda: two_servers("redis-read-write"))

EXPERIMENTS: dict[str, Callable[[], CrashResult]] = {
    "killed": killed, "fenced": fenced, "unfenced": unfenced, "restarted": restarted,
    "apart": apart, "together": together,
}  # fmt: skip


def told(result: CrashResult) -> Told:
    return [(answer.client, answer.status, answer.reason) for answer in result.answers]


def spans(result: CrashResult, client: str) -> list[Span]:
    return [span for span in result.history.spans if span.client == client]


def kinds(result: CrashResult, client: str) -> list[str]:
    return [span.kind for span in spans(result, client)]


# --- The experiments -----------------------------------------------------------------------------


def test_a_holder_that_is_killed_delays_others_for_its_lease_and_loses_nothing() -> None:
    result = killed()
    assert told(result) == [("client 1", "UNAVAILABLE", ""), ("client 2", "OK", "")]
    assert (result.expected, result.final, result.lost, result.deposits) == (10_000, 10_000, 0, 1)
    assert result.lost_updates == ()
    assert kinds(result, "client 1") == ["waiting", "writing", "halted"]
    wait, write = spans(result, "client 2")
    assert {call.rpartition("#")[0] for call in wait.held_by} == {"client 1"}
    halted = spans(result, "client 1")[-1]
    assert write.start >= halted.end, "no server gets the lock while the dead one holds it"
    assert wait.start < halted.end
    states = [(s.server, s.kind) for s in result.history.server_spans]
    assert states == [("server 1", "up"), ("server 1", "down"), ("server 2", "up")]


def test_a_holder_that_slept_through_its_lease_is_fenced_off() -> None:
    result = fenced()
    assert told(result) == [("client 1", "ABORTED", "LOCK_LOST"), ("client 2", "OK", "")]
    assert (result.expected, result.final, result.lost) == (10_000, 10_000, 0)
    assert kinds(result, "client 1") == ["waiting", "writing", "halted", "stale"]
    (refused,) = [e for e in result.history.events if e.kind == "failed"]
    assert (refused.note, refused.server) == ("LOCK_LOST", "server 1")
    (write,) = [span for span in spans(result, "client 2") if span.kind == "writing"]
    assert refused.at > write.end, "it resumes after the other server has written"


def test_without_fencing_the_same_run_loses_money() -> None:
    result = unfenced()
    assert told(result) == [("client 1", "OK", ""), ("client 2", "OK", "")]
    assert (result.expected, result.final, result.lost) == (20_000, 10_000, 10_000)
    (lost,) = result.lost_updates
    assert (lost.lost.client, lost.by.client) == ("client 2", "client 1")
    assert kinds(result, "client 1") == ["waiting", "writing", "halted", "stale"]


def test_what_was_acknowledged_survives_a_redis_that_is_killed() -> None:
    result = restarted()
    unknown = ("UNAVAILABLE", "STORE_UNAVAILABLE")
    assert told(result) == [
        ("client 1", "OK", ""),
        ("client 2", *unknown),
        ("client 1", *unknown),
        ("client 2", "OK", ""),
        ("client 1", "OK", ""),
    ]
    assert (result.expected, result.final, result.deposits) == (30_000, 30_000, 3)
    assert result.lost_updates == ()
    redis = [s.kind for s in result.history.server_spans if s.server == "Redis"]
    assert redis == ["up", "down", "up"]


def test_locks_inside_two_servers_do_not_keep_them_apart() -> None:
    result = apart()
    assert told(result) == [("client 1", "OK", ""), ("client 2", "OK", "")]
    assert (result.expected, result.final, result.lost) == (20_000, 10_000, 10_000)
    one, other = (
        next(span for span in spans(result, client) if span.kind == "writing")
        for client in ("client 1", "client 2")
    )
    assert (one.server, other.server) == ("server 1", "server 2")
    assert one.start < other.end, "both hold a lock of the account at the same time"
    assert other.start < one.end
    assert all(span.held_by == () for span in result.history.spans)
    (lost,) = result.lost_updates
    assert str(lost) == "client 2 read $0, client 1 wrote $100, client 2 wrote $100 over it"


def test_a_lock_that_they_share_does() -> None:
    result = together()
    assert (result.expected, result.final) == (20_000, 20_000)
    wait, write = spans(result, "client 2")
    assert wait.woken_by.startswith("client 1#")
    assert "server 2 had to wait for it" in result.verdict
    assert write.start >= spans(result, "client 1")[-1].end


def test_an_impossible_experiment_is_refused() -> None:
    with pytest.raises(ValueError, match="atomic takes no lock"):
        two_servers("atomic")
    with pytest.raises(ValueError, match="concurrency must be one of"):
        two_servers("luck")


# --- Verdicts and pictures -----------------------------------------------------------------------

VERDICTS = {
    "killed": "Server 1 was killed while it held the lock of alice. Its lease ran out, and server "
    "2 was let in. Client 1 was told UNAVAILABLE, client 2 was told OK. Nothing was lost: $100 "
    "acknowledged, $100 found.",
    "fenced": "Server 1 was paused while it held the lock of alice. Its lease ran out, server 2 "
    "was let in, and then server 1 went on. Client 1 was told ABORTED (LOCK_LOST), client 2 was "
    "told OK. Nothing was lost: $100 acknowledged, $100 found.",
    "unfenced": "Server 1 was paused while it held the lock of alice. Its lease ran out, server 2 "
    "was let in, and then server 1 went on, unfenced. Client 1 was told OK, client 2 was told OK. "
    "Lost $100: $200 acknowledged, $100 found. client 1 read $0, client 2 wrote $100, client 1 "
    "wrote $100 over it.",
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_the_same_text_at_every_run(name: str) -> None:
    result = EXPERIMENTS[name]()
    assert result.verdict == repr(result) == VERDICTS[name]
    bundle = result._repr_mimebundle_()
    assert bundle["text/plain"] == VERDICTS[name]
    assert ("Money lost" if result.lost else "Nothing lost") in bundle["text/html"]


LINES = {
    "killed": "; server 1 is killed; the lease of client 1 runs out; client 1 is not told the "
    "outcome; no update was lost: ",
    "fenced": "; server 1 is paused; the lease of client 1 runs out; server 1 goes on; client 1 is "
    "fenced off; no update was lost: ",
    "unfenced": "; server 1 is paused; the lease of client 1 runs out; server 1 goes on; an update "
    "was lost, ",
    "restarted": "; Redis is killed; Redis is started again; the lease of client 2 runs out; "
    "client 2 is not told the outcome; client 1 is not told the outcome; no update was lost: ",
    "apart": ", and server 1 and server 2; an update was lost, ",
    "together": ", and server 1 and server 2; no update was lost: ",
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_line_under_the_picture_tells_what_happened(name: str) -> None:
    lanes = lanes_of(EXPERIMENTS[name]().history)
    assert LINES[name] in in_words(lanes)
    assert lanes.trouble == ""
    assert lanes.served_by == {"client 1": ("server 1",), "client 2": ("server 2",)}


@pytest.mark.parametrize("name", ["unfenced", "restarted"])
def test_the_picture_can_be_read(name: str) -> None:
    pictures.check(lab.timeline(EXPERIMENTS[name]()).picture)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_two_hold_a_shared_lock_at_once(name: str) -> None:
    """The recording must be consistent, whichever process was killed or paused."""
    holds = [span for span in EXPERIMENTS[name]().history.spans if span.holds]
    crossing = [
        (one, other)
        for n, one in enumerate(holds)
        for other in holds[n + 1 :]
        if one.start < other.end and other.start < one.end
    ]
    assert bool(crossing) is (name == "apart")


@pytest.mark.parametrize("name", ["killed", "restarted"])
def test_it_can_be_handed_on(name: str, tmp_path: Path) -> None:
    history = EXPERIMENTS[name]().history
    assert History.from_rows(history.rows()).spans == history.spans
    assert {e["ph"] for e in lab.chrome_trace(history)["traceEvents"]} >= {"X", "i", "M"}


# --- No process is left behind -------------------------------------------------------------------

IN_THE_MIDDLE = """
from bankkit.lab.faults.rig import FaultRig
with FaultRig("redis-read-write") as stage:
    first, second = stage.servers
    first.hold_up()
    stage.deposit("client 1", first)
    first.wait_for("read", "client 1")
    first.pause()
    print("in the middle", flush=True)
    stage.deposit("client 2", second).result()
    {end}
"""


@pytest.fixture
def in_the_middle() -> Iterator[Callable[[str], Any]]:
    with home() as place:

        def run(end: str) -> Any:
            child = Child([sys.executable, "-c", IN_THE_MIDDLE.format(end=end)], place.environ)
            child.line_starting("in the middle")
            return place, child

        yield run


@needs_proc
@pytest.mark.parametrize("end", ["killed", "raises"])
def test_nothing_outlives_the_process_that_started_it(
    in_the_middle: Callable[[str], Any], end: str
) -> None:
    """This includes a paused server with a delayed call."""
    place, child = in_the_middle("1 / 0" if end == "raises" else "while True: pass")
    with child:
        if end == "killed":
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        else:
            assert child.wait() == 1
            assert "ZeroDivisionError" in child.errors()
        eventually(place.is_empty, 30)


def test_a_server_that_cannot_start_says_why() -> None:
    from bankkit.lab.faults.server_processes import FaultyServer
    from bankkit.supervisor.supervised import NotRunning, Supervisor

    with Supervisor() as supervisor:
        nowhere = "unix:///nowhere/redis.sock"
        server = FaultyServer("server 1", supervisor, nowhere, ["bank", "redis-read-write", "0.5"])
        with pytest.raises(NotRunning, match="server 1 is not running: exit code 1"):
            server.wait_for("started")
        server.close()
