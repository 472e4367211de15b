"""Turns an error of the bank into the gRPC status for the client: code, text, `ErrorInfo`."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from bankkit import accounts
from bankkit.accounts import BankError

DOMAIN = "bankkit"
"""`ErrorInfo.domain` of every error."""


class InvalidMessage(BankError):
    """The bytes that a client sent are not a message of the method."""

    reason = "INVALID_MESSAGE"
    text = "The bytes sent are not a message of this method."


class Internal(BankError):
    """A bug in the server; its log has the traceback."""

    reason = "INTERNAL"
    text = "The server made a mistake; its log says which."


STATUS: dict[type[BankError], grpc.StatusCode] = {
    accounts.InvalidAccountId: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.InvalidAccountType: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.InvalidRequestId: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.RequestIdReused: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.InvalidAmount: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.InvalidRate: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidMessage: grpc.StatusCode.INVALID_ARGUMENT,
    accounts.LimitExceeded: grpc.StatusCode.OUT_OF_RANGE,
    accounts.AccountExists: grpc.StatusCode.ALREADY_EXISTS,
    accounts.AccountNotFound: grpc.StatusCode.NOT_FOUND,
    accounts.InsufficientFunds: grpc.StatusCode.FAILED_PRECONDITION,
    accounts.Busy: grpc.StatusCode.DEADLINE_EXCEEDED,
    accounts.TooLate: grpc.StatusCode.DEADLINE_EXCEEDED,
    accounts.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    accounts.LockLost: grpc.StatusCode.ABORTED,
    accounts.NamespaceLost: grpc.StatusCode.UNAVAILABLE,
    accounts.StoreUnfit: grpc.StatusCode.UNAVAILABLE,
    accounts.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Internal: grpc.StatusCode.INTERNAL,
}
"""The gRPC code of each error."""


def abort(context: grpc.ServicerContext, error: BankError) -> NoReturn:
    """Ends the call with the status of the error."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    code = STATUS[type(error)].value[0]
    status = status_pb2.Status(code=code, message=error.text, details=[detail])
    context.abort_with_status(rpc_status.to_status(status))
