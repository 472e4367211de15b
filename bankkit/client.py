"""The client's side: a channel, deadlines, request ids, retries, readable errors.

    client = connect("127.0.0.1:50051")
    client.create_account("alice")
    client.deposit("alice", 10)

A write is retried by gRPC itself when the bank is UNAVAILABLE. That is safe because each carries
a request id: however many copies arrive, the money moves once.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bankkit.pb import bank_pb2, bank_pb2_grpc

TIMEOUT_SECONDS = 10.0

RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""For all methods but CreateAccount, which has no request id."""

SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "BankService", "method": method}
                for method in ("GetBalance", "Deposit", "Withdraw", "CalculateInterest")
            ],
            "retryPolicy": RETRY_POLICY,
        }
    ]
}


_ADDRESS = re.compile(r"(?:[^\s:/\[\]]+|\[[0-9A-Fa-f:.%]+\]):([0-9]{1,5})")


class CallError(grpc.RpcError):
    """A call that the bank refused or that did not reach it.

    `code()` and `details()` are gRPC's; `reason` and `metadata` come from the ErrorInfo and are
    empty where there was none (then the error was made on the way, not by the bank).
    """

    def __init__(self, call: grpc.Call) -> None:
        self._code: grpc.StatusCode = call.code()
        self._details: str = call.details() or ""
        info = error_info(call)
        self.reason: str = info.reason if info else ""
        self.metadata: dict[str, str] = dict(info.metadata) if info else {}
        super().__init__(f"{self._code.name}: {self._details}")

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def error_info(error: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo that came with a failed call, if any."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


class Client:
    """The five RPCs as methods; a context manager that closes its channel.

    Each method returns the reply message and raises `CallError`. `timeout` is in seconds, for the
    whole call with its retries. A write makes a new request id unless it is given one: pass the
    same one to ask "did my deposit happen?" again.
    """

    def __init__(self, address: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self.timeout = timeout
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.service_config", json.dumps(SERVICE_CONFIG))]
        )
        self.stub = bank_pb2_grpc.BankServiceStub(self.channel)

    def create_account(
        self, account_id: str, account_type: str = "savings", *, timeout: float | None = None
    ) -> bank_pb2.AccountResponse:
        request = bank_pb2.AccountRequest(account_id=account_id, account_type=account_type)
        reply: bank_pb2.AccountResponse = self._call(self.stub.CreateAccount, request, timeout)
        return reply

    def get_balance(
        self, account_id: str, *, timeout: float | None = None
    ) -> bank_pb2.BalanceResponse:
        request = bank_pb2.AccountRequest(account_id=account_id)
        reply: bank_pb2.BalanceResponse = self._call(self.stub.GetBalance, request, timeout)
        return reply

    def deposit(
        self,
        account_id: str,
        amount: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        request = bank_pb2.DepositRequest(
            account_id=account_id, amount=amount, request_id=_or_new(request_id)
        )
        reply: bank_pb2.TransactionResponse = self._call(self.stub.Deposit, request, timeout)
        return reply

    def withdraw(
        self,
        account_id: str,
        amount: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        request = bank_pb2.WithdrawRequest(
            account_id=account_id, amount=amount, request_id=_or_new(request_id)
        )
        reply: bank_pb2.TransactionResponse = self._call(self.stub.Withdraw, request, timeout)
        return reply

    def calculate_interest(
        self,
        account_id: str,
        annual_interest_rate: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        """`annual_interest_rate` is in percent: 5 for 5 %."""
        request = bank_pb2.InterestRequest(
            account_id=account_id,
            annual_interest_rate=annual_interest_rate,
            request_id=_or_new(request_id),
        )
        reply: bank_pb2.TransactionResponse = self._call(
            self.stub.CalculateInterest, request, timeout
        )
        return reply

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], request: object, timeout: float | None) -> Any:
        with _readable():
            return method(request, timeout=self.timeout if timeout is None else timeout)


def connect(address: str, *, timeout: float = TIMEOUT_SECONDS) -> Client:
    """A client of the bank at `HOST:PORT`, which need not be up yet."""
    found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if found is None or not 0 < int(found[1]) < 65536:
        raise ValueError(f"address must be HOST:PORT, such as 127.0.0.1:50051, not {address!r}.")
    return Client(address, timeout=timeout)


def _or_new(request_id: str | None) -> str:
    return uuid.uuid4().hex if request_id is None else request_id


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call):
            raise
        raise CallError(error) from None
