"""A small lesson that tests the course machinery, and shows how to write a lesson.

Its wrong answers are in `tests/wrongs/lesson_99/`, its unusual right ones in `tests/rights/`.
"""

from typing import Any

from bankkit import Bank
from bankkit.lab import Exercise, Prediction, Wrong

TITLE = "A sample"

PREDICTIONS = (
    Prediction(
        id="99.cents",
        question="What does `0.1 + 0.2 == 0.3` print?",
        options={"True": "`True`: they are the same number.", "False": "`False`: they differ."},
        expects="False",
        why="Neither 0.1 nor 0.2 is a binary fraction, so each is rounded when it is stored.\n\n"
        "Their sum is rounded once more, to `0.30000000000000004`.",
    ),
)


def check_to_cents(to_cents: Any) -> None:
    """Raises `Wrong` if an amount is converted wrongly."""
    for dollars, cents in ((1.0, 100), (0.29, 29), (1.15, 115)):
        got = to_cents(dollars)
        if type(got) is not int:
            raise Wrong(
                f"`to_cents({dollars})` must be a whole number, and is {type(got).__name__}."
            )
        if got != cents:
            raise Wrong(f"`to_cents({dollars})` must be {cents}, and is {got}: do not cut, round.")


def check_open(open: Any, bank: Any) -> None:
    """Raises `Wrong` if the answer's `open` does not open an account once."""
    if open(bank.stub, "7") != "OK":
        raise Wrong("Opening account 7 in an empty bank must give `OK`.")
    if not bank.peek("7"):
        raise Wrong("You say account 7 is open, but Redis does not have it.")
    if open(bank.stub, "7") != "ALREADY_EXISTS":
        raise Wrong("Opening account 7 again must give the name of the status code.")


EXERCISES = (
    Exercise(
        id="99.to_cents",
        title="Dollars to cents",
        task="Write `to_cents(dollars)`: the same money as a whole number of cents.",
        stub="def to_cents(dollars):\n    ...\n",
        hints=("There are 100 cents in a dollar.", "`round` gives the nearest whole number."),
        answer="def to_cents(dollars):\n    return round(dollars * 100)\n",
        check=check_to_cents,
        right="Whole cents can be added without losing any.",
    ),
    Exercise(
        id="99.open",
        title="Open an account",
        task="Write `open(stub, id)`: open an account and return the name of the status code.",
        stub="def open(stub, id):\n    pass\n",
        hints=("A refused call raises `grpc.RpcError`, whose `code().name` is what you need.",),
        answer="""\
import grpc
from bankkit.pb import bank_pb2


def open(stub, id):
    try:
        stub.CreateAccount(bank_pb2.AccountRequest(account_id=id, account_type="savings"))
    except grpc.RpcError as error:
        return error.code().name
    return "OK"
""",
        check=check_open,
        right="A status code is an answer, too.",
        bank=Bank,
    ),
)
