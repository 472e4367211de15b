"""Every use of a stopped bank raises an error that says what to do."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import pytest

import bankkit
from bankkit.launch.running_bank import STOPPED
from bankkit.pb import bank_pb2
from tests.support.processes import LONG_ENOUGH
from tests.support.waiting import eventually, eventually_idle

ALICE = bank_pb2.AccountRequest(account_id="alice")


def said(use: Callable[[], object]) -> str:
    """The text of the RuntimeError that `use` raises, with no other error in its traceback."""
    with pytest.raises(RuntimeError) as refused:
        use()
    assert not isinstance(refused.value, grpc.RpcError)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


def uses(bank: bankkit.Bank | bankkit.Fleet) -> list[Callable[[], object]]:
    """Every way to use a bank."""
    return [
        lambda: bank.client.get_balance("alice"),
        lambda: bank.client.deposit("alice", 1),
        lambda: bank.stub.GetBalance(ALICE),
        lambda: bank.stub.GetBalance.future(ALICE),
        lambda: bank.stub.GetBalance.with_call(ALICE),
        lambda: grpc.channel_ready_future(bank.channel),
        lambda: bank.store.read("alice"),
        lambda: bank.store.peek("alice"),
        lambda: bank.peek("alice"),
        lambda: bank.redis.get("key"),
        lambda: bank.redis.pipeline().get("key").execute(),  # type: ignore[union-attr]
        bank.pause_redis,
        bank.resume_redis,
        bank.restart_redis,
        lambda: bank.redis_nodes,
    ]


def test_a_bank() -> None:
    bank = bankkit.start()
    bank.client.create_account("alice")
    bank.stop()
    for use in uses(bank):
        assert said(use) == "This bank is stopped: run the start cell again."
    bank.stop()


def test_a_bank_that_another_start_has_stopped() -> None:
    first = bankkit.start()
    with bankkit.start():
        assert said(lambda: first.client.get_balance("alice")) == STOPPED


def test_a_fleet() -> None:
    fleet = bankkit.start(servers=2)
    fleet.client.create_account("alice")
    fleet.stop()
    more: list[Callable[[], object]] = [
        lambda: fleet.client_of("server 1").get_balance("alice"),
        lambda: fleet.stub_of("server 2").GetBalance(ALICE),
        lambda: fleet.kill("server 1"),
        lambda: fleet.restart("server 1"),
        lambda: fleet.pause("server 1"),
        lambda: fleet.resume("server 1"),
    ]
    for use in uses(fleet) + more:
        assert said(use) == STOPPED


def test_a_client_that_was_closed() -> None:
    with bankkit.Bank() as bank:
        with bankkit.connect(bank.address) as client:
            client.create_account("alice")
        for use in (
            lambda: client.get_balance("alice"),
            lambda: client.stub.GetBalance(ALICE),
        ):
            assert said(use) == "This client is closed: make a new one."
        bank.channel.close()
        said_so = "This channel is closed: make a new one."
        assert said(lambda: bank.stub.GetBalance(ALICE)) == said_so
        assert bank.client.get_balance("alice").balance == 0  # the client has its own channel


@pytest.mark.parametrize("by", ["client", "stub", "future"])
def test_a_call_in_flight(by: str) -> None:
    bank = bankkit.Bank()
    bank.client.create_account("alice")
    eventually_idle(bank)
    with ThreadPoolExecutor(1) as pool, bank.server.teller.locks.write("alice"):
        call: Future[object]
        if by == "client":
            call = pool.submit(bank.client.get_balance, "alice")
        elif by == "stub":
            call = pool.submit(bank.stub.GetBalance, ALICE)
        else:
            asked = bank.stub.GetBalance.future(ALICE)
            call = pool.submit(lambda: asked.result())
        eventually(lambda: bank.server.load == 1)
        bank.stop(grace=0.05)
        with pytest.raises(grpc.RpcError) as cut_off:
            call.result(LONG_ENOUGH)
    error = cut_off.value
    assert isinstance(error, bankkit.CallError if by == "client" else grpc.Call)
    assert error.details() == f"{STOPPED} Whether the call was applied is unknown."
    assert error.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_a_command_in_flight() -> None:
    bank = bankkit.Bank()
    errors: list[BaseException] = []

    def wait(client: object) -> None:
        try:
            client.execute_command("BLPOP", "list", 1.5)  # type: ignore[attr-defined]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=wait, args=(it,)) for it in (bank.redis, bank.store.link)]
    for thread in threads:
        thread.start()
    eventually(lambda: bank.redis.info("clients")["blocked_clients"] == 2)
    bank.stop()
    for thread in threads:
        thread.join(LONG_ENOUGH)
    assert [(type(error), str(error)) for error in errors] == [(RuntimeError, STOPPED)] * 2
