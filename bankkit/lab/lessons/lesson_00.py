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
        why="The bank counts whole cents, and 10 dollars are 1000 of them. Dollars exist only at "
        "the door: in your call, and in the reply.\n\n"
        "The reason: a computer cannot hold 0.1 exactly in a number with a point, so sums of such "
        "numbers drift. Whole numbers never do.",
    ),
)


def check_cents(cents: Any) -> None:
    if isinstance(cents, str):
        raise Wrong("A number, please: write it without quotes.")
    if isinstance(cents, bool) or not isinstance(cents, int | float):
        raise Wrong("`cents` must be a whole number, such as `cents = 5`.")
    if cents == 13:
        raise Wrong("That is the balance in dollars. Redis holds cents.")
    if cents in (1234, 66):
        raise Wrong("That is only one of the two deposits; the balance is their sum.")
    if cents != 1300:
        raise Wrong(
            "Not that number. Turn each deposit into cents first, then add the two whole numbers."
        )
    if not isinstance(cents, int):
        raise Wrong("The right amount, but cents are whole: write it without a point.")


def check_open_with(open_with: Any, bank: Any) -> None:
    for account_id, dollars in (("carol", 25.5), ("dave", 0.75)):
        call = f'open_with(client, "{account_id}", {dollars})'
        try:
            got = open_with(bank.client, account_id, dollars)
        except CallError as error:
            if error.code().name == "NOT_FOUND":
                raise Wrong(
                    f"In `{call}` the bank answered NOT_FOUND: it takes no deposit for an account "
                    "that nobody has opened. Open it first."
                ) from None
            if error.code().name == "ALREADY_EXISTS":
                raise Wrong(
                    f"In `{call}` the bank answered ALREADY_EXISTS: that account was opened "
                    "before. Open the one whose id the function is given, once."
                ) from None
            raise
        held = bank.peek(account_id)
        if not held:
            raise Wrong(
                f"After `{call}` Redis has no account {account_id}. Open the one that you are "
                "asked for: the function gets its id as `account_id`."
            )
        if got is None:
            raise Wrong(
                f"`{call}` returns nothing. Showing a number with `print` is not enough: `return` "
                "hands it to the caller."
            )
        if hasattr(got, "balance"):
            raise Wrong(f"`{call}` returns the whole reply. Return only its field `balance`.")
        balance = held[f"bank:{{{account_id}}}:account"]["balance"]
        if balance == "0":
            raise Wrong(f"After `{call}` the account is open, but there is nothing in it yet.")
        if got == 0:
            raise Wrong(
                f"`{call}` returns the balance from before the deposit. The reply to the deposit "
                "has the new one."
            )
        if isinstance(got, bool) or not isinstance(got, int | float) or got != dollars:
            raise Wrong(f"`{call}` must return the balance in dollars, here {dollars}.")
        if balance != f"{dollars * 100:.0f}":
            raise Wrong(f"After `{call}` Redis holds {balance} cents: more or less than asked.")


EXERCISES = (
    Exercise(
        id="00.cents",
        title="What Redis remembers",
        task="Bob opens an account. He deposits 12.34 dollars, and then 0.66 dollars more. "
        "Which number does Redis hold as his `balance`?\n\n"
        "Replace the three dots by it, run the cell, and read what the check says.",
        stub="cents = ...\n",
        hints=(
            "How many cents are 12.34 dollars?",
            "1234 cents, and 66 more.",
        ),
        answer="cents = 1300\n",
        check=check_cents,
        right="1234 + 66 = 1300. Adding whole numbers is something that computers do without "
        "any error.",
    ),
    Exercise(
        id="00.open_with",
        title="Two calls in one function",
        task="Write `open_with(client, account_id, dollars)`: open the account, deposit the "
        "dollars, and return the balance that the bank replies.\n\n"
        "The check starts a bank of its own and hands your function its client.",
        stub="def open_with(client, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "You made both calls above, there with `bank.client` in place of `client`.",
            "`client.deposit(...)` returns a reply. Its field `balance` is the number asked for.",
        ),
        answer="""\
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    reply = client.deposit(account_id, dollars)
    return reply.balance
""",
        check=check_open_with,
        right="Two calls went through a real server into a real Redis, and the check looked there.",
        bank=Bank,
    ),
)
