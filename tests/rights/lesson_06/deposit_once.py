# %% Recursion that counts down
import uuid

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars, tries=5, request_id=None):
    request_id = request_id or str(uuid.uuid4())
    try:
        return stub.Deposit(
            bank_pb2.DepositRequest(account_id=account_id, amount=dollars, request_id=request_id)
        ).balance
    except grpc.RpcError as error:
        if tries > 1 and error.code() == grpc.StatusCode.UNAVAILABLE:
            return deposit_once(stub, account_id, dollars, tries - 1, request_id)
        raise


# %% Remembers the last error and raises it after the loop
import secrets

import grpc

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=dollars, request_id=secrets.token_hex(16)
    )
    last = None
    for _ in range(5):
        try:
            reply = stub.Deposit(request)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            last = error
        else:
            return reply.balance
    raise last


# %% Four tries that may fail, and a last one
import uuid

from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest()
    request.account_id, request.amount = account_id, dollars
    request.request_id = uuid.uuid4().hex
    for call in (stub.Deposit.future(request) for _ in range(4)):
        if call.code().name != "UNAVAILABLE":
            return call.result().balance
    return stub.Deposit(request).balance
