"""The account, the rules for its balance, and the errors of the bank: no I/O.

Amounts and balances are whole cents. A rule takes the balance and returns the new one, or raises a
`BankError`. Its text says why, and the client will read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import ClassVar

from bankkit import money
from bankkit.runtime.pickling import Copied

ACCOUNT_TYPES = ("savings", "checking")
MAX_REQUEST_ID = 128
"""The most characters that a request id may have."""

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A product of 16 digits of cents and 17 digits of a double has 33, so this precision is enough.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)

Rule = Callable[[int], int]
"""Takes a balance and returns the new one, or raises a `BankError`."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account at one moment."""

    id: str
    type: str
    balance: int
    """Cents."""


class BankError(Copied, Exception):
    """An operation that the bank refused or could not do.

    `reason` is for programs (`INSUFFICIENT_FUNDS`), and `text` is for people. `metadata` has the
    numbers behind the error, as strings.
    """

    reason: ClassVar[str]
    text: str

    def __init__(self, text: str | None = None, **metadata: object) -> None:
        if text is not None:
            self.text = text
        self.metadata = {key: str(value) for key, value in metadata.items()}
        super().__init__(self.text)


class InvalidAccountId(BankError):
    """The account id is too long, is empty, or has a character that is not allowed."""

    reason = "INVALID_ACCOUNT_ID"
    text = (
        "Account ID must be 1 to 64 letters, digits, dots, underscores or hyphens, "
        "and start with a letter or digit."
    )


class InvalidAccountType(BankError):
    """The account type is not one of `ACCOUNT_TYPES`."""

    reason = "INVALID_ACCOUNT_TYPE"
    text = f"Account type must be one of: {', '.join(ACCOUNT_TYPES)}."


class InvalidRequestId(BankError):
    """The request id has more than `MAX_REQUEST_ID` characters."""

    reason = "INVALID_REQUEST_ID"
    text = f"Request ID must have at most {MAX_REQUEST_ID} characters."


class RequestIdReused(BankError):
    """The request id belongs to another operation on the account. Nothing was applied."""

    reason = "REQUEST_ID_REUSED"
    text = (
        "Request ID was used before with another method or other parameters. "
        "Use a new one for a new operation."
    )


class InvalidAmount(BankError):
    """The amount is not positive, is not finite, or has more than two decimals."""

    reason = "INVALID_AMOUNT"
    text = "Transaction amount must be positive."


class InvalidRate(BankError):
    """The interest rate is not positive or not finite."""

    reason = "INVALID_RATE"
    text = "Annual interest rate must be a positive value."


class LimitExceeded(BankError):
    """The amount or the resulting balance is larger than `money.MAX_CENTS`."""

    reason = "LIMIT_EXCEEDED"
    text = f"Amounts and balances must not exceed {money.MAX_CENTS // 100} dollars."

    def __init__(self) -> None:
        super().__init__(limit_cents=money.MAX_CENTS)


class AccountExists(BankError):
    """The id of the account to create is taken."""

    reason = "ACCOUNT_EXISTS"
    text = "Account already exists."


class AccountNotFound(BankError):
    """No account has this id."""

    reason = "ACCOUNT_NOT_FOUND"
    text = "Account not found. Please check the account ID."


class InsufficientFunds(BankError):
    """The withdrawal is larger than the balance."""

    reason = "INSUFFICIENT_FUNDS"
    text = "Insufficient funds for the requested withdrawal."


class Busy(BankError):
    """The call did not get the account's lock before the deadline. Nothing was applied."""

    reason = "DEADLINE_EXCEEDED"
    text = "The account was busy until the deadline. Nothing was applied."


class TooLate(BankError):
    """The deadline passed, or the caller gave up, before the server sent anything to the store."""

    reason = "DEADLINE_EXCEEDED"
    text = "The deadline passed before the operation began. Nothing was applied."


class StoreUnavailable(BankError):
    """The store did not answer. Whether it applied the operation is unknown."""

    reason = "STORE_UNAVAILABLE"
    text = (
        "The account store does not answer. Whether the operation was applied is unknown; "
        "retry it with the same request ID."
    )


class LockLost(BankError):
    """The lease of the account's lock on Redis expired before the change. Nothing was applied."""

    reason = "LOCK_LOST"
    text = "The account's lock was lost before the change was made. Nothing was applied; try again."


class NamespaceLost(BankError):
    """The server lost its lease of the accounts to another server, or because it did not run for
    some time. This attempt applied nothing."""

    reason = "LEASE_LOST"
    text = (
        "This server has lost its lease of the accounts; another server may have them. "
        "This attempt applied nothing; retry it with the same request ID."
    )


class StoreUnfit(BankError):
    """The store is configured to evict data. This attempt applied nothing."""

    reason = "STORE_UNFIT"
    text = (
        "The account store may evict keys, so no change would be safe there. "
        "This attempt applied nothing; retry it with the same request ID."
    )


class Overloaded(BankError):
    """The server's queue of calls is full. Nothing was applied."""

    reason = "OVERLOADED"
    text = "The server has more calls than it will queue. Nothing was applied; try again later."


def check_account_id(account_id: str) -> None:
    """Raises `InvalidAccountId`."""
    if not isinstance(account_id, str) or not _ACCOUNT_ID.fullmatch(account_id):
        raise InvalidAccountId


def check_account_type(account_type: str) -> None:
    """Raises `InvalidAccountType`."""
    if account_type not in ACCOUNT_TYPES:
        raise InvalidAccountType


def check_request_id(request_id: str) -> None:
    """Raises `InvalidRequestId`."""
    if len(request_id) > MAX_REQUEST_ID:
        raise InvalidRequestId


def check_amount(dollars: float) -> int:
    """The amount in cents. Raises `InvalidAmount` or `LimitExceeded`."""
    try:
        return money.to_cents(dollars)
    except money.NotPositive:
        raise InvalidAmount from None
    except money.NotFinite:
        raise InvalidAmount("Transaction amount must be a finite number.") from None
    except money.TooPrecise:
        raise InvalidAmount("Transaction amount must have at most two decimals.") from None
    except money.TooLarge:
        raise LimitExceeded from None


def check_rate(percent: float) -> Decimal:
    """The rate as an exact decimal. Raises `InvalidRate`."""
    if not percent > 0 or math.isinf(percent):
        raise InvalidRate
    return Decimal(repr(float(percent)))


def deposit(balance: int, amount: int) -> int:
    """The balance after a deposit. Raises `LimitExceeded`."""
    if balance + amount > money.MAX_CENTS:
        raise LimitExceeded
    return balance + amount


def withdraw(balance: int, amount: int) -> int:
    """The balance after a withdrawal. Raises `InsufficientFunds`."""
    if amount > balance:
        raise InsufficientFunds(balance_cents=balance, amount_cents=amount)
    return balance - amount


def add_interest(balance: int, percent: Decimal) -> int:
    """The balance after one year's interest, which is rounded half-even to the cent.

    Raises `LimitExceeded`.
    """
    interest = _EXACT.divide(_EXACT.multiply(Decimal(balance), percent), Decimal(100))
    if interest > money.MAX_CENTS:  # before `quantize`, which raises on a huge number
        raise LimitExceeded
    return deposit(balance, int(interest.quantize(Decimal(1), context=_EXACT)))
