"""Exports of a recording: a trace that follows the rules of its format, and a table."""

import csv
import io
import json
import math
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bankkit import Bank, lab
from bankkit.lab.recording.events import RecordedEvent
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import lost_updates
from bankkit.pb import bank_pb2
from tests.support.histories import killed, paused
from tests.support.waiting import eventually

ALICE = bank_pb2.AccountRequest(account_id="alice")
DEPOSIT = bank_pb2.DepositRequest(account_id="alice", amount=100)

REQUIRED = {
    "X": {"name", "cat", "ts", "dur", "pid", "tid"},
    "b": {"name", "cat", "id", "ts", "pid", "tid"},
    "e": {"name", "cat", "id", "ts", "pid", "tid"},
    "s": {"name", "cat", "id", "ts", "pid", "tid"},
    "f": {"name", "cat", "id", "ts", "pid", "tid", "bp"},
    "i": {"name", "ts", "pid", "tid", "s"},
    "C": {"name", "ts", "pid", "args"},
    "M": {"name", "pid", "args"},
}
"""The phases in use, and the keys that each must have."""

METADATA = {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}


def rules_broken(trace: Any) -> list[str]:
    """The violations of the trace event format, one sentence each."""
    broken = []
    events = json.loads(json.dumps(trace, allow_nan=False))["traceEvents"]
    named = {
        (event["name"], event["pid"], event["tid"] if "thread" in event["name"] else None)
        for event in events
        if event["ph"] == "M" and "name" in event["args"]
    }
    slices = defaultdict(list)
    for event in events:
        phase = event["ph"]
        if phase not in REQUIRED:
            broken.append(f"no phase {phase}")
            continue
        if missing := REQUIRED[phase] - event.keys():
            broken.append(f"{phase} without {missing}")
            continue
        if phase == "M":
            if event["name"] not in METADATA:
                broken.append(f"no metadata {event['name']}")
            continue
        if type(event["pid"]) is not int or type(event.get("tid", 0)) is not int:
            broken.append("a process or thread is not a number")
        if ("process_name", event["pid"], None) not in named:
            broken.append(f"process {event['pid']} has no name")
        if phase in "Xsf" and ("thread_name", event["pid"], event["tid"]) not in named:
            broken.append(f"thread {event['tid']} has no name")
        if not (math.isfinite(event["ts"]) and event["ts"] >= 0):
            broken.append(f"time {event['ts']}")
        if phase == "X":
            if not (math.isfinite(event["dur"]) and event["dur"] >= 0):
                broken.append(f"duration {event['dur']}")
            slices[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        if phase == "i" and event["s"] not in "gpt":
            broken.append(f"instant scope {event['s']}")
        if phase == "C" and not all(map(math.isfinite, event["args"].values())):
            broken.append("a counter without a finite value")
    for thread, its in slices.items():
        broken += [f"slices of thread {thread} cross" for _ in crossing(its)]
    for kinds in ("be", "sf"):
        broken += unmatched(events, *kinds)
    for event in events:
        if event["ph"] in "sf" and not any(
            start <= event["ts"] <= end for start, end in slices[event["pid"], event["tid"]]
        ):
            broken.append(f"flow {event['id']} binds to no slice")
    return broken


def crossing(slices: list[tuple[float, float]]) -> list[float]:
    """The starts of slices that end after the slice in which they began."""
    found: list[float] = []
    around: list[float] = []
    for start, end in sorted(slices, key=lambda each: (each[0], -each[1])):
        while around and around[-1] <= start + 1e-6:
            around.pop()
        if around and end > around[-1] + 1e-6:
            found.append(start)
        around.append(end)
    return found


def unmatched(events: list[Any], first: str, last: str) -> list[str]:
    """Beginnings and ends that have no partner of the same category, id and scope."""
    pairs = defaultdict(list)
    for event in events:
        if event["ph"] in (first, last):
            key = (event["cat"], event["id"], event.get("scope"), event["pid"])
            pairs[key].append((event["ts"], event["ph"]))
    return [
        f"{first} and {last} of {key} do not match"
        for key, its in pairs.items()
        if [phase for _, phase in sorted(its, key=lambda each: each[0])] != [first, last]
    ]


@pytest.fixture(scope="module")
def forced() -> History:
    """Two deposits that both read before either writes."""
    both = threading.Barrier(2)
    with Bank("none") as bank:
        bank.client.create_account("alice")
        with lab.record(bank) as recording, lab.after_read(bank, lambda _: both.wait(30)):
            calls = [recording.stub_for(f"client {n}").Deposit.future(DEPOSIT) for n in (1, 2)]
            assert all(call.result(timeout=30) for call in calls)
    return recording.history


@pytest.fixture(scope="module")
def mixed() -> History:
    """Readers and writers that wait for one another, and a client with concurrent calls."""
    with Bank("read-write") as bank:
        bank.client.create_account("alice")
        bank.client.create_account("bob")
        with lab.record(bank) as recording, ThreadPoolExecutor(4) as pool:
            busy = recording.stub_for("busy")
            with bank.server.teller.locks.write("alice"):
                calls = [busy.GetBalance.future(ALICE) for _ in range(3)]
                calls += [
                    recording.stub_for(f"writer {n}").Deposit.future(DEPOSIT) for n in range(3)
                ]
                eventually(lambda: waiting(bank) == 6)
            assert all(call.result(timeout=30) for call in calls)
            list(pool.map(lambda _: busy.Deposit(DEPOSIT), range(8)))
            recording.stub.GetBalance(bank_pb2.AccountRequest(account_id="bob"))
    return recording.history


def waiting(bank: Bank) -> int:
    """The number of calls that wait for the lock of alice's account."""
    found = bank.server.teller.locks.statistics("alice")
    return (found.waiting_readers or 0) + (found.waiting_writers or 0) if found else 0


def of(trace: Any, phase: str) -> list[Any]:
    """The events of a trace that have this phase."""
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


@pytest.mark.parametrize("which", ["forced", "mixed"])
def test_a_trace_follows_its_format(which: str, request: pytest.FixtureRequest) -> None:
    history = request.getfixturevalue(which)
    trace = lab.chrome_trace(history)
    assert rules_broken(trace) == []
    names = [event["args"].get("name") for event in of(trace, "M")]
    assert {"clients", *history.clients, *history.accounts} <= set(names)
    slices = of(trace, "X")
    assert len(slices) == len(history.calls) + len(history.spans)
    assert len(of(trace, "s")) == len(history.wake_ups)
    holds = [span for span in history.spans if span.kind != "waiting"]
    assert len(of(trace, "b")) == len(holds)
    first = min(event["ts"] for event in slices)
    assert first == 0
    call = history.calls[0]
    drawn = next(e for e in slices if e["cat"] == "call" and e["args"]["call"] == call.id)
    assert drawn["name"] == call.method
    assert drawn["dur"] == (call.events[-1].at - call.events[0].at) / 1e3


def test_concurrent_calls_get_a_thread_each(mixed: History) -> None:
    names = {event["args"].get("name") for event in of(lab.chrome_trace(mixed), "M")}
    assert {"busy", "busy (2)", "busy (3)"} <= names
    assert mixed.wake_ups, "without wake-ups, arrows are not tested"


def test_a_lost_update_and_the_balance_are_in_the_trace(forced: History) -> None:
    trace = lab.chrome_trace(forced)
    counted = [event["args"] for event in of(trace, "C")]
    assert counted == [
        {"actual": 0, "expected": 0},
        {"actual": 100, "expected": 100},
        {"actual": 100, "expected": 200},
    ]
    (lost,) = lost_updates(forced, "alice")
    (told,) = [event for event in of(trace, "i") if event["s"] == "p"]
    assert told["name"] == f"lost update: {lost}"
    assert told["args"] == {"lost": lost.lost.call, "by": lost.by.call, "cents": 10_000}


@pytest.mark.parametrize(
    ("phase", "field", "value", "complaint"),
    [
        ("X", "dur", -1, "duration -1"),
        ("X", "ts", -0.5, "time -0.5"),
        ("X", "tid", 99, "thread 99 has no name"),
        ("X", "ph", "Z", "no phase Z"),
        ("b", "id", 10**6, "do not match"),
        ("s", "ts", 10**9, "binds to no slice"),
        ("i", "s", "x", "instant scope x"),
        ("C", "pid", 77, "process 77 has no name"),
        ("M", "name", "colour", "no metadata colour"),
    ],
)
def test_a_broken_rule_is_found(
    mixed: History, phase: str, field: str, value: object, complaint: str
) -> None:
    trace = lab.chrome_trace(mixed)
    of(trace, phase)[0][field] = value
    assert any(complaint in each for each in rules_broken(trace))


def test_slices_that_cross_are_found() -> None:
    assert crossing([(0, 10), (0, 4), (4, 10), (12, 13)]) == []
    assert crossing([(0, 10), (5, 11)]) == [5]


@pytest.mark.parametrize("history", [killed(), paused(fencing=True), paused(fencing=False)])
def test_servers_that_fail_are_in_the_trace(history: History) -> None:
    trace = lab.chrome_trace(history)
    assert rules_broken(trace) == []
    names = [event["args"].get("name") for event in of(trace, "M")]
    assert {"servers", *history.servers} <= set(names)
    told = {event["name"] for event in of(trace, "i")}
    assert {event.kind for event in history.events if event.call == ""} <= told
    assert "lease ran out" in told
    assert ("failed: LOCK_LOST" in told) == ("LOCK_LOST" in {call.reason for call in history.calls})
    calls = {e["args"]["call"]: e["args"]["server"] for e in of(trace, "X") if e["cat"] == "call"}
    assert calls == {"client 1#1": "server 1", "client 2#2": "server 2"}
    held = {event["name"] for event in of(trace, "b")}
    assert {"client 1 writes", "client 1 holds it, halted", "client 2 writes"} <= held


def test_an_empty_recording_is_an_empty_trace() -> None:
    trace = lab.chrome_trace(History([]))
    assert rules_broken(trace) == []
    assert of(trace, "X") == []


def test_a_call_that_has_not_ended_lasts_to_the_last_event() -> None:
    history = History(
        [
            RecordedEvent(1000, "a#1", "asked", "alice", None, "write"),
            RecordedEvent(2000, "a#1", "granted", "alice", None, "write"),
            RecordedEvent(3000, "b#2", "asked", "alice", None, "write"),
            RecordedEvent(9000, "c#3", "sent", "alice", None, "Deposit"),
        ]
    )
    trace = lab.chrome_trace(history)
    assert rules_broken(trace) == []
    ends = {event["args"].get("call"): event["ts"] + event["dur"] for event in of(trace, "X")}
    assert ends["a#1"] == ends["b#2"] == 8


def test_a_trace_is_written_to_a_file(forced: History, tmp_path: Path) -> None:
    trace = lab.chrome_trace(forced, tmp_path / "race.json")
    assert json.loads((tmp_path / "race.json").read_text()) == trace


# --- The table -----------------------------------------------------------------------------------


def test_a_table_comes_back_as_the_same_history(mixed: History, tmp_path: Path) -> None:
    path = tmp_path / "race.csv"
    for history in (mixed, paused(fencing=True)):
        lab.to_csv(history, path)
        with path.open(newline="") as file:
            again = History.from_rows(csv.DictReader(file))
        assert again.events == history.events
        assert again.rows() == history.rows()
        assert again.spans == history.spans
        assert again.server_spans == history.server_spans


def test_reasons_of_refusals_and_odd_names_survive_the_table() -> None:
    odd = 'a "b", c'
    history = History(
        [RecordedEvent(5, f"{odd}#1", "sent", "alice", None, "Deposit")], {f"{odd}#1": "NO"}
    )
    file = io.StringIO(newline="")
    lab.to_csv(history, file)
    file.seek(0)
    again = History.from_rows(csv.DictReader(file))
    assert again.calls == history.calls
    assert again.calls[0].reason == "NO"


def test_the_table_is_in_order_of_time(mixed: History) -> None:
    file = io.StringIO(newline="")
    lab.to_csv(mixed, file)
    file.seek(0)
    times = [int(row["at"]) for row in csv.DictReader(file)]
    assert all(one <= other for one, other in pairwise(times))
