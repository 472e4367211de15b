# %% A future
from bankkit.pb import bank_pb2


def open(stub, id):
    call = stub.CreateAccount.future(bank_pb2.AccountRequest(account_id=id, account_type="savings"))
    return call.code().name
