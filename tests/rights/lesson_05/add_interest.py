# %% The rule of the bank
from decimal import Decimal

from bankkit import accounts


def add_interest(cents, percent):
    return accounts.add_interest(cents, Decimal(str(percent)))


# %% Fractions
from fractions import Fraction


def add_interest(cents, percent):
    return cents + round(cents * Fraction(str(percent)) / 100)


# %% The simplest fraction near the float
from fractions import Fraction


def add_interest(cents, percent):
    rate = Fraction(percent).limit_denominator(10**9)
    return round(cents * rate / 100) + cents


# %% Whole numbers only
def add_interest(cents, percent):
    whole, _, decimals = str(percent).partition(".")
    scale = 100 * 10 ** len(decimals)
    interest, rest = divmod(cents * int(whole + decimals), scale)
    if 2 * rest > scale or (2 * rest == scale and interest % 2):
        interest += 1
    return cents + interest


# %% quantize
from decimal import ROUND_HALF_EVEN, Decimal


def add_interest(cents, percent):
    interest = Decimal(cents) * Decimal(str(percent)) / Decimal("100")
    return int(cents + interest.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


# %% Whole millionths of a percent
def add_interest(cents, percent):
    millionths = round(percent * 10**6)
    interest, rest = divmod(cents * millionths, 10**8)
    half = 10**8 // 2
    return cents + interest + (rest > half or (rest == half and interest & 1 == 1))
