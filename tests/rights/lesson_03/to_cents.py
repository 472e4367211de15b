# %% The function of the bank
from bankkit.money import to_cents


# %% Rounds, and tests whether it was exact
def to_cents(dollars):
    if not 0 < dollars < float("inf"):
        raise ValueError(dollars)
    cents = round(dollars * 100)
    if cents / 100 != dollars:
        raise ValueError(dollars)
    return cents


# %% Works on the text
def to_cents(dollars):
    whole, _, fraction = f"{dollars:.2f}".partition(".")
    if not (whole.isdigit() and float(f"{whole}.{fraction}") == dollars > 0):
        raise ValueError(f"{dollars} is no amount of money")
    return int(whole + fraction)


# %% A fraction with the denominator 1
from fractions import Fraction


def to_cents(dollars):
    cents = Fraction(repr(dollars)) * 100  # raises ValueError for "nan" and "inf"
    if cents <= 0 or cents.denominator != 1:
        raise ValueError("not an amount of money")
    return cents.numerator


# %% A context of decimals that refuses to round
import decimal


class NotMoney(ValueError):
    pass


def to_cents(dollars):
    strict = decimal.Context(traps=[decimal.Inexact, decimal.InvalidOperation])
    try:
        amount = decimal.Decimal(str(dollars)).quantize(decimal.Decimal("0.01"), context=strict)
    except (decimal.Inexact, decimal.InvalidOperation):
        raise NotMoney(dollars) from None
    if amount.is_nan() or amount <= 0:
        raise NotMoney(dollars)
    return int(amount.scaleb(2))


# %% A regular expression
import re


def to_cents(dollars):
    typed = re.fullmatch(r"(\d+)\.(\d\d?)", repr(dollars))
    if typed is None or dollars == 0:
        raise ValueError("not an amount of money")
    return int(typed[1]) * 100 + int(typed[2].ljust(2, "0"))
