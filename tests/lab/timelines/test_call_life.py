"""The picture of a call's life: its numbers are correct, and it can be read and put into words."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import grpc
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from bankkit import Bank, lab
from bankkit.lab.drawing import figures
from bankkit.lab.drawing.figures import Picture
from bankkit.lab.recording.events import Call, EventKind, RecordedEvent
from bankkit.lab.recording.recorder import Recording
from bankkit.lab.timelines.call_life import parts
from bankkit.pb import bank_pb2
from tests.support import pictures


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    """A bank with $10 in alice's account, whose Redis calls time out after 0.3 s."""
    with Bank() as bank:
        bank.server.store.client.connection_pool.connection_kwargs["socket_timeout"] = 0.3
        bank.client.create_account("alice")
        bank.client.deposit("alice", 10)
        yield bank


def get(account_id: str) -> bank_pb2.AccountRequest:
    """A request for the balance of an account."""
    return bank_pb2.AccountRequest(account_id=account_id)


def withdraw(amount: float) -> bank_pb2.WithdrawRequest:
    """A request to withdraw dollars from alice's account."""
    return bank_pb2.WithdrawRequest(account_id="alice", amount=amount)


def busy(bank: Bank, recording: Recording) -> None:
    """Withdraw with a deadline of 0.2 s while the account is locked."""
    with bank.server.teller.locks.write("alice"):
        recording.stub.Withdraw(withdraw(1), timeout=0.2)


def redis_away(bank: Bank, recording: Recording) -> None:
    """Read the balance while Redis is paused."""
    bank.pause_redis()
    try:
        recording.stub.GetBalance(get("alice"))
    finally:
        bank.resume_redis()


def no_message(bank: Bank, recording: Recording) -> None:
    """Send bytes that do not encode a message."""
    recording.channel("raw").unary_unary("/BankService/GetBalance")(b"\xff\xff")


def no_server(bank: Bank, recording: Recording) -> None:
    """Call an address where no server listens."""
    with grpc.insecure_channel("127.0.0.1:1") as nowhere:
        send = recording.channel("lost", nowhere).unary_unary("/BankService/GetBalance")
        send(b"", timeout=5)


WAY = "client → stub → server thread → check"
LIVES: list[tuple[str, Callable[[Bank, Recording], object], list[str], str]] = [
    (
        *("a read", lambda bank, recording: recording.stub.GetBalance(get("alice"))),
        ["stub", "wire", "thread", "check", "lock", "read", "reply", "back"],
        f"GetBalance went {WAY} → read lock → Redis and back; answered OK.",
    ),
    (
        *("a write", lambda bank, recording: recording.stub.Withdraw(withdraw(1))),
        ["stub", "wire", "thread", "check", "lock", "read", "rule", "commit", "reply", "back"],
        f"Withdraw went {WAY} → write lock → Redis → rule → Redis and back; answered OK.",
    ),
    (
        *("bytes", no_message),
        ["stub", "wire", "thread", "check✗", "back"],
        f"GetBalance went {WAY}, and ended there with INVALID_ARGUMENT: "
        "the bytes are not a valid message.",
    ),
    (
        *("syntax", lambda bank, recording: recording.stub.Withdraw(withdraw(-5))),
        ["stub", "wire", "thread", "check✗", "back"],
        f"Withdraw went {WAY}, and ended there with INVALID_ARGUMENT: invalid amount.",
    ),
    (
        *("lock", busy),
        ["stub", "wire", "thread", "check", "lock✗"],
        f"Withdraw went {WAY} → write lock, and ended there with DEADLINE_EXCEEDED: "
        "the lock was not had in time.",
    ),
    (
        *("existence", lambda bank, recording: recording.stub.GetBalance(get("nobody"))),
        ["stub", "wire", "thread", "check", "lock", "read✗", "reply", "back"],
        f"GetBalance went {WAY} → read lock → Redis, and ended there with NOT_FOUND: "
        "there is no such account.",
    ),
    (
        *("state", lambda bank, recording: recording.stub.Withdraw(withdraw(1000))),
        ["stub", "wire", "thread", "check", "lock", "read", "rule✗", "reply", "back"],
        f"Withdraw went {WAY} → write lock → Redis → rule, and ended there with "
        "FAILED_PRECONDITION: the balance does not allow it.",
    ),
    (
        *("redis", redis_away),
        ["stub", "wire", "thread", "check", "lock", "read✗", "reply", "back"],
        f"GetBalance went {WAY} → read lock → Redis, and ended there with UNAVAILABLE: "
        "Redis does not answer.",
    ),
    (
        *("no server", no_server),
        ["stub", "wire✗"],
        "GetBalance went client → stub → the wire, and ended there with UNAVAILABLE: "
        "no server answered.",
    ),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("make", "names", "line"), [each[1:] for each in LIVES], ids=[each[0] for each in LIVES]
)
def test_a_life_ends_in_the_part_where_the_call_failed(
    bank: Bank, make: Callable[[Bank, Recording], object], names: list[str], line: str
) -> None:
    with lab.record(bank) as recording, suppress(grpc.RpcError):
        make(bank, recording)
    call = recording.last
    found = parts(call)
    drawn = [part.name + "✗" * part.refused for part in found]
    # At the lock, client and server give up at the same moment; chance decides which is first.
    assert drawn == names or (make is busy and drawn == [*names, "reply", "back"])

    sent, received = call.find("sent"), call.find("received")
    assert sent is not None
    assert received is not None
    assert (found[0].start, found[-1].end) == (sent.at, received.at)
    assert sum(part.duration for part in found) == received.at - sent.at, "without a gap"
    assert all(part.duration >= 0 for part in found)

    picture = lab.life(call)
    assert picture.line == line
    pictures.check(picture)
    texts = " ".join(words for _, words in figures.sizes(picture.figure))
    assert figures.duration(received.at - sent.at) in texts
    for part in found:
        assert figures.duration(part.duration) in texts
    assert ("✓ OK" in texts) == (call.status == "OK")
    assert ("✗ refused" in texts) == (call.status != "OK")
    last_part = "read" if call.method == "GetBalance" else "commit"
    assert ("not\nreached" in texts) == (not {last_part, f"{last_part}✗"} & set(names))


def seen(*moments: tuple[int, EventKind, str]) -> Call:
    """A deposit with these events: time, kind, note."""
    events = tuple(RecordedEvent(at, "c#1", kind, note=note) for at, kind, note in moments)
    return Call("c#1", "Deposit", "alice", events)


def test_events_after_the_client_gave_up_are_left_out() -> None:
    call = seen(
        *(
            (0, "sent", "Deposit"),
            (10, "encoded", ""),
            (20, "arrived", "Deposit"),
            (30, "began", ""),
        ),
        *((40, "asked", "write"), (90, "received", "DEADLINE_EXCEEDED"), (95, "timeout", "write")),
        (99, "replied", "DEADLINE_EXCEEDED"),
    )
    assert [(part.name, part.duration) for part in parts(call)] == [
        *(("stub", 10), ("wire", 10), ("thread", 10), ("check", 10), ("lock", 50)),
    ]
    assert parts(call)[-1].refused


def test_the_earlier_tries_of_a_compare_and_set_are_one_part() -> None:
    call = seen(
        *((0, "sent", "Deposit"), (1, "encoded", ""), (2, "arrived", "Deposit"), (3, "began", "")),
        *(
            (4, "reading", ""),
            (5, "read", ""),
            (6, "committing", ""),
            (7, "failed", "WriteConflict"),
        ),
        *(
            (8, "reading", ""),
            (9, "read", ""),
            (10, "committing", ""),
            (11, "failed", "WriteConflict"),
        ),
        *((12, "reading", ""), (13, "read", ""), (14, "committing", ""), (15, "committed", "")),
        *((16, "replied", "OK"), (17, "received", "OK")),
    )
    names = [part.name for part in parts(call)]
    assert names == [
        *("stub", "wire", "thread", "check", "earlier", "read", "rule", "commit", "reply", "back"),
    ]
    pictures.check(lab.life(call))


def test_a_call_of_a_client_that_was_not_recorded_has_no_picture(bank: Bank) -> None:
    with lab.record(bank) as recording:
        bank.stub.GetBalance(get("alice"))
    with pytest.raises(ValueError, match="client was not recorded"):
        lab.life(recording.last)


# --- Readers side by side ------------------------------------------------------------------------


@pytest.mark.parametrize("readers", [1, 2, 12])
def test_overlapping_reads(bank: Bank, readers: int) -> None:
    meet = threading.Barrier(readers)
    with lab.record(bank) as recording, lab.after_read(bank, lambda account: meet.wait(30)):
        calls = [
            recording.stub_for(f"client {n}").GetBalance.future(get("alice"))
            for n in range(readers)
        ]
        for call in calls:
            call.result(timeout=30)
    picture = lab.overlaps(recording)
    peak = f"at the peak, {readers} held the lock" if readers > 1 else "never two of them held"
    assert peak in picture.line
    pictures.check(picture)
    above = picture.figure.axes[0]
    lanes = [label.get_text() for label in above.get_yticklabels()]
    assert lanes == [f"client {n}" for n in range(readers)]
    (reading,) = (bars for bars in above.containers if bars.get_label() == "holds the lock to read")
    assert len(reading.get_children()) == readers


def test_too_many_lanes_or_none_are_refused(bank: Bank) -> None:
    with lab.record(bank) as recording:
        pass
    with pytest.raises(ValueError, match="Nobody asked for a lock"):
        lab.overlaps(recording)
    with lab.record(bank) as recording:
        for n in range(13):
            recording.stub_for(f"client {n}").GetBalance(get("alice"))
    with pytest.raises(ValueError, match=r"13 clients asked for a lock; .* room for 12"):
        lab.overlaps(recording)


# --- All pictures --------------------------------------------------------------------------------


def test_shown_as_a_picture_and_a_visible_line(bank: Bank) -> None:
    with lab.record(bank) as recording:
        recording.stub.GetBalance(get("alice"))
    InteractiveShell.instance()
    with capture_output() as captured:
        lab.life(recording.last)._ipython_display_()
    drawn, line = (output.data for output in captured.outputs)
    assert drawn.keys() == {"image/png", "text/plain"}
    assert line.keys() == {"text/html", "text/plain"}
    assert "In words:</strong> GetBalance went client → stub" in line["text/html"]
    assert "µs" not in drawn["text/plain"] + line["text/plain"], "the same in every run"


def test_the_style_of_the_notebook_is_left_alone(bank: Bank) -> None:
    import matplotlib

    with lab.record(bank) as recording:
        recording.stub.GetBalance(get("alice"))
    with matplotlib.rc_context({"font.size": 3, "lines.linewidth": 9}):
        pictures.check(lab.life(recording.last))
        assert matplotlib.rcParams["font.size"] == 3


def test_a_picture_that_is_hard_to_read_is_refused() -> None:
    small = figures.canvas(8, 2)
    small.text(0, 0, "small print", fontsize=8)
    with pytest.raises(ValueError, match="'small print' has 8 pt"):
        Picture(small, "A line.")
    with pytest.raises(ValueError, match="wider than 8 inches"):
        Picture(figures.canvas(9, 2), "A line.")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        *((0, "0 µs"), (1_499, "1 µs"), (999_499, "999 µs"), (999_500, "1.0 ms")),
        *((99_400_000, "99.4 ms"), (99_500_000, "100 ms"), (999_499_999, "999 ms")),
        *((999_500_000, "1.0 s"), (61_000_000_000, "61.0 s")),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert figures.duration(nanoseconds) == text
