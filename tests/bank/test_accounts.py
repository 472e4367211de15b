"""The rules of an account, compared with exact fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bankkit import accounts, money

balances = st.integers(0, money.MAX_CENTS)
amounts = st.integers(1, money.MAX_CENTS)
rates = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)


@given(balances, amounts)
def test_deposit_adds_or_says_the_limit(balance: int, amount: int) -> None:
    if balance + amount <= money.MAX_CENTS:
        assert accounts.deposit(balance, amount) == balance + amount
    else:
        with pytest.raises(accounts.LimitExceeded, match="10000000000000 dollars"):
            accounts.deposit(balance, amount)


@given(balances, amounts)
def test_withdraw_takes_or_refuses(balance: int, amount: int) -> None:
    if amount <= balance:
        assert accounts.withdraw(balance, amount) == balance - amount
    else:
        with pytest.raises(accounts.InsufficientFunds) as refused:
            accounts.withdraw(balance, amount)
        assert refused.value.metadata == {
            "balance_cents": str(balance),
            "amount_cents": str(amount),
        }


@given(balances, rates)
def test_interest_rounds_half_even_to_the_cent(balance: int, percent: float) -> None:
    exact = Fraction(balance) * Fraction(Decimal(repr(percent))) / 100
    if balance + round(exact) > money.MAX_CENTS:
        with pytest.raises(accounts.LimitExceeded):
            accounts.add_interest(balance, accounts.check_rate(percent))
    else:
        after = accounts.add_interest(balance, accounts.check_rate(percent))
        assert after == balance + round(exact)  # Fraction rounds half to even


@pytest.mark.parametrize(
    ("balance", "percent", "interest"), [(50, 1, 0), (150, 1, 2), (250, 1, 2), (51, 1, 1)]
)
def test_half_a_cent_goes_to_the_even_neighbour(
    balance: int, percent: float, interest: int
) -> None:
    assert accounts.add_interest(balance, accounts.check_rate(percent)) == balance + interest


@pytest.mark.parametrize("account_id", ["a", "100", "A.b_c-9", "x" * 64])
def test_good_account_ids(account_id: str) -> None:
    accounts.check_account_id(account_id)


@pytest.mark.parametrize(
    "account_id", ["", "x" * 65, ".a", "-a", "_a", "a b", "a{b}", "a:b", "ä", "a\n", "a*", "١"]
)
def test_bad_account_ids(account_id: str) -> None:
    with pytest.raises(accounts.InvalidAccountId, match="1 to 64 letters"):
        accounts.check_account_id(account_id)


@given(st.text())
def test_only_two_account_types(account_type: str) -> None:
    assume(account_type not in accounts.ACCOUNT_TYPES)
    with pytest.raises(accounts.InvalidAccountType, match=r"savings, checking"):
        accounts.check_account_type(account_type)


@pytest.mark.parametrize("percent", [0.0, -5.0, float("nan"), float("inf"), float("-inf")])
def test_bad_rates(percent: float) -> None:
    with pytest.raises(accounts.InvalidRate):
        accounts.check_rate(percent)
