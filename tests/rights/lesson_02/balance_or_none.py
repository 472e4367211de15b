# %% A future, and its code
import grpc

from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    call = stub.GetBalance.future(bank_pb2.AccountRequest(account_id=account_id))
    if call.code() is grpc.StatusCode.NOT_FOUND:
        return None
    return call.result().balance


# %% match, and an implicit None
import grpc

from bankkit.pb import bank_pb2


def balance_or_none(stub, account_id):
    try:
        reply, _ = stub.GetBalance.with_call(bank_pb2.AccountRequest(account_id=account_id))
    except grpc.RpcError as error:
        match error.code():
            case grpc.StatusCode.NOT_FOUND:
                pass
            case _:
                raise
    else:
        return reply.balance


# %% A context manager that lets one code pass
import contextlib

import grpc

from bankkit.pb import bank_pb2


@contextlib.contextmanager
def no_such_account_is_fine():
    try:
        yield
    except grpc.RpcError as error:
        if error.code().name != "NOT_FOUND":
            raise


def balance_or_none(stub, account_id):
    balance = None
    with no_such_account_is_fine():
        balance = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    return balance
