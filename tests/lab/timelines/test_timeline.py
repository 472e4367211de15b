"""The timeline: true to the recording, readable from 2 to 40 lanes, and it names its gaps."""

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text

from bankkit import Bank, lab
from bankkit.lab.drawing import style
from bankkit.lab.drawing.figures import Picture
from bankkit.lab.recording.events import RecordedEvent
from bankkit.lab.recording.history import History
from bankkit.lab.timelines import figure
from bankkit.lab.timelines.lanes import Lanes
from bankkit.lab.timelines.layout import MAX_LANES, lanes_of
from bankkit.lab.timelines.narration import finding, in_words
from bankkit.lab.timelines.scene import scene
from bankkit.lab.timelines.widget import TimelineWidget
from bankkit.pb import bank_pb2
from tests.lab.drawing.test_accessibility import foreign_colours
from tests.support import pictures
from tests.support.histories import crowded, killed, paused
from tests.support.waiting import eventually

ALICE = bank_pb2.AccountRequest(account_id="alice")
DEPOSIT = bank_pb2.DepositRequest(account_id="alice", amount=100)
WITHDRAW = bank_pb2.WithdrawRequest(account_id="alice", amount=150)


def forced(clients: int = 2, withdraw: bool = False) -> tuple[History, int]:
    """A race in which all clients read $200 before any writes, and the final balance in cents."""
    everybody = threading.Barrier(clients)
    with Bank("none") as bank:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 200)
        with lab.record(bank) as recording, lab.after_read(bank, lambda _: everybody.wait(30)):
            stubs = [recording.stub_for(f"client {n}") for n in range(1, clients + 1)]
            calls = [
                stub.Withdraw.future(WITHDRAW) if withdraw else stub.Deposit.future(DEPOSIT)
                for stub in stubs
            ]
            assert all(call.result(timeout=30) for call in calls)
        return recording.history, int(bank.client.get_balance("alice").balance * 100)


@cache
def two() -> tuple[History, int]:
    """`forced` with two clients, recorded once."""
    return forced()


@cache
def mixed() -> History:
    """Three writers and three readers under a read–write lock; all wait for one another."""
    with Bank("read-write") as bank:
        bank.client.create_account("alice")

        def work(number: int) -> None:
            stub = recording.stub_for(f"client {number}")
            for _ in range(3):
                stub.Deposit(DEPOSIT) if number <= 3 else stub.GetBalance(ALICE)

        with (
            lab.record(bank) as recording,
            lab.after_read(bank, lambda _: time.sleep(0.002)),
            ThreadPoolExecutor(6) as pool,
        ):
            list(pool.map(work, range(1, 7)))
    return recording.history


@cache
def side_by_side() -> History:
    """One client with three concurrent calls, and a caller that was not recorded."""
    with Bank("mutex") as bank:
        bank.client.create_account("alice")
        with lab.record(bank) as recording:
            with bank.server.teller.locks.write("alice"):
                stub = recording.stub_for("a client with a very long name")
                calls = [stub.Deposit.future(DEPOSIT) for _ in range(3)]
                calls.append(bank.stub.GetBalance.future(ALICE))
                eventually(lambda: [e.kind for e in recording.events].count("asked") == 4)
            assert all(call.result(timeout=30) for call in calls)
    return recording.history


# --- The content of a timeline -------------------------------------------------------------------


def test_a_lost_update() -> None:
    history, balance = two()
    lanes = lanes_of(history)
    assert (lanes.account, lanes.clients, lanes.rows) == ("alice", ("client 1", "client 2"), (1, 1))
    (lost,) = lanes.lost
    assert [(step.actual, step.expected) for step in lanes.steps] == [
        (20_000, 20_000),
        (30_000, 30_000),
        (30_000, 40_000),
    ]
    assert lanes.steps[-1].actual == balance
    assert lanes.missing == 10_000
    assert finding(lanes) == f"$100 lost: {lost.by.client} wrote over {lost.lost.client}"
    told = [(moment.kind, moment.cents) for moment in lanes.moments]
    assert told == [("read", 20_000), ("read", 20_000), ("commit", 30_000), ("commit", 30_000)]
    assert lanes.moments[-1].call == lost.by.call
    for bar in lanes.bars:
        assert lanes.clients[bar.lane] == bar.span.client
        assert lanes.start <= bar.span.start <= bar.span.end <= lanes.end


def test_the_line_in_words_is_the_same_in_every_run() -> None:
    again, _ = forced()
    line = in_words(lanes_of(again))
    assert line == in_words(lanes_of(two()[0]))
    assert line == (
        "2 clients, one lane each, on the account alice; an update was lost, so the balance below "
        "parts from the expected one."
    )


def test_nothing_lost() -> None:
    lanes = lanes_of(mixed())
    assert lanes.lost == ()
    assert all(step.actual == step.expected for step in lanes.steps)
    assert finding(lanes) == "Nobody lost a cent: 9 writes, and each is in the balance"
    assert "no update was lost" in in_words(lanes)
    assert len(lanes.wake_ups) == len(mixed().wake_ups) > 0
    assert len(lanes.moments) == 2 * 9 + 9


def test_withdrawals_that_are_lost_leave_too_much() -> None:
    history, balance = forced(3, withdraw=True)
    lanes = lanes_of(history)
    assert lanes.missing == -30_000
    assert lanes.steps[-1].actual == balance == 5_000
    assert finding(lanes) == "$300 too much: 2 of 3 writes were written over"


def test_calls_side_by_side_get_a_row_each() -> None:
    lanes = lanes_of(side_by_side())
    assert lanes.clients == ("a client with a very long name", "somebody")
    assert lanes.rows == (3, 1)
    for one in lanes.bars:
        for other in lanes.bars:
            if one.span.call != other.span.call and (one.lane, one.row) == (other.lane, other.row):
                apart = one.span.end <= other.span.start or other.span.end <= one.span.start
                assert apart


def test_a_change_without_a_lock_is_a_write_as_well() -> None:
    with Bank("atomic") as bank:
        bank.client.create_account("alice")
        with lab.record(bank) as recording:
            recording.stub.Deposit(DEPOSIT)
    (bar,) = lanes_of(recording.history).bars
    assert (bar.span.kind, bar.method) == ("writing", "Deposit")
    assert [step.actual for step in lanes_of(recording.history).steps] == [0, 10_000]


def test_of_several_accounts_one_is_chosen() -> None:
    with Bank() as bank:
        for name in ("alice", "bob"):
            bank.client.create_account(name)
        with lab.record(bank) as recording:
            for name in ("alice", "bob"):
                recording.stub.GetBalance(bank_pb2.AccountRequest(account_id=name))
    with pytest.raises(ValueError, match="Choose one of the accounts: alice, bob"):
        lab.timeline(recording)
    assert lab.timeline(recording, "bob").lanes.account == "bob"
    assert finding(lanes_of(recording.history, "bob")) == "Nobody wrote, so nothing could get lost"
    with pytest.raises(ValueError, match=r"Nobody took a lock of carol .* accounts: alice, bob"):
        lab.timeline(recording, "carol")
    with pytest.raises(ValueError, match="Nobody took a lock or changed an account"):
        lab.timeline(History([]))


def test_a_change_that_was_not_recorded_only_makes_the_balance_unknown() -> None:
    history = History(
        [
            event
            for number, balance in ((1, 100), (2, 7_777))
            for event in (
                RecordedEvent(1000 * number, f"a#{number}", "asked", "alice", None, "read"),
                RecordedEvent(1000 * number + 100, f"a#{number}", "granted", "alice", None, "read"),
                RecordedEvent(1000 * number + 200, f"a#{number}", "reading", "alice"),
                RecordedEvent(1000 * number + 300, f"a#{number}", "read", "alice", balance),
                RecordedEvent(
                    1000 * number + 400, f"a#{number}", "released", "alice", None, "read"
                ),
            )
        ]
    )
    lanes = lanes_of(history)
    assert len(lanes.bars) == 4
    assert lanes.steps == ()
    assert "was not recorded" in in_words(lanes)
    picture = figure.draw(lanes)
    pictures.check(picture)
    assert "alice was also changed by something that was not recorded." in words(picture)


def test_clients_of_lost_updates_get_a_lane_before_all_others() -> None:
    lanes = lanes_of(crowded(50, 400, with_lock=False))
    assert len(lanes.clients) == MAX_LANES
    assert lanes.left_out == 10
    assert "50 clients" in in_words(lanes)
    assert len(lanes.writes) == len(lanes.steps) - 1, "the balance has all writes"
    picture = figure.draw(lanes)
    assert left_out(picture)["client"] == 10


# --- On paper ------------------------------------------------------------------------------------


def words(picture: Picture) -> list[str]:
    """All texts of a picture."""
    found = picture.figure.findobj(Text)
    return [text.get_text() for text in found if isinstance(text, Text) and text.get_text()]


def left_out(picture: Picture) -> dict[str, int]:
    """The numbers of things that the picture says it leaves out."""
    note = next((each for each in words(picture) if each.startswith("Left out")), "")
    found = re.findall(r"([\d,]+) ([^,.\d]+)", note)
    return {what.rstrip("s"): int(count.replace(",", "")) for count, what in found}


def arrows(picture: Picture, colour: str) -> int:
    """The number of arrows of a colour."""
    found = 0
    for each in picture.figure.axes[0].texts:
        if isinstance(each, Annotation) and each.arrow_patch:
            edge: Any = each.arrow_patch.get_edgecolor()
            found += to_hex(edge).upper() == colour
    return found


CASES: dict[str, Callable[[], History]] = {
    "two lanes": lambda: two()[0],
    "six lanes": mixed,
    "rows": side_by_side,
    "40 lanes": lambda: crowded(40, 400, with_lock=False),
    "5,000 spans": lambda: crowded(20, 5000),
    "killed": killed,
    "fenced off": lambda: paused(fencing=True),
    "not fenced off": lambda: paused(fencing=False),
}


@pytest.fixture(params=CASES)
def drawn(request: pytest.FixtureRequest) -> tuple[Lanes, Picture]:
    """The lanes of a case and their picture."""
    lanes = lanes_of(CASES[request.param]())
    return lanes, figure.draw(lanes)


@pytest.mark.one_in(4)
def test_it_is_readable_and_names_all_that_it_leaves_out(drawn: tuple[Lanes, Picture]) -> None:
    lanes, picture = drawn
    assert foreign_colours(pictures.check(picture)) == set()
    assert picture.figure.get_figheight() <= 10.2
    shown = words(picture)
    assert finding(lanes) in shown
    names = {text.partition("\n")[0] for text in shown}
    for name in (*lanes.clients, *lanes.servers):
        assert (name if len(name) <= 16 else f"{name[:15]}…") in names
    missing = left_out(picture)
    for mark in lanes.marks:
        assert mark.words in shown

    (above, *_) = picture.figure.axes
    bars = sum(len(each.get_paths()) for each in above.collections if type(each) is PolyCollection)
    free = sum(bar.span.kind == "waiting" and not bar.span.held_by for bar in lanes.bars)
    assert 0 <= len(lanes.bars) - bars - missing.get("short wait", 0) <= free
    crosses = 0
    for each in above.collections:
        face: Any = each.get_facecolor()
        if isinstance(each, PathCollection) and to_hex(face[0]).upper() == style.VERMILLION:
            offsets: Any = each.get_offsets()
            crosses += len(offsets)
    assert crosses == len(lanes.lost)
    told = arrows(picture, style.VERMILLION) + missing.get("lost updates’ arrow", 0)
    assert told + missing.get("lost update’s arrow", 0) == len(lanes.lost)
    assert arrows(picture, style.BLUE) + missing.get("arrow", 0) <= len(lanes.wake_ups)
    if len(lanes.bars) > 1000:
        assert 0 < arrows(picture, style.BLUE) < 200


def test_two_lanes_tell_the_whole_story() -> None:
    picture = figure.draw(lanes_of(two()[0]))
    shown = words(picture)
    assert shown.count("✗ $100 lost") == 1
    assert {"lost", "from a stale read", "expected", "actual"} <= set(shown)
    assert {"waits", "lets in", "reads"}.isdisjoint(shown), "the legend has only signs in use"


def test_a_short_recording_of_one_call() -> None:
    history = History([RecordedEvent(7, "a#1", "asked", "alice", None, "read")])
    pictures.check(figure.draw(lanes_of(history)))


# --- Servers that fail ----------------------------------------------------------------------------


def test_faults_of_servers_and_calls_are_told_in_order_of_time() -> None:
    lanes = lanes_of(paused(fencing=True))
    assert lanes.servers == ("server 1", "server 2")
    assert lanes.served_by == {"client 1": ("server 1",), "client 2": ("server 2",)}
    assert [(mark.kind, mark.who) for mark in lanes.marks] == [
        ("paused", "server 1"),
        ("expired", "client 1"),
        ("resumed", "server 1"),
        ("fenced", "client 1"),
    ]
    assert in_words(lanes) == (
        "2 clients, one lane each, on the account alice, and server 1 and server 2; server 1 is "
        "paused; the lease of client 1 runs out; server 1 goes on; client 1 is fenced off; no "
        "update was lost: the balance below is the expected one all the time."
    )


def test_a_mark_shows_only_clients_that_do_not_learn_the_outcome() -> None:
    marks = lanes_of(killed()).marks
    assert [mark.who for mark in marks if mark.kind == "unknown"] == ["client 1"]
    for status, reason, is_open in (
        ("DEADLINE_EXCEEDED", "", True),  # the client gave up
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", False),  # the bank says that nothing was applied
        ("UNAVAILABLE", "STORE_UNAVAILABLE", True),
        ("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS", False),
    ):
        events = [e for e in killed().events if (e.call, e.kind) != ("client 1#1", "received")]
        answer = RecordedEvent(61_000_000, "client 1#1", "received", note=status)
        found = lanes_of(History([*events, answer], {"client 1#1": reason} if reason else {})).marks
        assert ("unknown" in {mark.kind for mark in found}) is is_open, status


def test_without_fencing_the_same_pause_loses_an_update() -> None:
    fenced, unfenced = (lanes_of(paused(fencing=fencing)) for fencing in (True, False))
    assert fenced.missing == 0
    assert unfenced.missing == 10_000
    assert finding(unfenced) == "$100 lost: client 1 wrote over client 2"
    assert "fenced off" not in in_words(unfenced)


def test_a_lane_of_a_server_shows_when_it_ran() -> None:
    lanes = lanes_of(killed())
    lives = [(span.kind, span.start, span.end) for span in lanes.server_spans[:3]]
    assert lives == [
        *(("up", 0, 60_000_000), ("down", 60_000_000, 600_000_000)),
        ("up", 0, 600_000_000),
    ]
    picture = figure.draw(lanes)
    shown = words(picture)
    assert {"client 1\nat server 1", "server 1", "server 2"} <= set(shown)
    assert {"killed", "started again", "lease ran out", "outcome unknown"} <= set(shown)
    assert "holds the lock, halted" in shown, "a hold that outlives its server has its own sign"


def test_a_sign_without_room_for_its_words_is_explained_above() -> None:
    picture = figure.draw(lanes_of(paused(fencing=True)))
    legend = [text.get_text() for text in picture.figure.axes[2].texts]
    assert "fenced off" in legend
    assert "paused" not in legend, "its words stand beside it"


def test_many_faults_of_servers_are_told_together() -> None:
    history = killed()
    more = [
        RecordedEvent(600_000_000 + n, "", kind, server="server 2")
        for n in range(0, 20, 2)
        for kind in ("killed", "started")
    ]
    line = in_words(lanes_of(History.merge(history, History(more))))
    assert "; now and then one is killed and one is started again; " in line


def test_a_timeline_with_one_server_does_not_mention_servers() -> None:
    for history in (two()[0], mixed()):
        lanes = lanes_of(history)
        assert (lanes.servers, lanes.server_spans, lanes.marks) == ((), (), ())


# --- In a notebook -------------------------------------------------------------------------------


def test_a_notebook_shows_a_widget_with_a_picture_and_the_line_below() -> None:
    timeline = lab.timeline(two()[0])
    InteractiveShell.instance()
    with capture_output() as captured:
        timeline._ipython_display_()
    InteractiveShell.clear_instance()
    live, caption = captured.outputs
    assert set(live.data) == {
        *("application/vnd.jupyter.widget-view+json", "image/png", "text/plain"),
    }
    assert live.data["text/plain"] == f"Picture: {timeline.line}"
    assert live.metadata["image/png"]["width"] == 800
    assert caption.data["text/plain"] == f"In words: {timeline.line}"
    assert repr(timeline) == timeline.line == timeline.picture.line
    timeline.widget.close()


def test_a_history_and_an_object_with_a_history_give_the_same_timeline() -> None:
    history, _ = two()

    class Result:
        def __init__(self) -> None:
            self.history = history

    assert lab.timeline(Result()).lanes == lab.timeline(history).lanes


@pytest.mark.parametrize("name", CASES)
def test_the_browser_gets_the_whole_timeline(name: str) -> None:
    lanes = lanes_of(CASES[name]())
    sent: Any = json.loads(json.dumps(scene(lanes), allow_nan=False))
    assert len({len(column) for column in sent["bars"].values()}) == 1
    assert len(sent["bars"]["start"]) == len(lanes.bars)
    assert sent["bars"]["start"] == sorted(sent["bars"]["start"])
    assert min(sent["bars"]["start"]) == 0
    assert max(*sent["bars"]["end"], *sent["marks"]["at"]) == sent["length"]
    assert len(sent["moments"]["at"]) == len(lanes.moments)
    assert len(sent["wakeUps"]["from"]) == len(lanes.wake_ups)
    assert len(sent["lost"]) == len(lanes.lost)
    assert sent["steps"]["actual"][-1] == lanes.steps[-1].actual
    for index, bar in enumerate(lanes.bars[:50]):
        held_by = [sent["calls"][call] for call in sent["bars"]["heldBy"][index]]
        assert held_by == list(bar.span.held_by)


def test_the_scripts_load_nothing_and_define_no_colours() -> None:
    """Colours come from Python, where the palette is checked, and from the theme."""
    shown = TimelineWidget()
    for source in (shown._esm, shown._css):
        assert len(source) > 1000
        assert not re.search(r"https?:|\bimport\b|\bfetch\(", source)
        assert not re.search(r"#[0-9A-Fa-f]{3,8}\b|rgba?\(", source)
    shown.close()
