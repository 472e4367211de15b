"""RPC in, teller called, status out.

Handlers are registered by hand rather than with the generated `add_…_to_server`: bytes that are no
message must become INVALID_ARGUMENT (grpcio answers INTERNAL by itself), and calls past the limit
must be refused with the same kind of error as every other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from bankkit import accounts, money
from bankkit.accounts import BankError
from bankkit.pb import bank_pb2
from bankkit.rpc.status import Internal, InvalidMessage, abort
from bankkit.teller import CallDeadline, Teller

_FOREVER = 10.0 * 365 * 24 * 60 * 60  # gRPC says 9.2e18 s for "no deadline"

_log = logging.getLogger("bankkit")


class BankService(grpc.GenericRpcHandler):
    """The five RPCs of `proto/bank.proto`.

    `is_full` says whether the server has as many calls as it will queue, and `max_wait` how many
    seconds a call without a deadline may wait.
    """

    def __init__(
        self,
        teller: Teller,
        *,
        is_full: Callable[[], bool],
        max_wait: float,
    ) -> None:
        self.teller = teller
        self._is_full = is_full
        self._max_wait = max_wait
        self._refuse = _Refuse()
        self._refusal: Any = grpc.stream_unary_rpc_method_handler(self._refuse)
        self._methods = {
            f"/BankService/{method.__name__}": _handler(method, request_type)
            for method, request_type in (
                (self.CreateAccount, bank_pb2.AccountRequest),
                (self.GetBalance, bank_pb2.AccountRequest),
                (self.Deposit, bank_pb2.DepositRequest),
                (self.Withdraw, bank_pb2.WithdrawRequest),
                (self.CalculateInterest, bank_pb2.InterestRequest),
            )
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method of the bank, or the refusal of one call too many."""
        handler = self._methods.get(handler_call_details.method)
        return self._refusal if handler and self._is_full() else handler

    def close(self) -> None:
        """Ends the thread that refuses calls, if there is one."""
        self._refuse.experimental_thread_pool.shutdown()

    def CreateAccount(
        self, request: bank_pb2.AccountRequest, context: grpc.ServicerContext
    ) -> bank_pb2.AccountResponse:
        """Open an account with nothing in it."""
        account = self.teller.create(request.account_id, request.account_type)
        return bank_pb2.AccountResponse(
            account_id=account.id,
            message="Account created successfully.",
            balance=money.to_dollars(account.balance),
        )

    def GetBalance(
        self, request: bank_pb2.AccountRequest, context: grpc.ServicerContext
    ) -> bank_pb2.BalanceResponse:
        """Read the balance."""
        cents = self.teller.balance(request.account_id, self._deadline(context))
        return bank_pb2.BalanceResponse(
            account_id=request.account_id,
            message="Balance retrieved.",
            balance=money.to_dollars(cents),
        )

    def Deposit(
        self, request: bank_pb2.DepositRequest, context: grpc.ServicerContext
    ) -> bank_pb2.TransactionResponse:
        """Add an amount to the balance."""
        cents = self.teller.deposit(
            request.account_id, request.amount, request.request_id, self._deadline(context)
        )
        return _transaction(request.account_id, "Deposit successful.", cents)

    def Withdraw(
        self, request: bank_pb2.WithdrawRequest, context: grpc.ServicerContext
    ) -> bank_pb2.TransactionResponse:
        """Take an amount from the balance."""
        cents = self.teller.withdraw(
            request.account_id, request.amount, request.request_id, self._deadline(context)
        )
        return _transaction(request.account_id, "Withdrawal successful.", cents)

    def CalculateInterest(
        self, request: bank_pb2.InterestRequest, context: grpc.ServicerContext
    ) -> bank_pb2.TransactionResponse:
        """Add the interest of one year to the balance."""
        cents = self.teller.add_interest(
            request.account_id,
            request.annual_interest_rate,
            request.request_id,
            self._deadline(context),
        )
        return _transaction(request.account_id, "Interest added.", cents)

    def _deadline(self, context: grpc.ServicerContext) -> CallDeadline:
        remaining = context.time_remaining()
        if remaining is None or remaining > _FOREVER:
            remaining = self._max_wait
        return CallDeadline(time.monotonic() + remaining, context.is_active)


def _transaction(account_id: str, message: str, cents: int) -> bank_pb2.TransactionResponse:
    return bank_pb2.TransactionResponse(
        account_id=account_id, message=message, balance=money.to_dollars(cents)
    )


def _handler(method: Callable[[Any, Any], Message], request_type: type[Message]) -> Any:
    """A grpcio handler whose every failure is one of the statuses of `bankkit.rpc.status`."""

    def parse(data: bytes) -> Message | DecodeError:
        try:
            return request_type.FromString(data)
        except DecodeError as error:
            return error

    def answer(request: Message | DecodeError, context: grpc.ServicerContext) -> Message:
        try:
            if isinstance(request, DecodeError):
                raise InvalidMessage
            return method(request, context)
        except BankError as error:
            _log.info("%s refused: %s: %s", method.__name__, error.reason, error)
            refusal = error
        except Exception:
            _log.exception("%s failed", method.__name__)
            refusal = Internal()
        abort(context, refusal)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=parse, response_serializer=_serialize
    )


def _serialize(response: Message) -> bytes:
    return response.SerializeToString()


class _Refuse:
    """Refuses a call without waiting for its message, on a separate thread: all threads of the
    server may be busy.

    grpcio runs a handler on the executor in its `experimental_thread_pool`. Without that attribute
    it would run the handler after the queued calls: later, but still correctly.
    """

    def __init__(self) -> None:
        self.experimental_thread_pool = ThreadPoolExecutor(1, "bankkit-refuse")

    def __call__(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
        abort(context, accounts.Overloaded())
