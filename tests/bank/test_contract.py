"""The wire contract over a real connection: every field number, every row of the status table."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import bankkit
from bankkit import accounts
from bankkit.pb import bank_pb2
from bankkit.teller import CallDeadline
from tests.support.waiting import eventually, eventually_idle

FIELDS = {
    "AccountRequest": {"account_id": (1, "string"), "account_type": (2, "string")},
    "AccountResponse": {
        "account_id": (1, "string"),
        "message": (2, "string"),
        "balance": (3, "double"),
    },
    "BalanceResponse": {
        "account_id": (1, "string"),
        "balance": (2, "double"),
        "message": (3, "string"),
    },
    "DepositRequest": {
        "account_id": (1, "string"),
        "amount": (2, "double"),
        "request_id": (3, "string"),
    },
    "WithdrawRequest": {
        "account_id": (1, "string"),
        "amount": (2, "double"),
        "request_id": (3, "string"),
    },
    "InterestRequest": {
        "account_id": (1, "string"),
        "annual_interest_rate": (2, "double"),
        "request_id": (3, "string"),
    },
    "TransactionResponse": {
        "account_id": (1, "string"),
        "message": (2, "string"),
        "balance": (3, "double"),
    },
}

METHODS = {
    "CreateAccount": ("AccountRequest", "AccountResponse"),
    "GetBalance": ("AccountRequest", "BalanceResponse"),
    "Deposit": ("DepositRequest", "TransactionResponse"),
    "Withdraw": ("WithdrawRequest", "TransactionResponse"),
    "CalculateInterest": ("InterestRequest", "TransactionResponse"),
}


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    """A bank with an empty account `poor`, and an account `rich` at the limit."""
    with bankkit.Bank() as bank:
        bank.stub.CreateAccount(account("poor"))
        bank.stub.CreateAccount(account("rich"))
        for _ in range(2):
            bank.stub.Deposit(deposit("rich", 5e12))
        yield bank


def account(account_id: str, account_type: str = "savings") -> bank_pb2.AccountRequest:
    """A request for CreateAccount or GetBalance."""
    return bank_pb2.AccountRequest(account_id=account_id, account_type=account_type)


def deposit(account_id: str, amount: float, request_id: str = "") -> bank_pb2.DepositRequest:
    """A request for Deposit."""
    return bank_pb2.DepositRequest(account_id=account_id, amount=amount, request_id=request_id)


def withdraw(account_id: str, amount: float) -> bank_pb2.WithdrawRequest:
    """A request for Withdraw."""
    return bank_pb2.WithdrawRequest(account_id=account_id, amount=amount)


def interest(account_id: str, rate: float) -> bank_pb2.InterestRequest:
    """A request for CalculateInterest."""
    return bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=rate)


def refusal(call: Callable[..., Any], request: Any, **options: Any) -> tuple[str, str, str]:
    """The code, reason and text of the error; fails if the call succeeds."""
    with pytest.raises(grpc.RpcError) as refused:
        call(request, **options)
    error: Any = refused.value
    info = bankkit.error_info(error)
    assert info is not None, f"no ErrorInfo with {error.code()}"
    assert info.domain == "bankkit"
    return error.code().name, info.reason, error.details()


def test_there_is_no_package_and_one_service() -> None:
    assert bank_pb2.DESCRIPTOR.package == ""
    assert list(bank_pb2.DESCRIPTOR.services_by_name) == ["BankService"]


def test_methods() -> None:
    service = bank_pb2.DESCRIPTOR.services_by_name["BankService"]
    found = {m.name: (m.input_type.name, m.output_type.name) for m in service.methods}
    assert found == METHODS


def test_field_numbers() -> None:
    kinds = {1: "double", 9: "string"}
    found = {
        name: {field.name: (field.number, kinds[field.type]) for field in message.fields}
        for name, message in bank_pb2.DESCRIPTOR.message_types_by_name.items()
    }
    assert found == FIELDS


def test_replies(bank: bankkit.Bank) -> None:
    created = bank.stub.CreateAccount(account("ok", "checking"))
    assert (created.account_id, created.message, created.balance) == (
        "ok",
        "Account created successfully.",
        0.0,
    )
    steps = [
        (bank.stub.Deposit, deposit("ok", 100.1), "Deposit successful.", 100.1),
        (bank.stub.Withdraw, withdraw("ok", 0.1), "Withdrawal successful.", 100.0),
        (bank.stub.CalculateInterest, interest("ok", 5), "Interest added.", 105.0),
        (bank.stub.GetBalance, account("ok", "ignored"), "Balance retrieved.", 105.0),
    ]
    for call, request, message, balance in steps:
        reply = call(request)
        assert (reply.account_id, reply.message, reply.balance) == ("ok", message, balance)


def test_duplicate(bank: bankkit.Bank) -> None:
    assert refusal(bank.stub.CreateAccount, account("poor", "checking")) == (
        "ALREADY_EXISTS",
        "ACCOUNT_EXISTS",
        "Account already exists.",
    )
    assert bank.redis.hget("bank:{poor}:account", "type") == "savings"


def test_unknown_account(bank: bankkit.Bank) -> None:
    expected = (
        "NOT_FOUND",
        "ACCOUNT_NOT_FOUND",
        "Account not found. Please check the account ID.",
    )
    assert refusal(bank.stub.GetBalance, account("nobody")) == expected
    assert refusal(bank.stub.Deposit, deposit("nobody", 1)) == expected
    assert refusal(bank.stub.Deposit, deposit("nobody", 1, "an-id")) == expected
    assert refusal(bank.stub.Withdraw, withdraw("nobody", 1)) == expected
    assert refusal(bank.stub.CalculateInterest, interest("nobody", 1)) == expected
    assert bank.peek("nobody") == {}


@pytest.mark.parametrize("amount", [0.0, -0.0, -100.0, math.nan, -math.inf])
def test_amount_that_is_not_positive(bank: bankkit.Bank, amount: float) -> None:
    expected = ("INVALID_ARGUMENT", "INVALID_AMOUNT", "Transaction amount must be positive.")
    assert refusal(bank.stub.Deposit, deposit("poor", amount)) == expected
    assert refusal(bank.stub.Withdraw, withdraw("poor", amount)) == expected


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (math.inf, "Transaction amount must be a finite number."),
        (0.001, "Transaction amount must have at most two decimals."),
    ],
)
def test_other_amounts_that_are_none(bank: bankkit.Bank, amount: float, text: str) -> None:
    expected = ("INVALID_ARGUMENT", "INVALID_AMOUNT", text)
    assert refusal(bank.stub.Deposit, deposit("poor", amount)) == expected
    assert refusal(bank.stub.Withdraw, withdraw("poor", amount)) == expected


@pytest.mark.parametrize("rate", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_bad_rate(bank: bankkit.Bank, rate: float) -> None:
    assert refusal(bank.stub.CalculateInterest, interest("poor", rate)) == (
        "INVALID_ARGUMENT",
        "INVALID_RATE",
        "Annual interest rate must be a positive value.",
    )


@pytest.mark.parametrize("account_id", ["", "x" * 65, ".dot", "a b", "bank:{poor}"])
def test_bad_id(bank: bankkit.Bank, account_id: str) -> None:
    calls = [
        (bank.stub.CreateAccount, account(account_id)),
        (bank.stub.GetBalance, account(account_id)),
        (bank.stub.Deposit, deposit(account_id, 1)),
        (bank.stub.Withdraw, withdraw(account_id, 1)),
        (bank.stub.CalculateInterest, interest(account_id, 1)),
    ]
    for call, request in calls:
        code, reason, text = refusal(call, request)
        assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_ACCOUNT_ID")
        assert "letters, digits, dots, underscores or hyphens" in text


@pytest.mark.parametrize("account_type", ["", "Savings", "gold"])
def test_bad_type(bank: bankkit.Bank, account_type: str) -> None:
    code, reason, text = refusal(bank.stub.CreateAccount, account("new", account_type))
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_ACCOUNT_TYPE")
    assert "savings, checking" in text
    assert bank.peek("new") == {}


def test_request_id_too_long(bank: bankkit.Bank) -> None:
    code, reason, text = refusal(bank.stub.Deposit, deposit("poor", 1, "r" * 129))
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST_ID")
    assert "128" in text


def test_more_than_the_balance(bank: bankkit.Bank) -> None:
    assert refusal(bank.stub.Withdraw, withdraw("poor", 100000)) == (
        "FAILED_PRECONDITION",
        "INSUFFICIENT_FUNDS",
        "Insufficient funds for the requested withdrawal.",
    )


@pytest.mark.parametrize("concurrency", ["read-write", "redis-read-write", "atomic"])
def test_past_the_limit(concurrency: str) -> None:
    with bankkit.Bank(concurrency) as bank:
        bank.stub.CreateAccount(account("rich"))
        bank.stub.Deposit(deposit("rich", 1e13))
        for call, request in [
            (bank.stub.Deposit, deposit("rich", 1e300)),
            (bank.stub.Deposit, deposit("rich", 0.01)),
            (bank.stub.Withdraw, withdraw("rich", 1.1e13)),
            (bank.stub.CalculateInterest, interest("rich", 1e308)),
            (bank.stub.CalculateInterest, interest("rich", 1e-13)),
        ]:
            code, reason, text = refusal(call, request)
            assert (code, reason) == ("OUT_OF_RANGE", "LIMIT_EXCEEDED")
            assert "10000000000000 dollars" in text
        assert bank.stub.GetBalance(account("rich")).balance == 1e13


def test_the_order_of_checks(bank: bankkit.Bank) -> None:
    """The order is syntax, limits, existence, state."""
    assert refusal(bank.stub.Deposit, deposit("no body", -1))[1] == "INVALID_ACCOUNT_ID"
    assert refusal(bank.stub.Deposit, deposit("nobody", -1))[1] == "INVALID_AMOUNT"
    assert refusal(bank.stub.Deposit, deposit("nobody", 1e300))[1] == "LIMIT_EXCEEDED"
    assert refusal(bank.stub.Deposit, deposit("nobody", 1))[1] == "ACCOUNT_NOT_FOUND"
    assert refusal(bank.stub.Withdraw, withdraw("poor", 1e300))[1] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message(bank: bankkit.Bank, method: str) -> None:
    with grpc.insecure_channel(bank.address) as channel:
        call: Any = channel.unary_unary(f"/BankService/{method}")
        for raw in (b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"):
            code, reason, _ = refusal(call, raw)
            assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_MESSAGE")


@pytest.mark.parametrize("concurrency", ["mutex", "read-write"])
def test_a_lock_not_had_before_the_deadline(concurrency: str) -> None:
    with bankkit.Bank(concurrency, max_wait=0.2) as bank:
        bank.stub.CreateAccount(account("busy"))
        locked, finish = threading.Event(), threading.Event()

        def hold() -> None:
            with bank.server.teller.locks.write("busy"):
                locked.set()
                finish.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(10)
        # Without a deadline from the caller, the server's maximum applies.
        code, reason, text = refusal(bank.stub.Deposit, deposit("busy", 1))
        assert (code, reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert "Nothing was applied" in text
        assert refusal(bank.stub.GetBalance, account("busy"))[0] == "DEADLINE_EXCEEDED"
        # At the caller's deadline, gRPC's client may end the call itself, without an ErrorInfo.
        with pytest.raises(grpc.RpcError) as late:
            bank.stub.Deposit(deposit("busy", 1), timeout=0.1)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually_idle(bank)  # the server ends the call by its own clock
        finish.set()
        holder.join(10)
        assert bank.stub.GetBalance(account("busy")).balance == 0
        assert len(bank.server.teller.locks) == 0


def test_an_idle_account_is_not_called_busy() -> None:
    with bankkit.Bank() as bank:
        bank.client.create_account("idle")
        with pytest.raises(accounts.TooLate, match="The deadline passed before the operation"):
            bank.server.teller.deposit("idle", 1, "", CallDeadline(time.monotonic()))
        assert bank.client.get_balance("idle").balance == 0


def test_a_cancelled_call_is_not_applied() -> None:
    with bankkit.Bank() as bank:
        bank.stub.CreateAccount(account("busy"))
        bank.stub.CreateAccount(account("other"))
        eventually_idle(bank)
        with bank.server.teller.locks.write("busy"):
            call = bank.stub.Deposit.future(deposit("busy", 1))
            eventually(lambda: bank.server.load == 1)
            call.cancel()
            # Both use one connection, so the server gets the cancellation before this call.
            bank.stub.GetBalance(account("other"))
        eventually(lambda: bank.server.load == 0)
        assert bank.stub.GetBalance(account("busy")).balance == 0


def test_more_calls_than_the_server_will_queue() -> None:
    with bankkit.Bank(threads=2, max_calls=4) as bank:
        bank.stub.CreateAccount(account("busy"))
        eventually_idle(bank)
        with bank.server.teller.locks.write("busy"):
            calls = [bank.stub.Deposit.future(deposit("busy", 1)) for _ in range(4)]
            eventually(lambda: bank.server.load == 4)
            code, reason, _ = refusal(bank.stub.Deposit, deposit("busy", 1))
            assert (code, reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert sorted(call.result().balance for call in calls) == [1.0, 2.0, 3.0, 4.0]
        assert bank.stub.Deposit(deposit("busy", 1)).balance == 5.0


def test_health() -> None:
    check = health_pb2.HealthCheckRequest
    status = health_pb2.HealthCheckResponse
    with bankkit.Bank() as bank, grpc.insecure_channel(bank.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(check(service="")).status == status.SERVING
        assert stub.Check(check(service="BankService")).status == status.SERVING
        bank.pause_redis()
        eventually(lambda: stub.Check(check(service="")).status == status.NOT_SERVING, 10)
        bank.resume_redis()
        eventually(lambda: stub.Check(check(service="")).status == status.SERVING, 10)


def test_reflection(bank: bankkit.Bank) -> None:
    with grpc.insecure_channel(bank.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "BankService" in database.get_services()
        # We look up a message: with the oldest supported protobuf, this reflection client cannot
        # find a service that has no package.
        found = database.FindFileContainingSymbol("AccountRequest")
        assert found.SerializeToString() == bank_pb2.DESCRIPTOR.serialized_pb


def test_our_own_mistake_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The client is not the cause: a key of another program has the account's name."""
    with bankkit.Bank() as bank:
        bank.redis.set("bank:{odd}:account", "a string")
        code, reason, text = refusal(bank.stub.GetBalance, account("odd"))
        assert (code, reason) == ("INTERNAL", "INTERNAL")
        assert "WRONGTYPE" not in text
        assert "WRONGTYPE" in caplog.text


def test_a_refused_call_is_logged_at_info(
    bank: bankkit.Bank, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "bankkit"):
        refusal(bank.stub.GetBalance, account("nobody"))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        (
            "INFO",
            "GetBalance refused: ACCOUNT_NOT_FOUND: "
            "Account not found. Please check the account ID.",
        )
    ]
