"""Dollars on the wire, whole cents everywhere else.

A double cannot hold 0.1, so sums of doubles drift. Only this file converts between the two:
`to_cents` on the way in, `to_dollars` on the way out. A double keeps 15 decimal digits exactly,
hence the limit of 10^15 cents: up to it, every amount survives the conversion there and back.
"""

from __future__ import annotations

import math

MAX_CENTS = 10**15
"""Ten trillion dollars: the largest amount, and the largest balance."""


class MoneyError(ValueError):
    """A number that is not an amount of money; the subclass says why."""


class NotPositive(MoneyError):
    """An amount of zero, a negative amount, or NaN."""


class NotFinite(MoneyError):
    """Positive infinity; negative infinity is `NotPositive`."""


class TooPrecise(MoneyError):
    """An amount with more than two decimals."""


class TooLarge(MoneyError):
    """An amount of more than `MAX_CENTS`."""


def to_cents(dollars: float) -> int:
    """The whole cents of a positive amount of dollars.

    The double stands for the shortest decimal that converts back to the same double, so 0.1 is ten
    cents and not 0.1000000000000000055 dollars. Below the limit, that decimal has at most two
    places exactly when `to_dollars` returns this double for some number of cents. Raises the
    `MoneyError` that says what is wrong.
    """
    if not dollars > 0:  # NaN compares false with everything
        raise NotPositive(dollars)
    if math.isinf(dollars):
        raise NotFinite(dollars)
    if dollars > MAX_CENTS // 100:
        raise TooLarge(dollars)
    # The product is off by less than half a cent, so no other number of cents can match.
    cents = round(dollars * 100)
    if to_dollars(cents) != dollars:
        raise TooPrecise(dollars)
    return cents


def to_dollars(cents: int) -> float:
    """The double nearest to an amount in cents; its shortest decimal has at most two places."""
    return cents / 100
