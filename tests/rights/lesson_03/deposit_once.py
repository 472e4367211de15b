# %% Recursion that hands on the request
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount, request=None):
    request = request or bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=str(uuid.uuid1())
    )
    try:
        return stub.Deposit(request).balance
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return deposit_once(stub, account_id, amount, request)
        raise


# %% Builds the request anew, with the same id, and waits in between
import secrets
import time

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    key = secrets.token_urlsafe()
    pause = 0.001
    while True:
        try:
            reply = stub.Deposit(
                bank_pb2.DepositRequest(account_id=account_id, amount=amount, request_id=key),
                timeout=5,
            )
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(pause)
            pause *= 2
        else:
            return reply.balance


# %% Ids from a counter, and a generator of calls
import itertools
import os

import grpc

from bankkit.pb import bank_pb2

numbers = itertools.count(1)


def calls(stub, request):
    while True:
        call = stub.Deposit.future(request)
        if call.code() is not grpc.StatusCode.UNAVAILABLE:
            yield call


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=f"{os.getpid()}-{next(numbers)}"
    )
    return next(calls(stub, request)).result().balance


# %% An object for each deposit
import uuid

import grpc

from bankkit.pb import bank_pb2


class Deposit:
    def __init__(self, stub, **fields):
        self.stub = stub
        self.request = bank_pb2.DepositRequest(request_id=uuid.uuid4().hex, **fields)
        self.balance = None

    def is_done(self):
        try:
            self.balance = self.stub.Deposit(self.request).balance
        except grpc.RpcError as error:
            if error.code().name != "UNAVAILABLE":
                raise
        return self.balance is not None


def deposit_once(stub, account_id, amount):
    deposit = Deposit(stub, account_id=account_id, amount=amount)
    while not deposit.is_done():
        pass
    return deposit.balance
