# %% Makes no call
# expects: Redis does not have it
def open(stub, id):
    return "OK"


# %% Catches nothing
# expects: raised ALREADY_EXISTS: Account already exists.
from bankkit.pb import bank_pb2


def open(stub, id):
    stub.CreateAccount(bank_pb2.AccountRequest(account_id=id, account_type="savings"))
    return "OK"


# %% Takes every error for a duplicate
# expects: must give `OK`
from bankkit.pb import bank_pb2


def open(stub, id):
    try:
        stub.CreateAccount(bank_pb2.AccountRequest(account_id=id))
        return "OK"
    except Exception:
        return "ALREADY_EXISTS"
