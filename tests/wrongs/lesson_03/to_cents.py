# %% Truncates the fraction
# expects: `28.999999999999996`. If you truncate it
def to_cents(dollars):
    if not dollars > 0:
        raise ValueError("not an amount of money")
    return int(dollars * 100)


# %% Rounds what has more than two decimals
# expects: drops a tenth of a cent or rounds it up
def to_cents(dollars):
    if not dollars > 0:
        raise ValueError("not an amount of money")
    return round(dollars * 100)


# %% Returns a float
# expects: but is a `float`
def to_cents(dollars):
    if not dollars > 0:
        raise ValueError("not an amount of money")
    return dollars * 100


# %% Accepts zero
# expects: A deposit of 0 is not a deposit.
def to_cents(dollars):
    cents = round(dollars * 100)
    if cents / 100 != dollars:
        raise ValueError("more than two decimals")
    return cents


# %% Compares with a fixed tolerance
# expects: `to_cents(131125.36)` raised ValueError, but 131125.36 is a valid amount.
def to_cents(dollars):
    if not dollars > 0 or dollars == float("inf"):
        raise ValueError("not an amount of money")
    cents = round(dollars * 100)
    if abs(cents - dollars * 100) > 1e-9:
        raise ValueError("more than two decimals")
    return cents


# %% Counts the digits of the text
# expects: Python writes it as `1e-05`
def to_cents(dollars):
    if not dollars > 0 or dollars == float("inf"):
        raise ValueError("not an amount of money")
    if len(str(dollars).partition(".")[2]) > 2:
        raise ValueError("more than two decimals")
    return round(dollars * 100)


# %% The float itself as a Decimal
# expects: `Decimal(repr(0.1))` shows what was typed
from decimal import Decimal


def to_cents(dollars):
    cents = Decimal(dollars) * 100
    if dollars <= 0 or cents != int(cents):
        raise ValueError("not an amount of money")
    return int(cents)


# %% Looks at the exponent of NaN
# expects: raised TypeError, by accident
from decimal import Decimal


def to_cents(dollars):
    amount = Decimal(repr(dollars))
    if dollars <= 0 or amount.as_tuple().exponent < -2:
        raise ValueError("not an amount of money")
    return int(amount * 100)
