# %% Takes percent for a factor
# expects: 5 means 5 %: divide by 100.
from decimal import Decimal


def add_interest(cents, percent):
    return cents + round(cents * Decimal(repr(percent)))


# %% Floats
# expects: The float 1.1 is slightly more
def add_interest(cents, percent):
    return cents + round(cents * percent / 100)


# %% Truncates the new balance
# expects: Round it, do not truncate it.
def add_interest(cents, percent):
    return int(cents * (1 + percent / 100))


# %% Rounds half up
# expects: the even neighbour is 0
from decimal import ROUND_HALF_UP, Decimal


def add_interest(cents, percent):
    interest = cents * Decimal(repr(percent)) / 100
    return cents + int(interest.quantize(Decimal(1), rounding=ROUND_HALF_UP))


# %% Rounds the new balance
# expects: Round the interest, not the sum.
from decimal import Decimal


def add_interest(cents, percent):
    return round(cents + cents * Decimal(repr(percent)) / 100)


# %% Does not round
# expects: but is a `Decimal`
from decimal import Decimal


def add_interest(cents, percent):
    return cents + cents * Decimal(repr(percent)) / 100


# %% Returns only the interest
# expects: you return the interest
def add_interest(cents, percent):
    return round(cents * percent / 100)
