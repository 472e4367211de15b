"""Lost updates: which update was lost, which write overwrote it, and how much money was lost."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bankkit import Bank, lab
from bankkit.lab.recording.events import RecordedEvent
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import BEFORE, dollars, lost_updates, writes

Step = tuple[str, str]  # a client, and "read" or "commit"


def played(schedule: Iterable[Step], amount: int = 100, start: int = 0) -> tuple[History, int]:
    """The history of a schedule in which each client deposits once, and the final balance."""
    events: list[RecordedEvent] = []
    balance, at = start, 0
    seen: dict[str, int] = {}
    for client, step in schedule:
        call = f"{client}#1"
        if step == "read":
            seen[client] = balance
            events.append(RecordedEvent(at, call, "sent", "alice", None, "Deposit"))
            events.append(RecordedEvent(at + 1, call, "reading", "alice"))
            events.append(RecordedEvent(at + 2, call, "read", "alice", balance))
        else:
            balance = seen[client] + amount
            events.append(RecordedEvent(at + 1, call, "committing", "alice", balance, "commit"))
            events.append(RecordedEvent(at + 2, call, "committed", "alice", balance, "commit"))
        at += 10
    return History(events), balance


def steps(text: str) -> list[Step]:
    """The steps of a schedule: `Ra` is the read of client a, `Ca` its commit."""
    return [(word[1:], "read" if word[0] == "R" else "commit") for word in text.split()]


def pairs(history: History) -> list[tuple[str, str]]:
    """The client of each lost update, and the client that overwrote it."""
    return [(each.lost.client, each.by.client) for each in lost_updates(history, "alice")]


@pytest.mark.parametrize(
    ("final", "lost"),
    [
        (200, [("c", "b")]),
        (100, [("a", "c"), ("b", "c")]),
    ],
)
def test_the_final_balance_says_which_of_two_overlapping_writes_was_last(
    final: int, lost: list[tuple[str, str]]
) -> None:
    """b has read a's balance, c the one before; their commits overlap."""
    history, _ = played(steps("Rc Ra Ca Rb"))
    commits: list[RecordedEvent] = []
    for client, value, start, end in (("b", 200, 50, 53), ("c", 100, 51, 52)):
        call = f"{client}#1"
        commits.append(RecordedEvent(start, call, "committing", "alice", value, "commit"))
        commits.append(RecordedEvent(end, call, "committed", "alice", value, "commit"))
    whole = History([*history.events, *commits]).with_final("alice", final)
    assert pairs(whole) == lost
    assert sum(each.cents for each in lost_updates(whole, "alice")) == 300 - final
    impossible = whole.with_final("alice", 300)
    with pytest.raises(ValueError, match="something that was not recorded"):
        lost_updates(impossible, "alice")


@pytest.mark.parametrize(
    ("schedule", "lost"),
    [
        ("Ra Ca Rb Cb", []),
        ("Ra Rb Ca Cb", [("a", "b")]),
        ("Ra Rb Cb Ca", [("b", "a")]),
        ("Ra Rb Rc Ca Cb Cc", [("a", "b"), ("b", "c")]),
        # c has read the balance that a wrote, so its write restores a's deposit and loses b's.
        ("Ra Rb Ca Rc Cb Cc", [("b", "c")]),
        # b's balance contains a's deposit; c overwrites both.
        ("Rc Ra Ca Rb Cb Cc", [("a", "c"), ("b", "c")]),
    ],
)
def test_each_lost_update_names_both_clients(schedule: str, lost: list[tuple[str, str]]) -> None:
    history, balance = played(steps(schedule))
    assert pairs(history) == lost
    made = sum(step == "commit" for _, step in steps(schedule)) * 100
    assert sum(each.cents for each in lost_updates(history, "alice")) == made - balance


def test_a_lost_update_prints_as_a_sentence() -> None:
    history, _ = played(steps("Ra Rb Ca Cb"), amount=100_00, start=200_00)
    (found,) = lost_updates(history, "alice")
    assert str(found) == "b read $200, a wrote $300, b wrote $300 over it"
    history, _ = played(steps("Rc Ra Ca Rb Cb Cc"), amount=50)
    assert str(lost_updates(history, "alice")[0]) == "c read $0, b wrote $1, c wrote $0.50 over it"


def test_dollars() -> None:
    assert [dollars(cents) for cents in (0, 5, 20000, -5, 123450, -120000)] == [
        *("$0", "$0.05", "$200", "-$0.05", "$1,234.50", "-$1,200"),
    ]


@settings(deadline=None)
@given(st.data(), st.integers(2, 7))
def test_the_lost_money_adds_up_in_every_schedule(data: Any, clients: int) -> None:
    waiting = {f"c{n}": ["read", "commit"] for n in range(clients)}
    schedule: list[Step] = []
    while waiting:
        client = data.draw(st.sampled_from(sorted(waiting)))
        schedule.append((client, waiting[client].pop(0)))
        if not waiting[client]:
            del waiting[client]
    history, balance = played(schedule)
    found = lost_updates(history, "alice")
    assert sum(each.cents for each in found) == clients * 100 - balance
    order = [client for client, step in schedule if step == "commit"]
    assert [write.client for write in writes(history, "alice")] == order
    for each in found:
        read = schedule.index((each.by.client, "read"))
        overwritten = schedule.index((each.overwritten.client, "commit"))
        commit = schedule.index((each.by.client, "commit"))
        assert read < overwritten < commit, "the overwriting call reads before and writes after"
        assert each.by.read + 100 == each.by.wrote


def test_a_change_with_unknown_outcome_counts_only_if_it_was_seen() -> None:
    events = [
        RecordedEvent(1, "a#1", "reading", "alice"),
        RecordedEvent(2, "a#1", "read", "alice", 0),
        RecordedEvent(3, "a#1", "committing", "alice", 100, "commit"),
        RecordedEvent(9, "a#1", "failed", "alice", None, "STORE_UNAVAILABLE"),
        RecordedEvent(10, "b#1", "reading", "alice"),
    ]
    unseen = History([*events, RecordedEvent(11, "b#1", "read", "alice", 0)])
    assert writes(unseen, "alice") == ()
    seen = History([*events, RecordedEvent(11, "b#1", "read", "alice", 100)])
    assert [write.wrote for write in writes(seen, "alice")] == [100]


def test_a_change_that_was_refused_does_not_count() -> None:
    events = [
        RecordedEvent(1, "a#1", "committing", "alice", 100, "commit"),
        RecordedEvent(2, "a#1", "failed", "alice", None, "WriteConflict"),
        RecordedEvent(3, "b#1", "committing", "alice", -100, "add"),
        RecordedEvent(4, "b#1", "failed", "alice", None, "OutOfBounds"),
    ]
    assert writes(History(events), "alice") == ()


def test_a_change_that_was_not_recorded_is_reported() -> None:
    history, _ = played(steps("Ra Ca"))
    later = [
        RecordedEvent(100, "b#1", "reading", "alice"),
        RecordedEvent(101, "b#1", "read", "alice", 7),
    ]
    with pytest.raises(ValueError, match="alice was also changed by something that was not"):
        writes(History([*history.events, *later]), "alice")


def test_every_kind_of_change_is_understood() -> None:
    for concurrency in ("read-write", "atomic"):
        with Bank(concurrency, redis="private") as bank, lab.record(bank) as recording:
            client = bank.client
            client.create_account("alice")
            client.deposit("alice", 100, request_id="one")
            client.deposit("alice", 100, request_id="one")  # a retry
            client.calculate_interest("alice", 5)
            client.withdraw("alice", 50)
        order = writes(recording.history, "alice")
        assert [(write.method, write.read, write.wrote) for write in order[1:]] == [
            ("Deposit", 0, 100_00),
            ("CalculateInterest", 100_00, 105_00),
            ("Withdraw", 105_00, 55_00),
        ], concurrency
        assert order[0].based_on == BEFORE
        assert [write.based_on for write in order] == [-1, 0, 1, 2]
        assert lost_updates(recording.history, "alice") == ()
