"""The recorder records what happens to a call, changes nothing, and leaves nothing behind."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import grpc
import pytest

from bankkit import Bank, lab
from bankkit.lab.recording.events import Call, EventKind
from bankkit.lab.recording.recorder import GRACE_SECONDS, Recording
from bankkit.locks import LockTable
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.store import Store
from tests.support.waiting import eventually

ALICE = bank_pb2.AccountRequest(account_id="alice")


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    with Bank() as bank:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 10)
        yield bank


def kinds(call: Call) -> list[EventKind]:
    return [event.kind for event in call.events]


def refused(function: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        function(*args, **options)
    return str(caught.value.code().name)


def is_plain(bank: Bank) -> bool:
    teller = bank.server.teller
    return (
        type(teller.locks) is LockTable
        and type(teller.store) is Store
        and bank.server.observers == ()
    )


# --- What it records -------------------------------------------------------------------------


def test_a_deposit_from_the_stub_to_redis_and_back(bank: Bank) -> None:
    request = bank_pb2.DepositRequest(account_id="alice", amount=2.5, request_id="one")
    with lab.record(bank) as recording:
        before = bank.client.get_balance("alice").balance
        started = time.monotonic_ns()
        reply = recording.stub.Deposit(request)
        ended = time.monotonic_ns()
    (_, call) = recording.calls
    assert call == recording.last
    assert kinds(call) == [
        *("sent", "encoded", "arrived", "began", "asked", "granted", "reading", "read"),
        *("committing", "committed", "released", "replied", "received"),
    ]
    assert (call.client, call.method, call.account) == ("client", "Deposit", "alice")
    assert (call.status, call.reason) == ("OK", "")
    times = [event.at for event in call.events]
    assert [started, *times, ended] == sorted([started, *times, ended])

    def value(kind: EventKind) -> int | None:
        event = call.find(kind)
        assert event is not None
        return event.value

    assert value("encoded") == value("began") == len(request.SerializeToString())
    assert value("read") == before * 100
    assert value("committed") == reply.balance * 100 == before * 100 + 250


@pytest.mark.parametrize(
    ("request_type", "method", "fields", "status", "last"),
    [
        ("AccountRequest", "GetBalance", {"account_id": "nobody"}, "NOT_FOUND", "failed"),
        ("AccountRequest", "GetBalance", {"account_id": "?"}, "INVALID_ARGUMENT", "began"),
        ("AccountRequest", "CreateAccount", ALICE, "INVALID_ARGUMENT", "began"),
        ("DepositRequest", "Deposit", {"account_id": "alice"}, "INVALID_ARGUMENT", "began"),
        (
            *("WithdrawRequest", "Withdraw", {"account_id": "alice", "amount": 1e9}),
            *("FAILED_PRECONDITION", "read"),
        ),
    ],
)
def test_a_refusal_is_recorded_at_the_step_that_refuses(
    bank: Bank, request_type: str, method: str, fields: Any, status: str, last: str
) -> None:
    request = fields if fields is ALICE else getattr(bank_pb2, request_type)(**fields)
    with lab.record(bank) as recording:
        assert refused(getattr(recording.stub, method), request) == status
    call = recording.last
    assert call.status == status
    assert call.reason
    inside = [k for k in kinds(call) if k not in ("released", "replied", "received")]
    assert inside[-1] == last
    assert ("asked" in inside) == ("released" in kinds(call))


def test_a_lock_that_does_not_come_in_time_is_a_timeout(bank: Bank) -> None:
    # The lock stays held until the server has given up; the server has its own clock.
    with bank.server.teller.locks.write("alice"), lab.record(bank) as recording:
        assert refused(recording.stub.GetBalance, ALICE, timeout=0.5) == "DEADLINE_EXCEEDED"
    call = recording.last
    assert "timeout" in kinds(call), "a recording ends only after the server has given up"
    assert not {"granted", "released", "reading"} & set(kinds(call))
    (span,) = recording.spans
    assert (span.kind, span.account, span.client) == ("waiting", "alice", "client")
    assert span.end > span.start


def test_bytes_that_are_not_a_valid_message(bank: Bank) -> None:
    with lab.record(bank) as recording:
        send = recording.channel("raw").unary_unary("/BankService/GetBalance")
        assert refused(send, b"\xff\xff\xff") == "INVALID_ARGUMENT"
    call = recording.last
    assert (call.client, call.reason, call.account) == ("raw", "INVALID_MESSAGE", "")
    began = call.find("began")
    assert began is not None
    assert began.value == 3


def test_an_unavailable_redis_and_the_retries_are_recorded() -> None:
    with Bank() as bank:
        bank.client.create_account("alice")
        bank.server.store.client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
        with lab.record(bank) as recording:
            stub = bank_pb2_grpc.BankServiceStub(recording.channel("patient", bank.client.channel))
            bank.pause_redis()
            asked = stub.GetBalance.future(ALICE, timeout=30)
            eventually(lambda: [e.kind for e in recording.events].count("failed") >= 2, 20)
            bank.resume_redis()
            assert asked.result(timeout=30).balance == 0
    call = recording.last
    assert call.status == "OK"
    assert kinds(call).count("arrived") >= 3, "each attempt arrives under the id of the call"
    assert next(e.note for e in call.events if e.kind == "replied") == "UNAVAILABLE"
    assert lab.life(call).line.startswith("GetBalance went client → stub → earlier tries → server")


@pytest.mark.parametrize("how", ["with_call", "future", "metadata"])
def test_every_way_to_make_a_call(bank: Bank, how: str) -> None:
    with lab.record(bank) as recording:
        method = recording.stub.GetBalance
        if how == "with_call":
            reply, call = method.with_call(ALICE)
            assert call.code() is grpc.StatusCode.OK
        elif how == "future":
            reply = method.future(ALICE, timeout=10).result()
            eventually(lambda: bool(recording.last.status))
        else:
            reply = method(ALICE, 10, (("x-mine", "7"),), wait_for_ready=True)
    assert reply.message == "Balance retrieved."
    assert recording.last.status == "OK"


def test_a_cancelled_call(bank: Bank) -> None:
    with lab.record(bank) as recording, bank.server.teller.locks.write("alice"):
        future = recording.stub.GetBalance.future(ALICE)
        eventually(lambda: "asked" in kinds(recording.last))
        future.cancel()
        eventually(lambda: recording.last.status == "CANCELLED")


def test_calls_of_other_clients_are_recorded_from_their_arrival(bank: Bank) -> None:
    with lab.record(bank) as recording:
        bank.stub.GetBalance(ALICE)
    call = recording.last
    assert kinds(call)[0] == "arrived"
    assert kinds(call)[-1] == "replied"
    assert (call.client, call.method, call.status) == ("somebody", "GetBalance", "OK")


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "concurrency", ["none", "mutex", "first-draft", "read-write", "redis-read-write", "atomic"]
)
def test_every_concurrency_choice(concurrency: str) -> None:
    with Bank(concurrency) as bank:
        with lab.record(bank) as recording:
            stub = recording.stub
            stub.CreateAccount(bank_pb2.AccountRequest(account_id="a", account_type="savings"))
            stub.Deposit(bank_pb2.DepositRequest(account_id="a", amount=100))
            stub.Withdraw(bank_pb2.WithdrawRequest(account_id="a", amount=50))
            stub.CalculateInterest(bank_pb2.InterestRequest(account_id="a", annual_interest_rate=5))
            refused(stub.Withdraw, bank_pb2.WithdrawRequest(account_id="a", amount=500))
            assert stub.GetBalance(bank_pb2.AccountRequest(account_id="a")).balance == 52.5
        committed = [e.value for e in recording.events if e.kind == "committed"]
        assert committed == [0, 10000, 5000, 5250]
        for call in recording.calls:
            assert call.method in lab.life(call).line


# --- What follows from the events ----------------------------------------------------------------


def read_together(bank: Bank, readers: int) -> Recording:
    """Record clients that read one account; each keeps the lock until all of them hold it."""
    meet = threading.Barrier(readers)
    with lab.record(bank) as recording, lab.after_read(bank, lambda account: meet.wait(30)):
        calls = [recording.stub_for(f"client {n}").GetBalance.future(ALICE) for n in range(readers)]
        assert [call.result(timeout=30).account_id for call in calls] == ["alice"] * readers
    return recording


@pytest.mark.parametrize("readers", [1, 2, 7])
def test_the_peak_of_readers(bank: Bank, readers: int) -> None:
    recording = read_together(bank, readers)
    assert recording.peak_readers() == recording.peak_readers("alice") == readers
    assert recording.peak_readers("bob") == 0
    reads = [span for span in recording.spans if span.kind == "reading"]
    assert sorted(span.client for span in reads) == [f"client {n}" for n in range(readers)]


@pytest.mark.parametrize("concurrency", ["mutex", "read-write"])
def test_recorded_writes_never_overlap(concurrency: str) -> None:
    """Writes do not overlap in the server, so they must not overlap in the recording."""
    with Bank(concurrency) as bank:
        bank.client.create_account("alice")
        request = bank_pb2.DepositRequest(account_id="alice", amount=1)

        def deposit(client: int) -> None:
            for _ in range(20):
                recording.stub_for(f"client {client}").Deposit(request)

        with lab.record(bank) as recording:
            threads = [threading.Thread(target=deposit, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        holds = [span for span in recording.spans if span.kind == "writing"]
        assert len(holds) == 80
        for first, then in pairwise(holds):
            assert first.end <= then.start
        balances = [e.value for e in recording.events if e.kind == "committed"]
        assert balances == [100 * n for n in range(1, 81)]
        waits = [span for span in recording.spans if span.kind == "waiting"]
        assert len(waits) == 80


# --- What it leaves behind -----------------------------------------------------------------------


def test_everything_is_as_before(bank: Bank) -> None:
    assert is_plain(bank)
    with lab.record(bank), lab.after_read(bank, lambda account: None):
        assert not is_plain(bank)
    assert is_plain(bank)


def test_everything_is_as_before_after_an_error(bank: Bank) -> None:
    def fail() -> None:
        with lab.record(bank) as recording, lab.after_read(bank, lambda account: None):
            recording.stub.GetBalance(ALICE)
            recordings.append(recording)
            raise KeyError("mine")

    recordings: list[Recording] = []
    with pytest.raises(KeyError, match="mine"):
        fail()
    assert is_plain(bank)
    assert recordings[0].last.status == "OK"


def test_one_recording_at_a_time(bank: Bank) -> None:
    with lab.record(bank) as recording:
        with (
            pytest.raises(RuntimeError, match="Another recording of this bank is running"),
            lab.record(bank),
        ):
            pass
        recording.stub.GetBalance(ALICE)
    assert recording.last.status == "OK"
    assert is_plain(bank)


def test_a_call_in_flight_at_the_end_is_not_disturbed(bank: Bank) -> None:
    go = threading.Event()
    arrived = threading.Event()

    def dwell(account: str) -> None:
        arrived.set()
        assert go.wait(30)

    with lab.record(bank) as recording, lab.after_read(bank, dwell):
        future = recording.stub.GetBalance.future(ALICE)
        assert arrived.wait(30)
    before = recording.events
    assert recording.last.status == ""
    with pytest.raises(ValueError, match="still in flight"):
        lab.life(recording.last)
    (_, span) = recording.spans
    assert span.kind == "reading"  # up to the end of the recording
    go.set()
    assert future.result(timeout=30).account_id == "alice"
    assert recording.events == before, "a recording that has ended does not change"
    assert is_plain(bank)


def test_the_end_waits_for_calls_that_have_not_begun() -> None:
    go = threading.Event()
    with Bank(threads=1) as bank:
        bank.client.create_account("alice")
        request = bank_pb2.DepositRequest(account_id="alice", amount=1)
        with lab.after_read(bank, lambda account: go.wait(30)), lab.record(bank) as recording:
            calls = [recording.stub.Deposit.future(request) for _ in range(3)]
            eventually(lambda: [e.kind for e in recording.events].count("arrived") == 3)
            assert [e.kind for e in recording.events].count("began") <= 1
            threading.Timer(0.1, go.set).start()
        for call in calls:
            call.result(timeout=30)
    assert [e.value for e in recording.events if e.kind == "committed"] == [100, 200, 300]
    assert all("replied" in kinds(call) for call in recording.calls)


def test_the_end_does_not_wait_for_a_stuck_call_or_for_later_calls() -> None:
    go, stop = threading.Event(), threading.Event()
    changed, reads = threading.Condition(), 0
    bob = bank_pb2.AccountRequest(account_id="bob")

    def dwell(account: str) -> None:
        """Keep each of bob's calls until the next one reads, so that one is always running."""
        nonlocal reads
        if account == "alice":
            go.wait(30)
            return
        with changed:
            reads += 1
            mine = reads
            changed.notify_all()
            changed.wait_for(lambda: reads > mine or stop.is_set(), 30)

    with Bank() as bank, lab.after_read(bank, dwell):

        def call_repeatedly() -> None:
            while not stop.is_set():
                bank.stub.GetBalance(bob)

        for account in ("alice", "bob"):
            bank.client.create_account(account)
        others = [threading.Thread(target=call_repeatedly) for _ in range(3)]
        for thread in others:
            thread.start()
        try:
            durations = []
            for is_stuck in (False, True):
                with lab.record(bank) as recording:
                    recording.stub.GetBalance(bob)
                    if is_stuck:
                        stuck = recording.stub.GetBalance.future(ALICE)
                        eventually(
                            lambda: (
                                ("reading", "alice")
                                in {(event.kind, event.account) for event in recording.events}
                            ),
                            20,
                        )
                    began = time.monotonic()
                durations.append(time.monotonic() - began)
        finally:
            go.set()
            with changed:
                stop.set()
                changed.notify_all()
            for thread in others:
                thread.join()
        assert stuck.result(timeout=30).account_id == "alice"
    without, with_one = durations
    assert without < GRACE_SECONDS <= with_one < 2 * GRACE_SECONDS


def test_a_call_in_flight_at_the_beginning_is_not_disturbed(bank: Bank) -> None:
    with bank.server.teller.locks.write("alice"):
        future = bank.stub.GetBalance.future(ALICE)
        eventually(lambda: bank.server.load > 0)
        with lab.record(bank) as recording:
            pass
    assert future.result(timeout=30).account_id == "alice"
    assert not [event for event in recording.events if event.kind == "read"]


def test_a_recording_without_calls_says_so(bank: Bank) -> None:
    with lab.record(bank) as recording:
        pass
    assert (recording.events, recording.calls, recording.spans) == ((), (), ())
    assert recording.peak_readers() == 0
    with pytest.raises(ValueError, match="Nothing was recorded"):
        recording.last  # noqa: B018


@pytest.mark.parametrize("name", ["", "#1", "a#b", "é", " a", "a\n", "x" * 65, None, 7])
def test_a_name_that_cannot_be_sent_is_refused(bank: Bank, name: Any) -> None:
    with lab.record(bank) as recording, pytest.raises(ValueError, match="client's name"):
        recording.stub_for(name)


def test_an_excess_call_is_refused_as_usual() -> None:
    go = threading.Event()
    with Bank(max_calls=1) as bank:
        bank.client.create_account("alice")
        with lab.record(bank) as recording, lab.after_read(bank, lambda account: go.wait(30)):
            first = recording.stub.GetBalance.future(ALICE)
            eventually(lambda: "read" in [event.kind for event in recording.events])
            assert refused(recording.stub_for("other").GetBalance, ALICE) == "RESOURCE_EXHAUSTED"
            go.set()
            assert first.result(timeout=30).account_id == "alice"
    call = next(call for call in recording.calls if call.client == "other")
    assert (call.status, call.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert "wait for thread" in lab.life(call).figure.texts[-1].get_text()
