# %% Takes every error for a duplicate
# expects: your function hides it
import grpc

from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.CreateAccount(request)
    except grpc.RpcError:
        return False
    return True


# %% Compares the text
# expects: compare the code
import grpc

from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        if error.details() != "Account already exists.":
            raise
        return False
    return True


# %% Looks before it opens
# expects: between your look and your call
import grpc

from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.GetBalance(request)
        return False
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
    stub.CreateAccount(request)
    return True


# %% Catches nothing
# expects: that is not a failure
from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    stub.CreateAccount(bank_pb2.AccountRequest(account_id=account_id, account_type="savings"))
    return True


# %% Returns names of codes
# expects: must return `True` or `False`
import grpc

from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"
