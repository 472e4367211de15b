"""The client: readable errors, request ids, deadlines, and retries that move money once."""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

import bankkit
from bankkit import accounts
from tests.support.processes import LONG_ENOUGH, free_port
from tests.support.waiting import eventually, eventually_idle


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    """A bank that all tests of this file share."""
    with bankkit.Bank() as bank:
        yield bank


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        ":50051",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:http",
        "localhost:²",
        "http://localhost:50051",
        "local host:50051",
        50051,
        None,
    ],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match=r"address must be HOST:PORT, such as 127\.0\.0\.1:50051"):
        bankkit.connect(address)


def test_connect_to_a_bank_elsewhere(bank: bankkit.Bank) -> None:
    with bankkit.connect(bank.address) as client:
        assert client.create_account("far", "checking").message == "Account created successfully."
        assert client.deposit("far", 10000).balance == 10000
        assert client.withdraw("far", 20).balance == 9980
        assert client.calculate_interest("far", 5).balance == 10479
        assert client.get_balance("far").balance == 10479
    assert bank.peek("far")["bank:{far}:account"]["type"] == "checking"


def test_a_refused_call_is_readable(bank: bankkit.Bank) -> None:
    bank.client.create_account("poor")
    with pytest.raises(bankkit.CallError) as refused:
        bank.client.withdraw("poor", 12.5)
    error = refused.value
    assert isinstance(error, grpc.RpcError)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == "Insufficient funds for the requested withdrawal."
    assert str(error) == f"FAILED_PRECONDITION: {error.details()}"
    assert error.reason == "INSUFFICIENT_FUNDS"
    assert error.metadata == {"amount_cents": "1250", "balance_cents": "0"}
    assert error.__cause__ is None  # one error on the screen, not two


def test_each_write_has_a_request_id_of_its_own(bank: bankkit.Bank) -> None:
    def remembered() -> set[str]:
        return {key for key in bank.peek("ids") if ":request:" in key}

    bank.client.create_account("ids")
    for write in (bank.client.deposit, bank.client.withdraw, bank.client.calculate_interest):
        for _ in range(2):
            write("ids", 4)
    assert len(remembered()) == 6

    for _ in range(2):
        assert bank.client.deposit("ids", 1, request_id="mine").balance == 1
    assert len(remembered()) == 7
    assert "bank:{ids}:request:mine" in remembered()

    bank.client.deposit("ids", 1, request_id="")  # the empty id means none
    assert len(remembered()) == 7


@pytest.mark.parametrize("where", ["at the client", "at the call"])
def test_a_timeout_ends_the_call_and_nothing_is_applied(bank: bankkit.Bank, where: str) -> None:
    account = where.replace(" ", "-")
    bank.client.create_account(account)
    default, explicit = (0.2, None) if where == "at the client" else (LONG_ENOUGH, 0.2)
    with (
        bankkit.connect(bank.address, timeout=default) as client,
        bank.server.teller.locks.write(account),
    ):
        with pytest.raises(bankkit.CallError) as late:
            client.deposit(account, 1, timeout=explicit)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually_idle(bank)  # the server ends the call by its own clock
    assert bank.client.get_balance(account).balance == 0


def refusals(caplog: pytest.LogCaptureFixture, method: str) -> int:
    """How many copies of a call the bank refused because Redis did not answer."""
    return caplog.text.count(f"{method} refused: STORE_UNAVAILABLE")


def test_a_write_outlasts_a_pause_of_redis_and_moves_money_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When the paused Redis goes on, it applies the commit of the first copy."""
    with bankkit.Bank() as bank, ThreadPoolExecutor() as pool, caplog.at_level("INFO", "bankkit"):
        bank.client.create_account("once")
        bank.client.deposit("once", 1)
        eventually_idle(bank)
        bank.pause_redis()
        call = pool.submit(bank.client.deposit, "once", 10, timeout=LONG_ENOUGH)
        eventually(lambda: refusals(caplog, "Deposit") > 0, LONG_ENOUGH)
        bank.resume_redis()
        assert call.result().balance == 11
        assert bank.client.get_balance("once").balance == 11


def test_a_write_outlasts_a_crash_of_redis_and_moves_money_once(tmp_path: Path) -> None:
    with (
        bankkit.Bank(data_dir=tmp_path, appendfsync="always") as bank,
        ThreadPoolExecutor() as pool,
    ):
        bank.client.create_account("once")
        bank.client.deposit("once", 1)
        eventually_idle(bank)
        bank.pause_redis()
        call = pool.submit(bank.client.deposit, "once", 10, timeout=LONG_ENOUGH)
        eventually(lambda: bank.server.load == 1)
        bank.restart_redis()
        assert call.result().balance == 11
        assert bank.client.get_balance("once").balance == 11


def test_what_is_retried_and_how_often(caplog: pytest.LogCaptureFixture) -> None:
    """CreateAccount has no request id: a retry could find the account that the first copy made."""
    with bankkit.Bank() as bank, caplog.at_level("INFO", "bankkit"):
        client = bank.client
        client.create_account("there")
        bank._engine.kill()
        calls: dict[str, Callable[[], object]] = {
            "CreateAccount": lambda: client.create_account("new"),
            "GetBalance": lambda: client.get_balance("there"),
            "Deposit": lambda: client.deposit("there", 1),
            "Withdraw": lambda: client.withdraw("there", 1),
            "CalculateInterest": lambda: client.calculate_interest("there", 1),
        }
        for method, call in calls.items():
            with pytest.raises(bankkit.CallError) as away:
                call()
            assert away.value.code() is grpc.StatusCode.UNAVAILABLE
            assert away.value.reason == "STORE_UNAVAILABLE"
            assert refusals(caplog, method) == (1 if method == "CreateAccount" else 5)


def test_a_refusal_that_a_retry_cannot_mend_is_not_retried(
    bank: bankkit.Bank, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "bankkit"), pytest.raises(bankkit.CallError):
        bank.client.deposit("nobody", 1)
    assert caplog.text.count("Deposit refused") == 1


def test_a_bank_that_is_not_up() -> None:
    with (
        bankkit.connect(f"127.0.0.1:{free_port()}", timeout=LONG_ENOUGH) as client,
        pytest.raises(bankkit.CallError) as away,
    ):
        client.get_balance("alice")
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert str(away.value).startswith("UNAVAILABLE: ")
    assert "127.0.0.1" in str(away.value)
    assert (away.value.reason, away.value.metadata) == ("", {})  # it is not from a bank


def test_one_client_for_many_threads(bank: bankkit.Bank) -> None:
    bank.client.create_account("crowd")
    together = threading.Barrier(8)

    def deposit(_: int) -> float:
        together.wait(LONG_ENOUGH)
        return float(bank.client.deposit("crowd", 1).balance)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(deposit, range(8))) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("timeout", [math.nan, -1, True, "soon"])
def test_a_timeout_that_is_none_is_refused_and_nothing_is_sent(
    bank: bankkit.Bank, timeout: Any
) -> None:
    for use in (
        lambda: bank.client.create_account("never", timeout=timeout),
        lambda: bankkit.connect(bank.address, timeout=timeout),
    ):
        with pytest.raises(ValueError, match="A timeout must be None or a number of seconds >= 0"):
            use()
    assert bank.peek("never") == {}


@pytest.mark.parametrize("timeout", [1e10, math.inf, None])
def test_a_timeout_as_long_as_one_likes(bank: bankkit.Bank, timeout: float | None) -> None:
    name = f"patient-{timeout}".replace("+", "")
    with bankkit.connect(bank.address, timeout=timeout) as client:
        client.create_account(name, timeout=timeout)
        assert client.get_balance(name).balance == 0


@pytest.mark.parametrize(
    ("use", "complaint"),
    [
        (lambda client: client.get_balance(3), "account_id must be text, not 3."),
        (lambda client: client.create_account("a", 3), "account_type must be text, not 3."),
        (lambda client: client.create_account("\ud800"), r"account_id must be text, not '\ud800'."),
        (lambda client: client.deposit("a", "5"), "amount must be a number, not '5'."),
        (lambda client: client.deposit("a", True), "amount must be a number, not True."),
        (lambda client: client.get_balance(False), "account_id must be text, not False."),
        (lambda client: client.withdraw(["a"], 5), "account_id must be text, not ['a']."),
        (
            lambda client: client.deposit("a", 5, request_id=7),
            "request_id must be text, not 7.",
        ),
        (
            lambda client: client.calculate_interest("a", "5 %"),
            "annual_interest_rate must be a number, not '5 %'.",
        ),
    ],
)
def test_a_value_of_another_type_is_named(
    bank: bankkit.Bank, use: Callable[[bankkit.Client], object], complaint: str
) -> None:
    with pytest.raises(TypeError) as refused:
        use(bank.client)
    assert str(refused.value) == complaint


def test_peek_at_an_id_that_is_not_text(bank: bankkit.Bank) -> None:
    with pytest.raises(accounts.InvalidAccountId):
        bank.peek(3)  # type: ignore[arg-type]
