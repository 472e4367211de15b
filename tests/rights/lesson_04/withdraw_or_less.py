# %% Looks each time, and tries again if another client was faster
import grpc

import bankkit


def withdraw_or_less(client, account_id, dollars):
    while True:
        amount = min(dollars, client.get_balance(account_id).balance)
        if amount == 0:
            return 0
        try:
            client.withdraw(account_id, amount)
            return amount
        except bankkit.CallError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise


# %% Recursion, and the reason instead of the code
import bankkit


def withdraw_or_less(client, account_id, dollars):
    if dollars == 0:
        return 0
    try:
        client.withdraw(account_id, dollars)
    except bankkit.CallError as error:
        if error.reason != "INSUFFICIENT_FUNDS":
            raise
        left = int(error.metadata["balance_cents"]) / 100
        return withdraw_or_less(client, account_id, left)
    return dollars


# %% Asks for the balance after each refusal
import itertools

import bankkit


def withdraw_or_less(client, account_id, dollars):
    for _ in itertools.count():
        try:
            client.withdraw(account_id, dollars)
        except bankkit.CallError as error:
            if error.code().name == "FAILED_PRECONDITION":
                dollars = min(dollars, client.get_balance(account_id).balance)
                if dollars:
                    continue
                return 0.0
            raise
        return dollars


# %% The stub of the client
import grpc

import bankkit
from bankkit.pb import bank_pb2


def withdraw_or_less(client, account_id, dollars):
    while dollars:
        request = bank_pb2.WithdrawRequest(account_id=account_id, amount=dollars)
        call = client.stub.Withdraw.future(request)
        if call.code() is grpc.StatusCode.FAILED_PRECONDITION:
            cents = int(bankkit.error_info(call.exception()).metadata["balance_cents"])
            dollars = cents / 100
        else:
            call.result()
            return dollars
    return 0


# %% Decimal
from decimal import Decimal

import grpc

import bankkit


def withdraw_or_less(client, account_id, dollars):
    amount = Decimal(str(dollars))
    while amount:
        try:
            client.withdraw(account_id, amount)
            break
        except bankkit.CallError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            amount = Decimal(error.metadata["balance_cents"]).scaleb(-2)
    return amount
