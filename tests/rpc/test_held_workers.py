"""Clients that open a call and send nothing do not delay other calls, or the stop of a bank."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import bankkit
from bankkit.pb import bank_pb2
from bankkit.rpc.admission import Admission
from bankkit.rpc.worker_pool import WorkerPool
from bankkit.server import MAX_STREAMS
from tests.support.waiting import eventually

THREADS = 2
MANY = 50
GRACE = 60.0
SOON = GRACE / 6
"""Even on a busy machine, a call is answered and a bank stops within these seconds. A stop that
is delayed takes the whole grace."""

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
GARBAGE = b"\xff\xff\xff"


def silence(ended: list[bool]) -> Iterator[bytes]:
    """A client that sends nothing until the end of the test."""
    while not ended:
        time.sleep(0.01)
    yield b""


@contextmanager
def open_streams(
    address: str, method: str, first: bytes | None, number: int
) -> Iterator[list[Any]]:
    """Opens `number` streams over one connection, each with one message or none."""
    ended: list[bool] = []

    def messages() -> Iterator[bytes]:
        if first is not None:
            yield first
        yield from silence(ended)

    with grpc.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(method)
        calls = [call(messages()) for _ in range(number)]
        try:
            yield calls
        finally:
            ended.append(True)
            for each in calls:
                each.cancel()


LIST_SERVICES = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()

HELD: dict[str, tuple[str, bytes | None]] = {
    "reflection": (REFLECTION, LIST_SERVICES),
    "a health watch": (WATCH, health_pb2.HealthCheckRequest().SerializeToString()),
    "a deposit without its message": ("/BankService/Deposit", None),
    "a health check without its message": (CHECK, None),
    "a health watch without its message": (WATCH, None),
}
"""By name: the method, and the one message that the call sends, if any."""


@pytest.fixture
def bank() -> Iterator[bankkit.Bank]:
    """A bank with few threads and an account `alice`."""
    with bankkit.Bank(threads=THREADS) as bank:
        bank.client.create_account("alice")
        yield bank


def hold(bank: bankkit.Bank, *kinds: str, number: int = MANY) -> ExitStack:
    """Opens `number` calls of each kind; returns when the server has all of them."""
    stack = ExitStack()
    for kind in kinds:
        method, first = HELD[kind]
        stack.enter_context(open_streams(bank.address, method, first, number))
    admissions = bank.server._admission, bank.server._side_admission
    eventually(lambda: sum(map(len, admissions)) == number * len(kinds))
    return stack


def duration(call: Callable[[], object]) -> float:
    """How many seconds a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def waiting_writers(bank: bankkit.Bank) -> int | None:
    """How many writers wait for the lock of `alice`."""
    found = bank.server.teller.locks.statistics("alice")
    return found.waiting_writers if found else 0


def test_silent_calls_of_every_kind_hold_up_nobody(bank: bankkit.Bank) -> None:
    kinds = ("reflection", "a health watch", "a deposit without its message")
    with hold(bank, *kinds):
        assert duration(lambda: bank.client.deposit("alice", 1, timeout=GRACE)) < SOON
        assert duration(lambda: bank.stop(GRACE)) < SOON


@pytest.mark.parametrize("kind", HELD)
def test_one_kind_alone(bank: bankkit.Bank, kind: str) -> None:
    with hold(bank, kind, number=2 * THREADS):
        assert duration(lambda: bank.client.deposit("alice", 1, timeout=GRACE)) < SOON
        assert duration(lambda: bank.stop(GRACE)) < SOON


def test_what_is_served_at_once_is_limited_all_the_same(bank: bankkit.Bank) -> None:
    """There may be many threads, but the bank works on at most `threads` calls at once."""
    locks = bank.server.teller.locks
    request = bank_pb2.DepositRequest(account_id="alice", amount=1)
    with locks.write("alice"):
        calls = [bank.stub.Deposit.future(request, timeout=30) for _ in range(3 * THREADS)]
        eventually(lambda: bank.server.load == 3 * THREADS)
        eventually(lambda: waiting_writers(bank) == THREADS)
        late = bank_pb2.AccountRequest(account_id="alice")
        with pytest.raises(grpc.RpcError) as refused:
            bank.stub.GetBalance(late, timeout=0.2)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert sorted(call.result().balance for call in calls) == [1, 2, 3, 4, 5, 6]


def test_streams_have_a_limit_of_their_own(bank: bankkit.Bank) -> None:
    with hold(bank, "a health watch", number=MAX_STREAMS):
        with open_streams(bank.address, WATCH, b"", 1) as (one_more,):
            with pytest.raises(grpc.RpcError) as refused:
                next(one_more)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert bank.client.deposit("alice", 1).balance == 1


def test_calls_without_a_message_count_towards_the_limit() -> None:
    with bankkit.Bank(threads=THREADS, max_calls=10) as bank:
        bank.client.create_account("alice")
        with hold(bank, "a deposit without its message", number=10):
            with pytest.raises(bankkit.CallError) as refused:
                bank.client.deposit("alice", 1)
            assert refused.value.reason == "OVERLOADED"
            with open_streams(bank.address, "/BankService/Deposit", None, 1) as (silent,):
                assert silent.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        eventually(lambda: bank.server.load == 0)
        assert bank.client.deposit("alice", 1).balance == 1


NOT_MESSAGES = [
    (method, sent)
    for method in (WATCH, CHECK, "/BankService/Deposit", REFLECTION)
    for sent in ([GARBAGE], [])
][:-1]  # for a stream of messages, an empty one is valid


@pytest.mark.parametrize(("method", "sent"), NOT_MESSAGES)
def test_what_is_no_message_is_an_invalid_argument(
    bank: bankkit.Bank, method: str, sent: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with grpc.insecure_channel(bank.address) as channel:
        call: Any = channel.stream_stream(method)
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter(sent), timeout=10))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert isinstance(refused.value, grpc.Call)
        info = bankkit.error_info(refused.value)
        assert info is not None
        assert info.reason == "INVALID_MESSAGE"
    assert not [record for record in caplog.records if record.exc_info]


def test_extra_threads_end_when_they_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bankkit.rpc.worker_pool.IDLE_SECONDS", 0.05)
    pool = WorkerPool(1, "test-workers", most=10)
    tasks = [pool.submit(time.sleep, 0.05) for _ in range(20)]
    assert len(pool._threads) == 10
    for task in tasks:
        task.result()
    eventually(lambda: len(pool._threads) == 1)
    assert pool.submit(lambda: 7).result() == 7
    pool.shutdown()
    assert pool.join(SOON)


def test_a_call_that_was_accepted_is_served_though_its_thread_runs_only_now(
    bank: bankkit.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, the thread of a call may start after the server has begun to stop."""
    answer = Admission._answer
    arrived = threading.Event()

    def starved(self: Admission, *rest: Any) -> Any:
        arrived.set()
        eventually(lambda: self._closing, GRACE)
        return answer(self, *rest)

    monkeypatch.setattr(Admission, "_answer", starved)
    call = bank.stub.Deposit.future(bank_pb2.DepositRequest(account_id="alice", amount=5))
    assert arrived.wait(GRACE)
    bank.stop(GRACE)
    assert call.result().balance == 5
