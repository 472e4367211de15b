# %% Looks first, and handles a faster client
import grpc

from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.GetBalance(request)
        return False
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
    try:
        stub.CreateAccount(request)
        return True
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.ALREADY_EXISTS:
            return False
        raise


# %% Compares the reason
import grpc

import bankkit
from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    try:
        stub.CreateAccount(bank_pb2.AccountRequest(account_id=account_id, account_type="savings"))
    except grpc.RpcError as error:
        info = bankkit.error_info(error)
        if info is None or info.reason != "ACCOUNT_EXISTS":
            raise
        return False
    else:
        return True


# %% Compares the number of the code, of a future
from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    call = stub.CreateAccount.future(
        bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    )
    number, _ = call.code().value
    if number not in (0, 6):
        raise call.exception()
    return number == 0


# %% A decorator that turns one code into False
import functools

import grpc

from bankkit.pb import bank_pb2


def false_if(code):
    def decorate(function):
        @functools.wraps(function)
        def wrapped(*arguments, **options):
            try:
                return function(*arguments, **options)
            except grpc.RpcError as error:
                if error.code() is code:
                    return False
                raise error

        return wrapped

    return decorate


@false_if(grpc.StatusCode.ALREADY_EXISTS)
def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_type="savings")
    request.account_id = account_id
    return stub.CreateAccount(request).account_id == account_id
