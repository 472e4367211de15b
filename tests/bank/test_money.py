"""Conversions between dollars and whole cents, compared with exact fractions."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankkit import money


@given(st.integers(1, money.MAX_CENTS))
def test_every_amount_survives_the_trip(cents: int) -> None:
    assert money.to_cents(money.to_dollars(cents)) == cents


@given(st.integers(0, money.MAX_CENTS))
def test_a_balance_shows_at_most_two_decimals(cents: int) -> None:
    assert Fraction(Decimal(repr(money.to_dollars(cents)))) == Fraction(cents, 100)


@given(st.floats())
def test_a_double_is_an_amount_exactly_when_its_shortest_decimal_is_whole_cents(
    dollars: float,
) -> None:
    finite = math.isfinite(dollars)
    exact = Fraction(Decimal(repr(dollars))) * 100 if finite else Fraction(0)
    is_amount = 0 < exact <= money.MAX_CENTS and exact.denominator == 1
    if is_amount:
        assert money.to_cents(dollars) == exact
    else:
        with pytest.raises(money.MoneyError):
            money.to_cents(dollars)


@pytest.mark.parametrize(
    ("dollars", "why"),
    [
        (0.0, money.NotPositive),
        (-0.0, money.NotPositive),
        (-5.0, money.NotPositive),
        (-math.inf, money.NotPositive),
        (math.nan, money.NotPositive),
        (-0.001, money.NotPositive),
        (math.inf, money.NotFinite),
        (0.001, money.TooPrecise),
        (5e-324, money.TooPrecise),
        (10.005, money.TooPrecise),
        (10_000_000_000_000.01, money.TooLarge),
        (1e300, money.TooLarge),
        (1.7976931348623157e308, money.TooLarge),
    ],
)
def test_what_is_no_amount_says_why(dollars: float, why: type[money.MoneyError]) -> None:
    with pytest.raises(why):
        money.to_cents(dollars)


def test_the_limit_itself_is_an_amount() -> None:
    assert money.to_cents(1e13) == money.MAX_CENTS


def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    assert money.to_cents(0.1) + money.to_cents(0.2) == money.to_cents(0.3)
