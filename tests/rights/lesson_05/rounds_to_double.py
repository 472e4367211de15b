# %% Whole cents, and a for loop
import itertools

from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    def cents(reply):
        return round(reply.balance * 100)

    goal = 2 * cents(stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)))
    before = goal // 2
    for calls in itertools.count(1):
        now = cents(
            stub.CalculateInterest(
                bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
            )
        )
        if now >= goal:
            return calls
        if now == before:
            return None
        before = now


# %% Recursion
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    account = bank_pb2.AccountRequest(account_id=account_id)
    rate = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)

    def rounds(before, goal):
        if before >= goal:
            return 0
        now = stub.CalculateInterest(rate).balance
        more = None if now == before else rounds(now, goal)
        return None if more is None else 1 + more

    first = stub.GetBalance(account).balance
    return rounds(first, first * 2)


# %% Asks for the balance after each call
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    balances = [stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance]
    while balances[-1] < balances[0] + balances[0]:
        stub.CalculateInterest(
            bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
        )
        balances.append(stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance)
        if balances[-1] == balances[-2]:
            return
    return len(balances) - 1


# %% Tests beforehand whether the interest rounds to 0
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    first = balance = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    if round(first * percent) == 0:  # cents: dollars times 100, percent divided by 100
        return None
    request = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
    rounds = 0
    while balance / 2 < first:
        balance = stub.CalculateInterest(request).balance
        rounds += 1
    return rounds
