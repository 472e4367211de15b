"""Histories: waits and holds follow from the events, and tables and merges keep every event."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import grpc
import pytest

from bankkit import Bank, lab
from bankkit.lab.recording.events import EventKind, RecordedEvent
from bankkit.lab.recording.history import History
from bankkit.lab.recording.spans import Span, WakeUp
from bankkit.pb import bank_pb2, bank_pb2_grpc
from tests.support.histories import MS, killed, paused


def hold(call: str, mode: str, asked: int, granted: int, released: int) -> list[RecordedEvent]:
    """The events of a call that holds alice's lock; times in nanoseconds."""
    kinds: list[tuple[EventKind, int]] = [
        *(("asked", asked), ("granted", granted), ("released", released)),
    ]
    return [RecordedEvent(at, call, kind, "alice", None, mode) for kind, at in kinds]


def waits(*holds: list[RecordedEvent]) -> dict[str, tuple[tuple[str, ...], str]]:
    """For each call that waited: the calls that held the lock, and the call that woke it."""
    history = History([event for each in holds for event in each])
    return {
        span.call: (span.held_by, span.woken_by) for span in history.spans if span.kind == "waiting"
    }


def test_a_writer_waits_for_all_readers_and_is_woken_by_the_last() -> None:
    assert waits(
        hold("a#1", "read", 0, 1, 10),
        hold("b#2", "read", 2, 3, 20),
        hold("c#3", "write", 4, 21, 30),
    ) == {"a#1": ((), ""), "b#2": ((), ""), "c#3": (("a#1", "b#2"), "b#2")}


def test_readers_that_a_writer_lets_in_were_all_woken_by_it() -> None:
    found = waits(
        hold("w#1", "write", 0, 1, 10),
        hold("a#2", "read", 2, 11, 13),  # this hold ends before b runs again
        hold("b#3", "read", 3, 14, 20),
        hold("c#4", "read", 4, 12, 20),
    )
    assert {found[call] for call in ("a#2", "b#3", "c#4")} == {(("w#1",), "w#1")}


def test_under_a_mutex_a_reader_waits_for_a_reader() -> None:
    assert waits(hold("a#1", "read", 0, 1, 10), hold("b#2", "read", 2, 11, 20))["b#2"] == (
        *(("a#1",), "a#1"),
    )


def test_a_call_that_gave_up_was_woken_by_nobody() -> None:
    history = History(
        [
            *hold("a#1", "write", 0, 1, 10),
            RecordedEvent(2, "b#2", "asked", "alice", None, "write"),
            RecordedEvent(12, "b#2", "timeout", "alice", None, "write"),
        ]
    )
    assert Span("b#2", "b", "alice", "waiting", "write", 2, 12, ("a#1",), "") in history.spans
    assert history.wake_ups == ()


def test_without_mutual_exclusion_nobody_waits() -> None:
    assert waits(hold("a#1", "write", 0, 1, 10), hold("b#2", "write", 2, 3, 9))["b#2"] == ((), "")


def test_a_wake_up_joins_a_release_and_a_grant() -> None:
    history = History([*hold("a#1", "write", 0, 1, 10), *hold("b#2", "write", 2, 12, 20)])
    assert history.wake_ups == (WakeUp("alice", "a#1", 10, "b#2", 12),)


def test_accounts_do_not_wait_for_each_other() -> None:
    other = [
        RecordedEvent(e.at, e.call, e.kind, "bob", None, e.note)
        for e in hold("b#2", "write", 2, 3, 9)
    ]
    history = History([*hold("a#1", "write", 0, 1, 10), *other])
    assert all(span.held_by == () for span in history.spans)
    assert history.accounts == ("alice", "bob")
    assert history.peak_readers() == 0


def test_clients_come_in_the_order_of_their_numbers() -> None:
    events = [RecordedEvent(n, f"client {n}#1", "sent") for n in (10, 2, 1)]
    assert History(events).clients == ("client 1", "client 2", "client 10")


# --- Servers that fail ----------------------------------------------------------------------------


def stretches(history: History, call: str) -> list[tuple[str, int, int]]:
    """The kind, start and end of a call's spans, in milliseconds."""
    return [
        (span.kind, span.start // MS, span.end // MS) for span in history.spans if span.call == call
    ]


def test_a_killed_server_keeps_its_lock_until_the_lease_runs_out() -> None:
    history = killed()
    assert stretches(history, "client 1#1") == [
        *(("waiting", 0, 1), ("writing", 1, 60), ("halted", 60, 500)),
    ]
    (wait,) = [s for s in history.spans if s.kind == "waiting" and s.client == "client 2"]
    assert (wait.held_by, wait.woken_by) == (("client 1#1",), "client 1#1")
    assert history.wake_ups == (
        WakeUp("alice", "client 1#1", 500 * MS, "client 2#2", 510 * MS),
    )  # fmt: skip


def test_a_lock_inside_a_killed_server_is_gone_with_it() -> None:
    history = History([event for event in killed().events if event.kind != "expired"])
    assert stretches(history, "client 1#1") == [("waiting", 0, 1), ("writing", 1, 60)]


def test_a_paused_server_continues_as_if_it_still_held_the_lock() -> None:
    assert stretches(paused(fencing=True), "client 1#1") == [
        *(("waiting", 0, 1), ("writing", 1, 60), ("halted", 60, 500), ("stale", 700, 742)),
    ]
    early = History([e for e in paused(fencing=True).events if e.kind != "expired"])
    assert stretches(early, "client 1#1") == [
        *(("waiting", 0, 1), ("writing", 1, 60), ("halted", 60, 700), ("writing", 700, 742)),
    ]


def test_a_release_that_does_not_reach_redis_keeps_others_out() -> None:
    history = History(
        [
            *hold("a#1", "write", 0, 1, 10),
            RecordedEvent(50, "a#1", "expired", "alice", None, "write"),
            *hold("b#2", "write", 20, 51, 60),
        ]
    )
    assert [(s.kind, s.start, s.end) for s in history.spans if s.call == "a#1"] == [
        *(("waiting", 0, 1), ("writing", 1, 10), ("halted", 10, 50)),
    ]
    assert history.wake_ups == (WakeUp("alice", "a#1", 50, "b#2", 51),)


def test_a_wait_ends_when_redis_fails() -> None:
    history = History(
        [
            RecordedEvent(0, "a#1", "asked", "alice", None, "write"),
            RecordedEvent(5, "a#1", "failed", "alice", None, "STORE_UNAVAILABLE"),
            RecordedEvent(9, "b#2", "sent"),
        ]
    )
    assert [(span.kind, span.end) for span in history.spans] == [("waiting", 5)]


def test_a_call_does_not_wait_for_a_separate_lock_in_another_server() -> None:
    """Two calls hold "the" lock at once, in two servers; a third waits for the one in its own."""

    def at(server: str, events: list[RecordedEvent]) -> list[RecordedEvent]:
        return [replace(event, server=server) for event in events]

    found = waits(
        at("server 1", hold("a#1", "write", 0, 1, 20)),
        at("server 2", hold("b#2", "write", 2, 3, 25)),
        at("server 1", hold("c#3", "write", 4, 21, 30)),
    )
    assert found["c#3"] == (("a#1",), "a#1")


def test_servers_have_states_and_are_not_calls() -> None:
    history = killed()
    assert history.servers == ("server 1", "server 2")
    assert history.clients == ("client 1", "client 2")
    names = [f"server {n}" for n in (10, 2)]
    events = [
        RecordedEvent(n, "", "killed", server=name) for n, name in enumerate(["Redis", *names])
    ]
    assert History(events).servers == ("server 2", "server 10", "Redis")
    assert History(events).calls == ()
    assert History([]).server_spans == ()


@pytest.mark.parametrize("history", [killed(), paused(fencing=True)])
def test_a_table_of_servers_and_back(history: History) -> None:
    again = History.from_rows(json.loads(json.dumps(history.rows())))
    assert again.events == history.events
    assert again.spans == history.spans
    assert again.server_spans == history.server_spans


def test_a_table_from_before_there_were_servers() -> None:
    history = History(hold("a#1", "read", 0, 1, 2))
    rows = [{k: v for k, v in row.items() if k != "server"} for row in history.rows()]
    assert History.from_rows(rows).events == history.events


def recorded() -> History:
    """The history of a new account, a deposit and a refused withdrawal."""
    with Bank() as bank, lab.record(bank) as recording:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 2.5)
        with pytest.raises(grpc.RpcError):
            recording.stub.Withdraw(bank_pb2.WithdrawRequest(account_id="alice", amount=10))
    return recording.history


@pytest.mark.parametrize("through", ["dicts", "json", "csv"])
def test_a_table_and_back(through: str) -> None:
    history = recorded()
    rows: list[dict[str, Any]] = history.rows()
    if through == "json":
        rows = json.loads(json.dumps(rows))
    elif through == "csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    again = History.from_rows(rows)
    assert again.events == history.events
    assert again.calls == history.calls
    assert "INSUFFICIENT_FUNDS" in {call.reason for call in again.calls}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "slept"}, "'slept' is not a kind of event"),
        ({"at": "soon"}, "invalid literal"),
        ({"value": "much"}, "invalid literal"),
        ({"at": None}, "int"),
    ],
)
def test_a_row_that_is_not_an_event(change: dict[str, Any], words: str) -> None:
    rows = History(hold("a#1", "read", 0, 1, 2)).rows()
    with pytest.raises(ValueError, match=f"^Row 2 is not an event: .*{words}"):
        History.from_rows([rows[0], rows[1] | change])
    with pytest.raises(ValueError, match=r"^Row 1 is not an event: it has no 'value'\."):
        History.from_rows([{"kind": "sent"}])


SERVER = """
import json, sys
from bankkit import Bank, lab
with Bank() as bank:
    bank.client.create_account("alice")
    with lab.record(bank) as recording:
        print(bank.address, flush=True)
        sys.stdin.readline()
    print(json.dumps(recording.history.rows()))
"""


def test_recordings_of_two_processes_become_one_history() -> None:
    """The processes of the client and the server read the same clock."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    address = server.stdout.readline().strip()
    with Bank() as mine, lab.record(mine) as recording, grpc.insecure_channel(address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(recording.channel("far", over=channel))
        stub.Deposit(bank_pb2.DepositRequest(account_id="alice", amount=1))
    rows, _ = server.communicate("stop\n", timeout=30)
    whole = History.merge(recording.history, History.from_rows(json.loads(rows)))
    (call,) = [call for call in whole.calls if call.client == "far"]
    assert [event.kind for event in call.events] == [
        *("sent", "encoded", "arrived", "began", "asked", "granted", "reading", "read"),
        *("committing", "committed", "released", "replied", "received"),
    ]
