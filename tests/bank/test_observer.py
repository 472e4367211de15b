"""An observer gets each event once and in order, and a faulty observer loses no money."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partialmethod
from typing import Any

import grpc
import pytest

from bankkit import Bank, lab
from bankkit.accounts import Account, StoreUnavailable
from bankkit.client import error_info
from bankkit.locks import LockTable, ReadWriteLock
from bankkit.observer import Observer, ServedCall, current_call
from bankkit.pb import bank_pb2
from bankkit.store import Snapshot
from bankkit.teller import CHOICES, CallDeadline, Teller
from tests.support.waiting import eventually, eventually_idle

EVENTS = [name for name in vars(Observer) if not name.startswith("_")]

FATAL = ("asked", "granted", "reading", "read", "committing")
"""The events in which an exception of the observer makes the call fail."""

ALICE = bank_pb2.AccountRequest(account_id="alice")
DEPOSIT = bank_pb2.DepositRequest(account_id="alice", amount=1)


class Notes(Observer):
    """Stores every event, and raises `error` in the event `fails_in`."""

    def __init__(self, fails_in: str = "", error: BaseException | None = None) -> None:
        self.told: list[tuple[str, ServedCall, tuple[Any, ...]]] = []
        self.fails_in = fails_in
        self.error = error

    def note(self, event: str, call: ServedCall, *what: Any) -> None:
        self.told.append((event, call, what))
        if event == self.fails_in and self.error is not None:
            raise self.error

    def names(self, call: ServedCall | None = None) -> list[str]:
        return [event for event, its_call, _ in self.told if call in (None, its_call)]

    @property
    def calls(self) -> list[ServedCall]:
        return [call for event, call, _ in self.told if event == "arrived"]


for name in EVENTS:
    setattr(Notes, name, partialmethod(Notes.note, name))


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    with Bank() as bank:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 100)
        yield bank


def balance(bank: Bank) -> int:
    return bank.store.read("alice").account.balance


def is_unobserved(bank: Bank) -> bool:
    server = bank.server
    plain = type(server.teller.locks) is LockTable and server.teller.store is server.store
    return plain and server.observers == ()


# --- The events ---------------------------------------------------------------------------------

READ = "arrived began asked granted reading read released replied ended"
WRITE = "arrived began asked granted reading read committing committed released replied ended"


@pytest.mark.parametrize(
    ("method", "fields", "events"),
    [
        ("GetBalance", {"account_id": "alice"}, READ),
        ("Deposit", {"account_id": "alice", "amount": 1}, WRITE),
        ("Withdraw", {"account_id": "alice", "amount": 1}, WRITE),
        ("CalculateInterest", {"account_id": "alice", "annual_interest_rate": 1}, WRITE),
        ("Withdraw", {"account_id": "alice", "amount": 1e9}, READ),  # more than the balance
        ("GetBalance", {"account_id": "nobody"}, READ.replace(" read ", " failed ")),
        ("GetBalance", {"account_id": "?"}, "arrived began replied ended"),
        (
            *("CreateAccount", {"account_id": "alice", "account_type": "savings"}),
            "arrived began committing failed replied ended",
        ),
    ],
)
def test_the_events_of_a_call(bank: Bank, method: str, fields: Any, events: str) -> None:
    kind = {
        "GetBalance": bank_pb2.AccountRequest,
        "CreateAccount": bank_pb2.AccountRequest,
        "CalculateInterest": bank_pb2.InterestRequest,
    }.get(method) or getattr(bank_pb2, f"{method}Request")
    notes = Notes()
    with bank.server.observe(notes):
        answer = getattr(bank.stub, method).future(kind(**fields))
        status = answer.code().name
    assert " ".join(notes.names()) == events
    (call,) = notes.calls
    assert {its_call for _, its_call, _ in notes.told} == {call}
    assert call.method == method
    assert ("replied", call, (status,)) in notes.told


def test_the_arguments_of_the_events(bank: Bank) -> None:
    before = balance(bank)
    request = bank_pb2.DepositRequest(account_id="alice", amount=2.5, request_id="r")
    notes = Notes()
    with bank.server.observe(notes):
        bank.stub.Deposit(request, metadata=(("x-mine", "7"),))
    told = {event: what for event, _, what in notes.told}
    assert told["began"] == (len(request.SerializeToString()),)
    assert told["asked"] == told["granted"] == told["released"] == ("alice", "write")
    assert told["reading"] == ("alice",)
    assert told["read"][1].account.balance == before
    account_id, change = told["committing"]
    assert (account_id, change.method, change.value) == ("alice", "commit", before + 250)
    assert change.request.id == "r"
    assert told["committed"] == ("alice", change, before + 250)
    assert ("x-mine", "7") in {tuple(pair) for pair in notes.calls[0].metadata}


ONE_CALL = re.compile(
    r"arrived( began( asked granted)?( reading read)?( committing committed)?( released)? replied)?"
    r" ended"
)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("concurrency", CHOICES)
def test_many_concurrent_calls_get_each_event_once_and_in_order(concurrency: str) -> None:
    first, second = Notes(), Notes()
    with Bank(concurrency) as bank, ExitStack() as stack:
        bank.client.create_account("alice")
        for notes in (first, second):
            stack.enter_context(bank.server.observe(notes))
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda _: bank.stub.Deposit(DEPOSIT), range(200)):
                pass
        eventually_idle(bank)
    assert len(first.calls) == 200
    for call in first.calls:
        assert ONE_CALL.fullmatch(" ".join(first.names(call))), first.names(call)
        assert second.names(call) == first.names(call)
    assert first.names().count("committed") == 200
    assert first.names().count("granted") == (0 if concurrency == "atomic" else 200)


def test_a_call_that_never_begins_still_ends() -> None:
    """One call waits behind others until its deadline, one is refused, and one has no message."""
    notes = Notes()
    with Bank(threads=1, max_calls=2) as bank:
        bank.client.create_account("alice")
        eventually_idle(bank)
        with bank.server.observe(notes):
            with bank.server.teller.locks.write("alice"):
                served = bank.stub.GetBalance.future(ALICE)
                eventually(lambda: "asked" in notes.names())
                queued = bank.stub.GetBalance.future(ALICE, timeout=0.5)
                eventually(lambda: bank.server.load == 2)
                with pytest.raises(grpc.RpcError) as refused:
                    bank.stub.GetBalance(ALICE)
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert queued.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                eventually(lambda: notes.names().count("ended") == 2)
            assert served.result(timeout=30).account_id == "alice"
            silent: Any = bank.channel.stream_unary("/BankService/GetBalance")
            with pytest.raises(grpc.RpcError):
                silent(iter(()))
            eventually(lambda: notes.names().count("ended") == 4)
    begun, *others = notes.calls
    assert " ".join(notes.names(begun)) == READ
    assert [notes.names(call) for call in others] == [["arrived", "ended"]] * 3


def test_an_observed_refusal_has_its_own_thread_like_any_refusal() -> None:
    threads: list[str] = []

    class Names(Observer):
        def ended(self, call: ServedCall) -> None:
            threads.append(threading.current_thread().name)

    with Bank(max_calls=1) as bank:
        bank.client.create_account("alice")
        eventually_idle(bank)
        with bank.server.observe(Names()), bank.server.teller.locks.write("alice"):
            held = bank.stub.GetBalance.future(ALICE)
            eventually(lambda: bank.server.load == 1)
            with pytest.raises(grpc.RpcError):
                bank.stub.GetBalance(ALICE)
            eventually(lambda: len(threads) == 1)
        held.result(timeout=30)
    assert threads[0].startswith("bankkit-refuse")


def test_a_lock_that_does_not_come_in_time(bank: Bank) -> None:
    notes = Notes()
    with bank.server.observe(notes), bank.server.teller.locks.write("alice"):
        with pytest.raises(grpc.RpcError):
            bank.stub.GetBalance(ALICE, timeout=0.2)
        # The server has its own clock and may wait a moment longer than the client.
        eventually(lambda: "ended" in notes.names())
    assert " ".join(notes.names()) == "arrived began asked timed_out replied ended"


def test_the_first_observer_is_closest_to_the_lock_and_to_the_store(bank: Bank) -> None:
    order: list[str] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def asked(self, *_: Any) -> None:
            order.append(f"{self.name} asked")

        def granted(self, *_: Any) -> None:
            order.append(f"{self.name} granted")

        def released(self, *_: Any) -> None:
            order.append(f"{self.name} released")

    with bank.server.observe(Named("inner")), bank.server.observe(Named("outer")):
        bank.stub.GetBalance(ALICE)
    assert order == [
        *("outer asked", "inner asked", "inner granted", "outer granted"),
        *("outer released", "inner released"),
    ]


# --- An observer that raises ---------------------------------------------------------------------


DEPOSIT_EVENTS = WRITE.split()


@pytest.mark.parametrize(
    ("event", "error"),
    [
        *((event, ZeroDivisionError("mine")) for event in DEPOSIT_EVENTS),
        *((event, StoreUnavailable()) for event in DEPOSIT_EVENTS),
        *((event, SystemExit(1)) for event in DEPOSIT_EVENTS if event not in FATAL),
    ],
)
def test_an_observer_that_raises(
    bank: Bank, event: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    before = balance(bank)
    bad, other = Notes(event, error), Notes()
    with bank.server.observe(other), bank.server.observe(bad):
        if event in FATAL:
            with pytest.raises(grpc.RpcError) as caught:
                bank.stub.Deposit(DEPOSIT)
            assert isinstance(caught.value, grpc.Call)
            wanted = "UNAVAILABLE" if isinstance(error, StoreUnavailable) else "INTERNAL"
            assert caught.value.code().name == wanted
            assert error_info(caught.value), "the error carries details like any other refusal"
            assert balance(bank) == before
        else:
            assert bank.stub.Deposit(DEPOSIT).balance * 100 == before + 100 == balance(bank)
            assert [each for each in caplog.records if each.exc_info and "observer" in each.msg]
        eventually_idle(bank)
        held = bank.server.teller.locks
        assert len(held) == 0
    for notes in (bad, other):
        names = notes.names()
        assert len(names) == len(set(names))
        assert names[0] == "arrived"
        assert names[-2:] == ["replied", "ended"]
        assert ("granted" in names) == ("released" in names)
    assert bank.stub.Deposit(DEPOSIT).message == "Deposit successful."


def test_an_observer_that_raises_after_a_failure_does_not_change_the_reply(bank: Bank) -> None:
    missing = bank_pb2.AccountRequest(account_id="nobody")
    with (
        bank.server.observe(Notes("failed", ZeroDivisionError())),
        pytest.raises(grpc.RpcError) as refused,
    ):
        bank.stub.GetBalance(missing)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    with (
        bank.server.teller.locks.write("alice"),
        bank.server.observe(Notes("timed_out", ZeroDivisionError())),
        pytest.raises(grpc.RpcError) as refused,
    ):
        bank.stub.GetBalance(ALICE, timeout=0.2)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_retry_after_a_fault_of_an_observer_moves_the_money_once(bank: Bank) -> None:
    for event in EVENTS:
        before = balance(bank)
        request = bank_pb2.DepositRequest(account_id="alice", amount=1, request_id=f"once {event}")
        with bank.server.observe(Notes(event, StoreUnavailable())):
            try:
                bank.stub.Deposit(request)
            except grpc.RpcError:
                assert event in FATAL
        assert bank.stub.Deposit(request).balance * 100 == before + 100 == balance(bank)


# --- When it observes ----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 3, print, Observer])
def test_what_is_no_observer_is_refused(bank: Bank, wrong: Any) -> None:
    with (
        pytest.raises(TypeError, match="must be an object of a subclass of"),
        bank.server.observe(wrong),
    ):
        pass
    assert is_unobserved(bank)


def test_nothing_remains_after_an_observation(bank: Bank) -> None:
    assert is_unobserved(bank)
    with bank.server.observe(Notes()):
        assert not is_unobserved(bank)
    assert is_unobserved(bank)
    with pytest.raises(KeyError), bank.server.observe(Notes()):
        raise KeyError
    assert is_unobserved(bank)


def test_observations_may_end_in_any_order(bank: Bank) -> None:
    first, second = Notes(), Notes()
    observers: list[Observer] = [first, second]
    first_observation, second_observation = map(bank.server.observe, observers)
    first_observation.__enter__()
    second_observation.__enter__()
    assert list(bank.server.observers) == observers
    first_observation.__exit__(None, None, None)
    bank.stub.GetBalance(ALICE)
    assert list(bank.server.observers) == observers[1:]
    assert (first.names(), " ".join(second.names())) == ([], READ)
    second_observation.__exit__(None, None, None)
    assert is_unobserved(bank)


def test_an_observer_gets_no_event_of_a_call_that_arrived_earlier(bank: Bank) -> None:
    earlier, later = Notes(), Notes()
    eventually_idle(bank)
    with bank.server.teller.locks.write("alice"):
        unseen = bank.stub.GetBalance.future(ALICE)
        eventually(lambda: bank.server.load == 1)
        earlier_observation = bank.server.observe(earlier)
        earlier_observation.__enter__()
        seen = bank.stub.GetBalance.future(ALICE)
        eventually(lambda: "asked" in earlier.names())
        later_observation = bank.server.observe(later)
        later_observation.__enter__()
    for call in (unseen, seen):
        assert call.result(timeout=30).account_id == "alice"
    eventually_idle(bank)
    later_observation.__exit__(None, None, None)
    earlier_observation.__exit__(None, None, None)
    assert (" ".join(earlier.names()), later.names()) == (READ, [])


def test_an_observer_gets_the_end_of_a_call_that_outlives_the_observation(bank: Bank) -> None:
    notes = Notes()
    with bank.server.teller.locks.write("alice"):
        with bank.server.observe(notes):
            call = bank.stub.Deposit.future(DEPOSIT)
            eventually(lambda: "asked" in notes.names())
        assert is_unobserved(bank)
    assert call.result(timeout=30).message == "Deposit successful."
    eventually(lambda: "ended" in notes.names())
    assert not {"reading", "read", "committing", "committed"} & set(notes.names())


def test_an_observer_adds_no_step_to_a_schedule() -> None:
    """The explorer runs the real teller. A lock or wait in the wrappers would be one more step."""
    store: Any = _Dictionary()

    def schedules(*observers: Observer) -> int:
        def scenario(threading: Any) -> None:
            table = LockTable(lambda _: ReadWriteLock(threading=threading), threading=threading)
            teller = Teller(threading.points(store, "read", "commit"), table)
            teller.set_observers(observers)
            store.balance = 0

            def deposit() -> None:
                current_call.set(ServedCall("Deposit", (), observers))
                teller.deposit("alice", 1.0, "", CallDeadline(float("inf")))

            threads = [threading.Thread(target=deposit) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert store.balance == 200

        result = lab.explore(scenario, preemptions=1, timeouts=0)
        assert result.verdict == "ok", result
        return result.schedules

    notes = Notes()
    assert schedules(notes) == schedules()
    assert notes.names().count("committed") > 2


class _Dictionary:
    """A store with one balance, without Redis."""

    balance = 0

    def read(self, account_id: str, *rest: Any) -> Any:
        return Snapshot(Account(account_id, "savings", self.balance), None, "")

    def commit(self, account_id: str, balance: int, *rest: Any) -> int:
        self.balance = balance
        return balance
