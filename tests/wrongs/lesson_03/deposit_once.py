# %% No request id
# expects: without a `request_id`
import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(account_id=account_id, amount=amount)
    while True:
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


# %% A new request id for each try
# expects: Make the id once, before the loop
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    while True:
        request = bank_pb2.DepositRequest(
            account_id=account_id, amount=amount, request_id=uuid.uuid4().hex
        )
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


# %% The same request id for equal deposits
# expects: for a retry of the first
import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=f"{account_id}-{amount}"
    )
    while True:
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


# %% Repeats after every error
# expects: A refusal is an answer
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=uuid.uuid4().hex
    )
    while True:
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError:
            continue


# %% Hides every error
# expects: your function hides it
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=uuid.uuid4().hex
    )
    for _ in range(5):
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError:
            pass


# %% Sends only once
# expects: gave up with UNAVAILABLE
import uuid

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=uuid.uuid4().hex
    )
    return stub.Deposit(request).balance
