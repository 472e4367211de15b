# %% A new request id for each try
# expects: make the id once, before the loop
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    for tries_left in (4, 3, 2, 1, 0):
        request = bank_pb2.DepositRequest(
            account_id=account_id, amount=dollars, request_id=uuid.uuid4().hex
        )
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or tries_left == 0:
                raise


# %% Compares balances
# expects: do not compare balances
import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    account = bank_pb2.AccountRequest(account_id=account_id)
    before = stub.GetBalance(account).balance
    for tries_left in (4, 3, 2, 1, 0):
        try:
            request = bank_pb2.DepositRequest(account_id=account_id, amount=dollars)
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or tries_left == 0:
                raise
            after = stub.GetBalance(account).balance
            if after > before:
                return after


# %% The same request id for every deposit
# expects: needs a new request id
import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest(account_id=account_id, amount=dollars, request_id="deposit")
    for tries_left in (4, 3, 2, 1, 0):
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or tries_left == 0:
                raise


# %% Sends only once
# expects: raised UNAVAILABLE at once
from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    return stub.Deposit(bank_pb2.DepositRequest(account_id=account_id, amount=dollars)).balance


# %% Hides every error
# expects: your function hides that
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=dollars, request_id=uuid.uuid4().hex
    )
    for _ in range(5):
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError:
            continue


# %% Gives up after three tries
# expects: would have taken the fifth attempt
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=dollars, request_id=uuid.uuid4().hex
    )
    for tries_left in (2, 1, 0):
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or tries_left == 0:
                raise
