"""The questions of notebooks/05_calculate_interest.ipynb, and the drawing of its ledgers."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import grpc

from bankkit import Bank, accounts
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import Picture
from bankkit.lab.faults.lossy_proxy import Enough, Witness
from bankkit.pb import bank_pb2_grpc

TITLE = "Calculate interest"

PREDICTIONS = (
    Prediction(
        id="05.percent",
        question="alice has 1000 dollars and should get 5 % interest. You send the rate `0.05`. "
        "What is her balance then?",
        options={
            "1050.0": "1050: five percent is 0.05.",
            "1000.5": "1000.50: that is not five percent.",
            "1000.0": "1000: the bank refuses such a small rate.",
        },
        expects="1000.5",
        why="The field is in percent, so `0.05` is a twentieth of one percent: 50 cents instead of "
        "50 dollars. That is a valid rate, so the bank answers OK.\n\n"
        "The call succeeded, the log shows no error, and alice gets 49.50 dollars too little. No "
        "check can catch this mistake. A name can help: call the variable `rate_percent`.",
    ),
    Prediction(
        id="05.half",
        question="5 % of 0.10 is half a cent, and 5 % of 0.30 is one and a half cents. How many "
        "cents does the bank add to the two accounts?",
        options={
            "1 and 2": "1 and 2: halves go up, as at school.",
            "0 and 1": "0 and 1: fractions of a cent are cut off.",
            "0 and 2": "0 and 2.",
            "1 and 1": "1 and 1.",
        },
        expects="0 and 2",
        why="A half goes to the even neighbour: 0.5 lies between 0 and 1 and becomes 0; 1.5 lies "
        "between 1 and 2 and becomes 2. So halves go down as often as up.\n\n"
        "This is called half-even, or banker's rounding. Any other fraction goes to the nearest "
        "cent, as usual.",
    ),
    Prediction(
        id="05.first_cent",
        question="A ledger in floats rounds the interest to whole cents each time, with `round(…, "
        "2)`. When does it first differ from the bank by a cent?",
        options={
            "never": "Never: it rounds each time, so errors cannot add up.",
            "3": "In round 3.",
            "late": "After some hundred rounds, when tiny errors have added up.",
        },
        expects="3",
        why="101.00 dollars get 0.505 dollars, which is 50 and a half cents. The even neighbour is "
        "50, so the bank adds 0.50.\n\n"
        "But no float is exactly 0.505. The nearest float is slightly larger, so it is no longer a "
        "half, and `round` makes it 0.51. `round` is half-even, too, but it gets no exact half.",
    ),
    Prediction(
        id="05.limits",
        question="You send two more rates: `inf`, and `1e300` percent. What does the bank answer?",
        options={
            "INVALID_ARGUMENT, INVALID_ARGUMENT": "Both INVALID_ARGUMENT.",
            "OUT_OF_RANGE, OUT_OF_RANGE": "Both OUT_OF_RANGE.",
            "INVALID_ARGUMENT, OUT_OF_RANGE": "`inf` INVALID_ARGUMENT, `1e300` OUT_OF_RANGE.",
        },
        expects="INVALID_ARGUMENT, OUT_OF_RANGE",
        why="`inf` is not a rate for any account. `1e300` is a number, and on an empty account it "
        "would even work, because the interest is 0. Here it would make alice's balance larger "
        "than the bank can count, and that is OUT_OF_RANGE.",
    ),
)


# --- add_interest --------------------------------------------------------------------------------


def check_add_interest(add_interest: Any) -> None:
    """Raise `Wrong` unless the new balances are those of the bank's own rule."""
    for cents, percent, why in (
        (10_000, 5, "5 means 5 %: divide by 100."),
        (12, 5, "The interest is 0.6 cents, nearer to 1 than to 0. Round it, do not truncate it."),
        (10, 5, "The interest is exactly 0.5 cents, and the even neighbour is 0."),
        (30, 5, "The interest is exactly 1.5 cents, and the even neighbour is 2."),
        (1, 50, "The interest is 0.5 cents, which rounds to 0. Round the interest, not the sum."),
        (
            1500,
            1.1,
            "The interest is exactly 16.5 cents, and the even neighbour is 16. The float 1.1 is "
            "slightly more than 1.1, and so is `Decimal(1.1)`; `Decimal(repr(1.1))` is exact.",
        ),
        (10**14, 0.01, "In a balance this large, every lost digit shows."),
    ):
        call = f"`add_interest({cents}, {percent})`"
        wanted = accounts.add_interest(cents, Decimal(repr(percent)))
        got = add_interest(cents, percent)
        if got is None:
            raise Wrong(f"{call} returned `None`: return the new balance.")
        if type(got) is not int:
            raise Wrong(
                f"{call} must be an `int`, but is a `{type(got).__name__}`. A balance is whole "
                "cents."
            )
        if got == wanted - cents:
            raise Wrong(f"{call} must be the new balance, {wanted}, but you return the interest.")
        if got != wanted:
            raise Wrong(f"{call} must be {wanted}, but is {_short(got)}. {why}")


def _short(number: int | None) -> str:
    return str(number) if number is None or abs(number) < 10**20 else "a far larger number"


# --- rounds_to_double ----------------------------------------------------------------------------

MAX_ROUNDS = 150


def check_rounds_to_double(rounds_to_double: Any, bank: Any) -> None:
    """Raise `Wrong` unless it counts real calls, and returns `None` if interest rounds to 0."""
    witness = Witness(MAX_ROUNDS)
    with grpc.insecure_channel(bank.address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(grpc.intercept_channel(channel, witness))
        for account_id, cents, percent, why in (
            ("heidi", 10_000, 10, "Count the calls of CalculateInterest."),
            (
                "ivan",
                100,
                100,
                "100 % doubles it in one round: exactly twice as much is enough.",
            ),
            (
                "judy",
                11,
                5,
                "A formula for 5 % says 15, because it does not round to cents. Call the bank for "
                "each round.",
            ),
            ("mallory", 10, 5, ""),
        ):
            bank.client.create_account(account_id)
            bank.client.deposit(account_id, cents / 100)
            witness.requests.clear()
            said = f"With {cents / 100:.2f} dollars at {percent} %"
            try:
                got = rounds_to_double(stub, account_id, percent)
            except Enough:
                sent = getattr(witness.requests[-1], "annual_interest_rate", percent)
                raise Wrong(
                    f"{said}, your function was still calling after {MAX_ROUNDS} calls. "
                    + _endless(cents, percent, sent)
                ) from None
            _compare(got, _rounds(cents, percent), said, why)
    if (balance := bank.client.get_balance("heidi").balance) < 200:
        raise Wrong(
            "Your numbers are right, but you did not call the bank: 100 dollars should have "
            f"doubled there, but the balance is {balance:.2f}. Call CalculateInterest for each "
            "round."
        )


def _rounds(cents: int, percent: int) -> int | None:
    """Return the right answer, computed with the bank's own rule."""
    balance, rounds = cents, 0
    while balance < 2 * cents:
        before, rounds = balance, rounds + 1
        balance = accounts.add_interest(balance, Decimal(percent))
        if balance == before:
            return None
    return rounds


def _endless(cents: int, percent: int, sent: float) -> str:
    if sent != percent:
        return f"It sends the rate {sent:g}. The field is in percent: {percent} % is `{percent}`."
    if _rounds(cents, percent) is None:
        return (
            "The interest is half a cent and rounds to 0, so the balance never changes. Return "
            "`None` once a round adds nothing."
        )
    return "Stop as soon as the balance is twice what it was."


def _compare(got: Any, wanted: int | None, said: str, why: str) -> None:
    if got is None and wanted is not None:
        raise Wrong(
            f"{said}, the balance does double, but you return `None`. Return the number of rounds."
        )
    if wanted is None and got is not None:
        raise Wrong(
            f"{said}, the balance never doubles: half a cent rounds to 0 in every round. Return "
            "`None` once a round adds nothing."
        )
    if type(got) is not int and got is not None:
        raise Wrong(f"Return a whole number of rounds or `None`, not a `{type(got).__name__}`.")
    if got != wanted:
        raise Wrong(f"{said}, the answer is {wanted}, but you return {_short(got)}. {why}")


EXERCISES = (
    Exercise(
        id="05.add_interest",
        title="The rule",
        task="Write `add_interest(cents, percent)`: it returns the new balance in whole cents, as "
        "an `int`. Round the interest half-even to the cent. `percent` is a number such as `5` or "
        "`1.1`, and `1.1` means exactly 1.1.",
        stub="def add_interest(cents, percent):\n    pass\n",
        hints=(
            "`Decimal(repr(percent))` is the rate that was typed, digit for digit.",
            "The interest is `cents * rate / 100`, still with its fraction of a cent.",
            "`round(…)` of a Decimal is half-even and gives an `int`. Round the interest, "
            "then add.",
        ),
        answer="""\
from decimal import Decimal


def add_interest(cents, percent):
    interest = cents * Decimal(repr(percent)) / 100
    return cents + round(interest)
""",
        check=check_add_interest,
        right="Your function computes exactly and rounds once, at the end. Compare with "
        "`add_interest` in `bankkit/accounts.py`.",
    ),
    Exercise(
        id="05.rounds_to_double",
        title="Until it has doubled",
        task="Write `rounds_to_double(stub, account_id, percent)`: call CalculateInterest on the "
        "account until the balance is at least twice the first balance. Return the number of "
        "calls.\n\n"
        "Some balances never double. Return `None` for them.",
        stub="def rounds_to_double(stub, account_id, percent):\n    pass\n",
        hints=(
            "GetBalance returns the first balance; each CalculateInterest returns the new one.",
            "When does a balance never double? Try 0.10 dollars at 5 %, by hand.",
            "Keep the balance before each call. If a round adds nothing, no later one will.",
        ),
        answer="""\
from bankkit.pb import bank_pb2


def rounds_to_double(stub, account_id, percent):
    first = stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id)).balance
    request = bank_pb2.InterestRequest(account_id=account_id, annual_interest_rate=percent)
    balance, rounds = first, 0
    while balance < 2 * first:
        before, rounds = balance, rounds + 1
        balance = stub.CalculateInterest(request).balance
        if balance == before:
            return None
    return rounds
""",
        check=check_rounds_to_double,
        right="Rounding is part of the rule: because of it, ten cents at 5 % never grow.",
        bank=Bank,
    ),
)


# --- Drawing -------------------------------------------------------------------------------------

LOOKS = ((style.BLUE, "-", 2.2), (style.VERMILLION, "-", 1.2), (style.PURPLE, (0, (2, 1)), 1.8))
"""Colour, line style and width in points of each curve, in order."""


def curves(
    found: Mapping[str, Sequence[float]], *, finding: str, x: str, y: str, words: Iterable[str]
) -> Picture:
    """Draw a few series of cents over 1, 2, 3 …, each with its name and last value at its end.

    `finding` is the title, `x` and `y` name the axes with their units, and `words` describe the
    picture for readers who cannot see it.
    """
    with figures.plain_style():
        figure = figures.canvas(8.0, 3.9)
        axes = figure.add_axes((0.1, 0.145, 0.7, 0.735))
        figures.title(figure, finding)
        for (name, values), (colour, dashes, width) in zip(found.items(), LOOKS, strict=False):
            axes.plot(range(1, len(values) + 1), values, color=colour, ls=dashes, lw=width)
            axes.annotate(
                f"{name}\n{_signed(values[-1])} cents",
                (len(values), values[-1]),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
                annotation_clip=False,
            )
        axes.set_xlim(0, max(map(len, found.values())))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(color=figures.PALE)
        axes.spines[["top", "right"]].set_visible(False)
    return Picture(figure, " ".join(words))


def _signed(number: float) -> str:
    return f"{number:+.0f}".replace("-", "−") if round(number) else "0"
