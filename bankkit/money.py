"""Dollars on the wire, whole cents everywhere else.

A double cannot hold 0.1, so sums of doubles drift. This file is the only door between the two:
`to_cents` on the way in, `to_dollars` on the way out. A double carries 15 decimal digits there and
back, hence the limit of 10^15 cents: below it every amount survives the trip exactly.
"""

from __future__ import annotations

import math

MAX_CENTS = 10**15
"""Ten trillion dollars: the largest amount, and the largest balance."""


class MoneyError(ValueError):
    """A number that is no amount of money; the subclass says why."""


class NotPositive(MoneyError):
    """Zero, less, or NaN."""


class NotFinite(MoneyError):
    """Positive infinity (the negative one is `NotPositive`)."""


class TooPrecise(MoneyError):
    """More than two decimals."""


class TooLarge(MoneyError):
    """More than `MAX_CENTS`."""


def to_cents(dollars: float) -> int:
    """The whole cents of a positive amount of dollars.

    The double is read as the shortest decimal that means it, so 0.1 is ten cents and not
    0.1000000000000000055 dollars: below the limit that decimal has two places exactly when some
    number of cents is shown as this very double. Raises the `MoneyError` that says what is wrong.
    """
    if not dollars > 0:  # NaN compares false with everything
        raise NotPositive(dollars)
    if math.isinf(dollars):
        raise NotFinite(dollars)
    if dollars > MAX_CENTS // 100:
        raise TooLarge(dollars)
    cents = round(dollars * 100)  # off by less than half a cent, so the right one if any is
    if to_dollars(cents) != dollars:
        raise TooPrecise(dollars)
    return cents


def to_dollars(cents: int) -> float:
    """The double nearest to that many cents; its shortest decimal has at most two decimals."""
    return cents / 100
