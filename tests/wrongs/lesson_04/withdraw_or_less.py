# %% Looks at the balance first
# expects: A look protects nothing
def withdraw_or_less(client, account_id, dollars):
    balance = client.get_balance(account_id).balance
    if balance == 0:
        return 0
    amount = min(dollars, balance)
    client.withdraw(account_id, amount)
    return amount


# %% Tries only twice
# expects: Try in a loop until a withdrawal works
import grpc

import bankkit


def withdraw_or_less(client, account_id, dollars):
    try:
        client.withdraw(account_id, dollars)
        return dollars
    except bankkit.CallError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        rest = int(error.metadata["balance_cents"]) / 100
        if rest > 0:
            client.withdraw(account_id, rest)
        return rest


# %% Hides every error
# expects: your function hides it
import bankkit


def withdraw_or_less(client, account_id, dollars):
    while dollars:
        try:
            client.withdraw(account_id, dollars)
            return dollars
        except bankkit.CallError as error:
            dollars = int(error.metadata.get("balance_cents", 0)) / 100
    return 0


# %% Compares the text
# expects: compare the code
import bankkit


def withdraw_or_less(client, account_id, dollars):
    while dollars:
        try:
            client.withdraw(account_id, dollars)
            return dollars
        except bankkit.CallError as error:
            if error.details() != "Insufficient funds for the requested withdrawal.":
                raise
            dollars = int(error.metadata["balance_cents"]) / 100
    return 0


# %% Returns the balance that is left
# expects: the balance that is left
def withdraw_or_less(client, account_id, dollars):
    return client.withdraw(account_id, dollars).balance


# %% Catches nothing
# expects: Catch it, and withdraw what there is
def withdraw_or_less(client, account_id, dollars):
    client.withdraw(account_id, dollars)
    return dollars


# %% Looks at the balance after a refusal
# expects: A look protects nothing
import bankkit


def withdraw_or_less(client, account_id, dollars):
    try:
        client.withdraw(account_id, dollars)
        return dollars
    except bankkit.CallError as error:
        if error.reason != "INSUFFICIENT_FUNDS":
            raise
    balance = client.get_balance(account_id).balance
    if balance:
        client.withdraw(account_id, balance)
    return balance
