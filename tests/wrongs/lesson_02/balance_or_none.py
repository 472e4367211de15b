# %% Takes every error for a missing account
# expects: your function hides that
import grpc

from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    try:
        return stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    except grpc.RpcError:
        return None


# %% Takes a missing account for an empty one
# expects: A missing account is not an empty one
import grpc

from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    try:
        return stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    except grpc.RpcError:
        return 0.0


# %% Takes an empty account for a missing one
# expects: Zero counts as false in Python
import grpc

from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    try:
        balance = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        balance = 0.0
    return balance or None


# %% Catches nothing
# expects: raised NOT_FOUND
from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    return stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
