"""The questions of notebooks/03_deposit.ipynb."""

from collections.abc import Callable
from typing import Any

import grpc

from bankkit import Bank
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.lab.faults.lossy_proxy import Enough, LossyProxy, Witness
from bankkit.pb import bank_pb2_grpc

TITLE = "Deposit"

PREDICTIONS = (
    Prediction(
        id="03.float_ledger",
        question="A customer pays in 0.10 and 0.70, then takes out 0.80. What does the ledger of "
        "floats do?",
        options={
            "paid, 0.0 left": "It pays, and `0.0` is left.",
            "paid, a trace left": "It pays, and a trace is left, such as `0.0000000000000001`.",
            "refused": "It refuses: there is not enough money.",
        },
        expects="refused",
        why="In floats, `0.1 + 0.7` is `0.7999999999999999`. The customer's own 80 cents are more "
        "than that, so the ledger says no.\n\n"
        "The error is far too small to see, and it decides all the same, because `>` asks a yes-or-"
        "no question.",
    ),
    Prediction(
        id="03.door",
        question="Five amounts: `0`, `-5`, `nan`, `0.001` and `1e300`. Four get the same answer "
        "from the bank. Which one gets another?",
        options={
            "0.0": "`0`: a deposit of nothing changes nothing, so it is OK.",
            "nan": "`nan`: it is not a number at all.",
            "0.001": "`0.001`: it is rounded to a whole cent.",
            "1e+300": "`1e300`: it is a fine number, only a large one.",
        },
        expects="1e+300",
        why="The other four are INVALID_ARGUMENT: they are no amounts of money, today or ever. "
        "`1e300` is OUT_OF_RANGE: an amount, but past what this bank can count.\n\n"
        "And `0.001` is refused, not rounded. A bank that rounds what you send has decided for you "
        "who gets the difference.",
    ),
    Prediction(
        id="03.resend",
        question="100 dollars for bob. The first reply is lost, and the client sends again until "
        "one comes. What is on bob's account in the end?",
        options={
            "100.0": "100: the bank sees that the second is the same deposit.",
            "200.0": "200: both arrived.",
            "ALREADY_EXISTS": "100, and the client gets ALREADY_EXISTS.",
        },
        expects="200.0",
        why="Two requests arrived and the bank did what they say, twice. How should it know? The "
        "bytes of a retry are the bytes of a second deposit, and people do pay in 100 dollars "
        "twice.\n\n"
        "The client did nothing silly: to resend until there is an answer is what everybody does. "
        "What was missing is a way to say: this is the same one again.",
    ),
    Prediction(
        id="03.reuse",
        question="`rent-march` was a deposit of 100. Now the same request id comes with 250. What "
        "does the bank do?",
        options={
            "OK, 100.0": "OK: a known id, so it sends the first reply again.",
            "OK, 350.0": "OK: another amount, so it is another deposit.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: that id is taken.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: an id stands for one operation.",
        },
        expects="INVALID_ARGUMENT",
        why="Either the id or the amount is a mistake, and the bank cannot know which. The first "
        "reply would hide that 250 dollars were never paid in; a second deposit would break the "
        "promise of the id. So it refuses, and nothing changes.\n\n"
        "That is what the fingerprint beside the stored balance is for: it is made from the method "
        "and the amount.",
    ),
)


# --- to_cents ------------------------------------------------------------------------------------


def check_to_cents(to_cents: Any) -> None:
    for dollars, cents, why in (
        (1.0, 100, "There are 100 cents in a dollar."),
        (
            0.29,
            29,
            "In floats, `0.29 * 100` is `28.999999999999996`. Cut that, and a cent is gone.",
        ),
        (
            4.35,
            435,
            "In floats, `4.35 * 100` is `434.99999999999994`. Cut that, and a cent is gone.",
        ),
        (0.1, 10, "Nobody loses a cent here."),
        (19.99, 1999, "Nobody loses a cent here."),
        (
            131125.36,
            13_112_536,
            "In floats, `131125.36 * 100` is `13112535.999999998`: what is far less than a cent "
            "beside a small amount is not beside a large one.",
        ),
    ):
        got = _converted(to_cents, dollars)
        if got is None:
            raise Wrong(
                f"`to_cents({dollars})` raised ValueError, and {dollars} is an honest amount. The "
                "float nearest to it has more digits than were typed: `Decimal(0.1)` shows all 55 "
                "of them, `Decimal(repr(0.1))` what was typed."
            )
        if type(got) is not int:
            raise Wrong(
                f"`to_cents({dollars})` must be an `int`, such as `{cents}`, and is a "
                f"`{type(got).__name__}`."
            )
        if got != cents:
            raise Wrong(f"`to_cents({dollars})` must be {cents}, and you return another. {why}")
    for dollars, why in (
        (0.001, "A tenth of a cent vanished, or became a whole one, without a word."),
        (0.00001, "Python writes it `1e-05`, and it has more than two decimals all the same."),
        (1.005, "Half a cent was given to somebody without a word."),
        (0.0, "A deposit of nothing is no deposit."),
        (-5.0, "A deposit of −5 is a withdrawal that nobody checks."),
        (
            float("nan"),
            "NaN is smaller than nothing and larger than nothing: ask `not dollars > 0`.",
        ),
        (float("inf"), "No bank counts that far."),
    ):
        if _converted(to_cents, dollars) is not None:
            raise Wrong(f"`to_cents({dollars})` must raise ValueError. {why}")


def _converted(to_cents: Any, dollars: float) -> Any:
    """What came back; None for a ValueError."""
    try:
        got = to_cents(dollars)
    except ValueError:
        return None
    except (ArithmeticError, TypeError) as error:
        if dollars - dollars == 0:  # neither NaN nor an infinity, so the error is another one
            raise
        raise Wrong(
            f"For `to_cents({dollars})` a {type(error).__name__} got out, by accident. Ask whether "
            "it is an amount at all before you calculate, and raise ValueError if not."
        ) from None
    if got is None:
        raise Wrong(
            f"`to_cents({dollars})` returned `None`. Return the cents; for what is no amount, "
            "raise ValueError."
        )
    return got


# --- deposit_once --------------------------------------------------------------------------------

MAX_TRIES = 20


def check_deposit_once(deposit_once: Any, bank: Any) -> None:
    bank.client.create_account("eve")
    witness = Witness(MAX_TRIES)
    with LossyProxy(bank.address) as line, grpc.insecure_channel(line.address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(grpc.intercept_channel(channel, witness))

        def pay_in(amount: float) -> Any:
            witness.requests.clear()
            return deposit_once(stub, "eve", amount)

        _calm_day(pay_in, bank)
        _lost_replies(pay_in, bank, line, witness)
        _refused(pay_in)


def _balance(bank: Any) -> float:
    balance: float = bank.client.get_balance("eve").balance
    return balance


def _calm_day(pay_in: Callable[[float], Any], bank: Any) -> None:
    try:
        got = pay_in(100)
    except Enough:
        raise Wrong(
            "The bank had answered, and your function went on sending. Return as soon as a reply "
            "is there."
        ) from None
    if _balance(bank) != 100:
        raise Wrong(
            "With nothing lost on the way, a deposit of 100 into an empty account must make it "
            f"100, and the bank has {_balance(bank):g}."
        )
    if type(got) is not float or got != 100:
        raise Wrong("Return the balance that the reply shows: `100.0` after the first deposit.")
    pay_in(100)
    if _balance(bank) != 200:
        raise Wrong(
            "Two deposits of 100, one after the other, and only 100 arrived: the second call was "
            "taken for a retry of the first. Every deposit needs a request id of its own, and only "
            "its retries share it."
        )


def _lost_replies(
    pay_in: Callable[[float], Any], bank: Any, line: LossyProxy, witness: Witness
) -> None:
    line.lose("reply", times=2)
    try:
        got = pay_in(50)
    except Enough:
        raise Wrong("A reply had come, and your function went on sending.") from None
    except grpc.RpcError as error:
        raise Wrong(
            f"Two replies were lost, and your function gave up with {_name(error)}. Send the same "
            "request again until there is an answer."
        ) from None
    extra = (_balance(bank) - 250) / 50
    ids = [request.request_id for request in witness.requests]
    if extra > 0 and not any(ids):
        raise Wrong(
            f"Two replies were lost, and 50 dollars arrived {extra + 1:.0f} times: the bank took "
            "each try for a new deposit. Without a `request_id` it cannot do otherwise."
        )
    if extra > 0:
        raise Wrong(
            f"Two replies were lost, and 50 dollars arrived {extra + 1:.0f} times: each try had a "
            "request id of its own, so each was a new deposit. Make the id once, before the loop."
        )
    if type(got) is not float or got != 250:
        raise Wrong("After lost replies, return the balance of the reply that came in the end.")
    line.lose("request")
    pay_in(25)
    if _balance(bank) != 275:
        raise Wrong(
            "This time the request was lost, and the deposit never happened. Send it again all the "
            "same: you cannot tell which of the two was lost."
        )


def _refused(pay_in: Callable[[float], Any]) -> None:
    try:
        pay_in(-5)
    except grpc.RpcError as error:
        if _name(error) != "INVALID_ARGUMENT":
            raise
    except Enough:
        raise Wrong(
            "The bank refuses −5 with INVALID_ARGUMENT, and your function sends it again and "
            "again. A refusal is an answer: only UNAVAILABLE is worth another try."
        ) from None
    else:
        raise Wrong(
            "The bank refuses −5 with INVALID_ARGUMENT, and your function hides it: the caller "
            "believes that money was paid in. Let every error but UNAVAILABLE through: `raise`."
        )


def _name(error: grpc.RpcError) -> str:
    return error.code().name if isinstance(error, grpc.Call) else type(error).__name__


EXERCISES = (
    Exercise(
        id="03.to_cents",
        title="From dollars to cents",
        task="Write `to_cents(dollars)`: the whole cents of an amount, as an `int`. "
        "`to_cents(0.29)` is `29`.\n\n"
        "Raise ValueError for what is no amount of money: zero, less than zero, NaN, infinity, and "
        "anything with more than two decimals.",
        stub="def to_cents(dollars):\n    pass\n",
        hints=(
            "First refuse what is no amount. `not dollars > 0` is true for NaN as well, and "
            "`dollars <= 0` is not.",
            "`Decimal(repr(dollars))` is the number that was typed, digit for digit. Times 100, it "
            "is the cents, exactly.",
            "There were more than two decimals if those cents are not a whole number: `cents != "
            "int(cents)`.",
        ),
        answer="""\
import math
from decimal import Decimal


def to_cents(dollars):
    if not dollars > 0 or math.isinf(dollars):
        raise ValueError("not an amount of money")
    cents = Decimal(repr(dollars)) * 100
    if cents != int(cents):
        raise ValueError("more than two decimals")
    return int(cents)
""",
        check=check_to_cents,
        right="Past this door there are only whole numbers, and they add up. Compare with "
        "`bankkit/money.py`.",
    ),
    Exercise(
        id="03.deposit_once",
        title="Once, whatever gets lost",
        task="Write `deposit_once(stub, account_id, amount)`: pay in once, over a line that loses "
        "requests and replies. While the bank is UNAVAILABLE, send again. Return the balance that "
        "the reply shows. Every other error goes through to the caller.\n\n"
        "Two calls of your function are two deposits, also when account and amount are the same.",
        stub="def deposit_once(stub, account_id, amount):\n    pass\n",
        hints=(
            "Which lines belong before the loop, and which into it? The loop sends; what it sends "
            "stays the same.",
            "`uuid.uuid4().hex` is a text that nobody has used before: a good request id.",
            "In the `except` block: `if error.code() is not grpc.StatusCode.UNAVAILABLE: raise`.",
        ),
        answer="""\
import uuid

import grpc
from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, amount):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=amount, request_id=uuid.uuid4().hex
    )
    while True:
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
""",
        check=check_deposit_once,
        right="However many copies arrive, the money moves once. `bankkit/client.py` does the "
        "same, and waits a little longer before each try.",
        bank=Bank,
    ),
)
