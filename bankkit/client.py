"""The client's side: a channel, deadlines, request ids, retries, readable errors.

    client = connect("127.0.0.1:50051")
    client.create_account("alice")
    client.deposit("alice", 10)

gRPC retries a write when the bank is UNAVAILABLE. That is safe because each write carries a request
id: however many copies arrive, the money moves once.

The address of a bank with several servers lists them all, `127.0.0.1:50051,127.0.0.1:50052`: calls
go to the servers in turn, and to the others when one has died.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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
"""Some 30 years. A deadline that does not fit in 64 bits of nanoseconds would expire at once."""

RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"],
}
"""For all methods except CreateAccount, a write without a request id. ABORTED means that the server
lost its lock before it changed anything."""

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
    "CERTIFICATE_VERIFY_FAILED": "its certificate has expired, or was not signed by the CA in "
    "tls_ca",
    "Hostname Verification Check failed": "its certificate is for a different name than the "
    "one in the address",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: connect without tls_ca",
    "CERTIFICATE_REQUIRED": "it asks for a certificate: give tls_cert and tls_key",
    "UNKNOWN_CA": "it does not trust the CA that signed the certificate in tls_cert",
}


class CallError(Copied, grpc.RpcError):
    """A call that the bank refused, or that did not reach it.

    `code()` and `details()` are those of gRPC. `reason` and `metadata` come from the ErrorInfo.
    They are empty if there was none: then the error does not come from the bank.
    """

    def __init__(self, call: grpc.Call) -> None:
        self._code: grpc.StatusCode = call.code()
        self._details: str = _in_words(call.details() or "")
        info = error_info(call)
        self.reason: str = info.reason if info else ""
        self.metadata: dict[str, str] = dict(info.metadata) if info else {}
        super().__init__(f"{self._code.name}: {self._details}")

    def code(self) -> grpc.StatusCode:
        """The gRPC status, such as NOT_FOUND."""
        return self._code

    def details(self) -> str:
        """The error in words."""
        return self._details


def _in_words(details: str) -> str:
    """Replaces the details of a TLS error: gRPC's own name lines of its source, not the fix."""
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

    Each method returns the reply message, or raises `CallError`. `timeout` is in seconds, for the
    whole call with its retries. A call without one uses the client's; None there means no limit.
    A write without a `request_id` gets a new one. To find out whether a deposit happened, send it
    again with the same `request_id`.

    A method raises RuntimeError if the client is closed, or if the process was forked after the
    client was made: then nothing was sent, and a retry cannot help. A `gate` closes this client
    together with its other clients and channels.
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
        """Opens an account with a balance of 0. Never retried, because it has no request id."""
        request = _message(
            bank_pb2.AccountRequest, account_id=account_id, account_type=account_type
        )
        reply: bank_pb2.AccountResponse = self._call(self.stub.CreateAccount, request, timeout)
        return reply

    def get_balance(
        self, account_id: str, *, timeout: float | None = None
    ) -> bank_pb2.BalanceResponse:
        """The balance in dollars."""
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
        """Adds `amount` dollars; the reply has the new balance."""
        fields = {"account_id": account_id, "amount": amount}
        return self._write(self.stub.Deposit, bank_pb2.DepositRequest, fields, request_id, timeout)

    def withdraw(
        self,
        account_id: str,
        amount: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        """Takes `amount` dollars out; the reply has the new balance."""
        fields = {"account_id": account_id, "amount": amount}
        return self._write(
            self.stub.Withdraw, bank_pb2.WithdrawRequest, fields, request_id, timeout
        )

    def calculate_interest(
        self,
        account_id: str,
        annual_interest_rate: float,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> bank_pb2.TransactionResponse:
        """Adds one year's interest; the rate is in percent: 5 for 5 %."""
        fields = {"account_id": account_id, "annual_interest_rate": annual_interest_rate}
        return self._write(
            self.stub.CalculateInterest, bank_pb2.InterestRequest, fields, request_id, timeout
        )

    def close(self) -> None:
        """Closes the channel. Safe to call again; does nothing in a forked child."""
        self._gate.close("This client is closed: make a new one.")
        self.channel.close()

    def _write(
        self,
        method: Callable[..., Any],
        kind: Callable[..., Message],
        fields: Mapping[str, object],
        request_id: str | None,
        timeout: float | None,
    ) -> bank_pb2.TransactionResponse:
        request_id = uuid.uuid4().hex if request_id is None else request_id
        request = _message(kind, **fields, request_id=request_id)
        reply: bank_pb2.TransactionResponse = self._call(method, request, timeout)
        return reply

    def _call(self, method: Callable[..., Any], request: object, timeout: float | None) -> Any:
        limit = _limit(self.timeout if timeout is None else timeout)
        with _readable():
            return method(request, timeout=limit)


def _message(kind: Callable[..., Message], **fields: object) -> Message:
    """A message of this kind. Raises TypeError that names a field whose value does not fit."""
    try:
        if any(isinstance(value, bool) for value in fields.values()):
            raise TypeError("protobuf would take True for 1")
        return kind(**fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            if not _fits(kind, name, value):
                wanted = "text" if name.endswith(("_id", "_type")) else "a number"
                raise TypeError(f"{name} must be {wanted}, not {value!r}.") from None
        raise


def _fits(kind: Callable[..., Message], name: str, value: object) -> bool:
    try:
        kind(**{name: value})
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _limit(timeout: float | None) -> float | None:
    """The timeout for gRPC, in seconds. Raises ValueError for a bad one."""
    return None if timeout is None else min(seconds(timeout), LONGEST_SECONDS)


def connect(
    address: str,
    *,
    timeout: float | None = TIMEOUT_SECONDS,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
) -> Client:
    """A client of the bank at `HOST:PORT`. The bank need not be running yet.

    For a bank of several servers, separate the addresses by commas; each HOST must then be an IPv4
    address. `tls_ca` is the file of the CA that signed the server's certificate. `tls_cert` and
    `tls_key` are the client's own certificate and key, for a server that asks for them. Raises
    ValueError for a bad argument.
    """
    check_address(address)
    return Client(address, timeout=timeout, tls=TlsFiles(tls_cert, tls_key, tls_ca))


def check_address(address: str) -> None:
    """Raises ValueError if `address` is not `HOST:PORT`, or several separated by commas."""
    if not isinstance(address, str):
        raise _no_address(address)
    several = address.split(",")
    for one in several:
        found = _ADDRESS.fullmatch(one)
        if found is None or not 0 < int(found[2]) < 65536:
            raise _no_address(address)
        if len(several) > 1 and not _is_ipv4(found[1]):
            raise ValueError(f"Each of several addresses must be IPv4 in numbers, not {one!r}.")


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
