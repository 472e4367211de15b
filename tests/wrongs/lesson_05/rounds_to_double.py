# %% Goes on although a round adds nothing
# expects: Return `None` once a round adds nothing
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    first = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    request = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
    balance, rounds = first, 0
    while balance < 2 * first:
        balance = stub.CalculateInterest(request).balance
        rounds += 1
    return rounds


# %% A formula without cents
# expects: A formula for 5 % says 15
import math


def rounds_to_double(stub, account_id, percent):
    return math.ceil(math.log(2) / math.log(1 + percent / 100))


# %% Waits for more than twice as much
# expects: twice as much is enough
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    first = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    request = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
    balance, rounds = first, 0
    while balance <= 2 * first:
        before, rounds = balance, rounds + 1
        balance = stub.CalculateInterest(request).balance
        if balance == before:
            return None
    return rounds


# %% Sends the rate as a factor
# expects: It sends the rate 0.1.
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    first = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    request = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent / 100)
    balance, rounds = first, 0
    while balance < 2 * first:
        before, rounds = balance, rounds + 1
        balance = stub.CalculateInterest(request).balance
        if balance == before:
            return None
    return rounds


# %% Calculates without the bank
# expects: you did not call the bank
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    balance = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    cents = round(balance * 100)
    goal, rounds = 2 * cents, 0
    while cents < goal:
        interest = round(cents * percent / 100)
        if interest == 0:
            return None
        cents, rounds = cents + interest, rounds + 1
    return rounds
