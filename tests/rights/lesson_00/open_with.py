# %% Asks for the balance afterwards
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    client.deposit(account_id, dollars)
    return client.get_balance(account_id).balance


# %% A lambda under another name
both_calls = lambda client, account_id, dollars: (  # noqa: E731
    client.create_account(account_id),
    client.deposit(account_id, dollars).balance,
)[-1]

open_with = both_calls


# %% A method of an object
class Counter:
    """Where accounts are opened, with the first deposit in hand."""

    def __init__(self, account_type):
        self.account_type = account_type

    def serve(self, client, account_id, dollars):
        client.create_account(account_id, self.account_type)
        return client.deposit(account_id, dollars).balance


open_with = Counter("checking").serve


# %% The stub of the client, and messages by hand
from bankkit.pb import bank_pb2


def open_with(client, account_id, dollars):
    stub = client.stub
    stub.CreateAccount(bank_pb2.AccountRequest(account_id=account_id, account_type="savings"))
    return stub.Deposit(bank_pb2.DepositRequest(account_id=account_id, amount=dollars)).balance
