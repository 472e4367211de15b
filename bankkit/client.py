"""The client's side: a channel, deadlines, request ids, retries, readable errors.

    client = connect("127.0.0.1:50051")
    client.create_account("alice")
    client.deposit("alice", 10)

A write is retried by gRPC itself when the bank is UNAVAILABLE. That is safe because each carries
a request id: however many copies arrive, the money moves once.

Several servers of one bank are one address, `127.0.0.1:50051,127.0.0.1:50052`: calls take turns,
and those of a server that died go to the others.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bankkit.locks.protocol import seconds
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.rpc.channels import Gate, open_channel
from bankkit.runtime.closing import Closing
from bankkit.runtime.pickling import Copied, Unique
from bankkit.tls import NO_TLS, PathLike, TlsFiles

TIMEOUT_SECONDS = 10.0

LONGEST_SECONDS = 1e9
"""Some 30 years. A deadline past what 64 bits count in nanoseconds would be over at once."""

RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"],
}
"""For all methods but CreateAccount, which has no request id. ABORTED is a server that lost its
lock before it had changed anything."""

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

_ADDRESS = re.compile(r"([^\s:/,\[\]]+|\[[0-9A-Fa-f:.%]+\]):([0-9]{1,5})")


_TLS_TROUBLE = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is out of date, or not signed by the CA in "
    "tls_ca",
    "Hostname Verification Check failed": "its certificate is for another name than the one in "
    "the address",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: connect without tls_ca",
    "CERTIFICATE_REQUIRED": "it asks for a certificate: give tls_cert and tls_key",
    "UNKNOWN_CA": "it does not know the CA that has signed the certificate in tls_cert",
}


class CallError(Copied, grpc.RpcError):
    """A call that the bank refused or that did not reach it.

    `code()` and `details()` are gRPC's; `reason` and `metadata` come from the ErrorInfo and are
    empty where there was none (then the error was made on the way, not by the bank).
    """

    def __init__(self, call: grpc.Call) -> None:
        self._code: grpc.StatusCode = call.code()
        self._details: str = _in_words(call.details() or "")
        info = error_info(call)
        self.reason: str = info.reason if info else ""
        self.metadata: dict[str, str] = dict(info.metadata) if info else {}
        super().__init__(f"{self._code.name}: {self._details}")

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def _in_words(details: str) -> str:
    """What gRPC says when TLS fails names lines of its source, and not what to do."""
    for mark, text in _TLS_TROUBLE.items():
        if mark in details:
            return f"TLS with the bank fails: {text}."
    return details


def error_info(error: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo that came with a failed call, if any."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


class Client(Closing, Unique):
    """The five RPCs as methods; a context manager that closes its channel.

    Each method returns the reply message and raises `CallError`. `timeout` is in seconds, for the
    whole call with its retries; the client's own holds where a call names none, and None there is
    no limit. A write makes a new request id unless it is given one: pass the same one to ask "did
    my deposit happen?" again.

    A method raises RuntimeError once the client is closed, and in a process that was forked since
    it was made: nothing was sent, and no retry can help. `gate` is for clients that end with
    something else.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = TIMEOUT_SECONDS,
        tls: TlsFiles = NO_TLS,
        gate: Gate | None = None,
    ) -> None:
        self.address = address
        self.timeout = _limit(timeout)
        self._gate = gate or Gate("client")
        self.channel = open_channel(address, SERVICE_CONFIG, tls, self._gate)
        self.stub = bank_pb2_grpc.BankServiceStub(self.channel)

    def create_account(
        self, account_id: str, account_type: str = "savings", *, timeout: float | None = None
    ) -> bank_pb2.AccountResponse:
        request = _message(
            bank_pb2.AccountRequest, account_id=account_id, account_type=account_type
        )
        reply: bank_pb2.AccountResponse = self._call(self.stub.CreateAccount, request, timeout)
        return reply

    def get_balance(
        self, account_id: str, *, timeout: float | None = None
    ) -> bank_pb2.BalanceResponse:
        request = _message(bank_pb2.AccountRequest, account_id=account_id)
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
        request = _message(
            bank_pb2.DepositRequest,
            account_id=account_id,
            amount=amount,
            request_id=_or_new(request_id),
        )
        return self._write(self.stub.Deposit, request, timeout)

    def withdraw(
        self,
        account_id: str,
        amount: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        request = _message(
            bank_pb2.WithdrawRequest,
            account_id=account_id,
            amount=amount,
            request_id=_or_new(request_id),
        )
        return self._write(self.stub.Withdraw, request, timeout)

    def calculate_interest(
        self,
        account_id: str,
        annual_interest_rate: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        """`annual_interest_rate` is in percent: 5 for 5 %."""
        request = _message(
            bank_pb2.InterestRequest,
            account_id=account_id,
            annual_interest_rate=annual_interest_rate,
            request_id=_or_new(request_id),
        )
        return self._write(self.stub.CalculateInterest, request, timeout)

    def close(self) -> None:
        """Safe to call again; does nothing in a child of a fork."""
        self._gate.close("This client is closed: make a new one.")
        self.channel.close()

    def _write(
        self, method: Callable[..., Any], request: Message, timeout: float | None
    ) -> bank_pb2.TransactionResponse:
        reply: bank_pb2.TransactionResponse = self._call(method, request, timeout)
        return reply

    def _call(self, method: Callable[..., Any], request: object, timeout: float | None) -> Any:
        limit = _limit(self.timeout if timeout is None else timeout)
        with _readable():
            return method(request, timeout=limit)


_M = TypeVar("_M", bound=Message)


def _message(kind: Callable[..., _M], **fields: object) -> _M:
    """Raises TypeError that names the field whose value has a wrong type or is not Unicode."""
    try:
        return kind(**fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            try:
                kind(**{name: value})
            except (TypeError, ValueError):
                wanted = "text" if name.endswith(("_id", "_type")) else "a number"
                raise TypeError(f"{name} must be {wanted}, not {value!r}.") from None
        raise


def _or_new(request_id: str | None) -> str:
    return uuid.uuid4().hex if request_id is None else request_id


def _limit(timeout: float | None) -> float | None:
    """The timeout as gRPC takes it. Raises ValueError for a bad one."""
    return None if timeout is None else min(seconds(timeout), LONGEST_SECONDS)


def connect(
    address: str,
    *,
    timeout: float | None = TIMEOUT_SECONDS,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
) -> Client:
    """A client of the bank at `HOST:PORT`, which need not be up yet.

    Several servers of one bank are separated by commas, with numbers for hosts. `tls_ca` is the
    file of the CA that has signed the server's certificate; `tls_cert` and `tls_key` are what the
    client shows to a server that asks for it. Raises ValueError for arguments that are none.
    """
    check_address(address)
    return Client(address, timeout=timeout, tls=TlsFiles(tls_cert, tls_key, tls_ca))


def check_address(address: str) -> None:
    """Raises ValueError that says what is allowed."""
    if not isinstance(address, str):
        raise _no_address(address)
    several = address.split(",")
    for one in several:
        found = _ADDRESS.fullmatch(one)
        if found is None or not 0 < int(found[2]) < 65536:
            raise _no_address(address)
        if len(several) > 1 and not _is_ipv4(found[1]):
            raise ValueError(f"Among several addresses each must be IPv4 in numbers, not {one!r}.")


def _no_address(address: object) -> ValueError:
    return ValueError(f"address must be HOST:PORT, such as 127.0.0.1:50051, not {address!r}.")


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call):
            raise
        raise CallError(error) from None
