"""The questions of notebooks/00_start_here.ipynb."""

from typing import Any

from bankkit import Bank, CallError
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong

TITLE = "Start here"

PREDICTIONS = (
    Prediction(
        id="00.ten_dollars",
        question="You deposit 10 dollars. What will `balance` in Redis hold then?",
        options={
            "10": "`10`: what I typed.",
            "10.0": "`10.0`: balances came back as `0.0`, with a point.",
            "10.00": "`10.00`: money has two decimals.",
            "1000": "`1000`: a hundred times as much.",
        },
        expects="1000",
        why="The bank counts whole cents, and 10 dollars are 1000 of them. Dollars appear only in "
        "your call and in the reply.\n\n"
        "The reason: a floating-point number cannot hold 0.1 exactly, so sums of such numbers "
        "drift. Sums of whole numbers never do.",
    ),
)


def check_cents(cents: Any) -> None:
    """Raise `Wrong` unless `cents` is the whole number 1300."""
    if isinstance(cents, str):
        raise Wrong("`cents` must be a number: write it without quotes.")
    if isinstance(cents, bool) or not isinstance(cents, int | float):
        raise Wrong("`cents` must be a whole number, such as `cents = 5`.")
    if cents == 13:
        raise Wrong("That is the balance in dollars. Redis holds cents.")
    if cents in (1234, 66):
        raise Wrong("That is only one of the two deposits; the balance is their sum.")
    if cents != 1300:
        raise Wrong(
            "That is not the balance. Convert each deposit to cents first, then add the two whole "
            "numbers."
        )
    if not isinstance(cents, int):
        raise Wrong("The amount is right, but cents are whole: write it without a point.")


def check_open_with(open_with: Any, bank: Any) -> None:
    """Raise `Wrong` unless each call opens its account, deposits, and returns the new balance."""
    for account_id, dollars in (("carol", 25.5), ("dave", 0.75)):
        call = f'open_with(client, "{account_id}", {dollars})'
        try:
            got = open_with(bank.client, account_id, dollars)
        except CallError as error:
            if error.code().name == "NOT_FOUND":
                raise Wrong(
                    f"In `{call}` the bank answered NOT_FOUND: it accepts no deposit for an "
                    "account that nobody has opened. Open it first."
                ) from None
            if error.code().name == "ALREADY_EXISTS":
                raise Wrong(
                    f"In `{call}` the bank answered ALREADY_EXISTS: that account was opened "
                    "before. Open the account whose id is `account_id`, once."
                ) from None
            raise
        held = bank.peek(account_id)
        if not held:
            raise Wrong(
                f"After `{call}` Redis has no account {account_id}. Open the account whose id the "
                "function gets as `account_id`."
            )
        if got is None:
            raise Wrong(
                f"`{call}` returns nothing. Showing a number with `print` is not enough: `return` "
                "gives it to the caller."
            )
        if hasattr(got, "balance"):
            raise Wrong(f"`{call}` returns the whole reply. Return only its field `balance`.")
        balance = held[f"bank:{{{account_id}}}:account"]["balance"]
        if balance == "0":
            raise Wrong(f"After `{call}` the account is open, but its balance is still 0.")
        if got == 0:
            raise Wrong(
                f"`{call}` returns the balance from before the deposit. The reply to the deposit "
                "has the new balance."
            )
        if isinstance(got, bool) or not isinstance(got, int | float) or got != dollars:
            raise Wrong(f"`{call}` must return the balance in dollars, here {dollars}.")
        if balance != f"{dollars * 100:.0f}":
            raise Wrong(
                f"After `{call}` Redis holds {balance} cents. It should hold {dollars * 100:.0f}."
            )


EXERCISES = (
    Exercise(
        id="00.cents",
        title="What Redis stores",
        task="Bob opens an account. He deposits 12.34 dollars, and then 0.66 dollars more. "
        "Which number does Redis hold as his `balance`?\n\n"
        "Replace the three dots with that number, run the cell, and read what the check says.",
        stub="cents = ...\n",
        hints=(
            "How many cents are 12.34 dollars?",
            "They are 1234 cents. Add 66.",
        ),
        answer="cents = 1300\n",
        check=check_cents,
        right="1234 + 66 = 1300. Computers add whole numbers without any error.",
    ),
    Exercise(
        id="00.open_with",
        title="Two calls in one function",
        task="Write `open_with(client, account_id, dollars)`: open the account, deposit the "
        "dollars, and return the balance from the bank's reply.\n\n"
        "The check starts another bank and calls your function with its client.",
        stub="def open_with(client, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "You made both calls above, with `bank.client` in place of `client`.",
            "`client.deposit(...)` returns a reply. Return its field `balance`.",
        ),
        answer="""\
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    reply = client.deposit(account_id, dollars)
    return reply.balance
""",
        check=check_open_with,
        right="Two calls went through a real server into a real Redis, and the check read Redis.",
        bank=Bank,
    ),
)
