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
        question="A customer deposits 0.10 and 0.70, then withdraws 0.80. What does the ledger of "
        "floats do?",
        options={
            "paid, 0.0 left": "It pays, and `0.0` is left.",
            "paid, a trace left": "It pays, and a tiny rest is left, such as `0.0000000000000001`.",
            "refused": "It refuses: there is not enough money.",
        },
        expects="refused",
        why="In floats, `0.1 + 0.7` is `0.7999999999999999`. The customer's own 80 cents are more "
        "than that, so the ledger says no.\n\n"
        "The error is tiny, but `dollars > self.balance` is either true or false, and the error "
        "decides which.",
    ),
    Prediction(
        id="03.door",
        question="You deposit five amounts: `0`, `-5`, `nan`, `0.001` and `1e300`. Four get the "
        "same status code from the bank. Which one gets a different code?",
        options={
            "0.0": "`0`: a deposit of nothing changes nothing, so it is OK.",
            "nan": "`nan`: it is not a number at all.",
            "0.001": "`0.001`: it is rounded to a whole cent.",
            "1e+300": "`1e300`: it is a valid number, only a large one.",
        },
        expects="1e+300",
        why="The other four get INVALID_ARGUMENT: none of them can ever be an amount of money. "
        "`1e300` gets OUT_OF_RANGE: it is an amount, but larger than this bank can count.\n\n"
        "The bank refuses `0.001` and does not round it. If it rounded, it would decide for you "
        "who gets the difference.",
    ),
    Prediction(
        id="03.resend",
        question="The client deposits 100 dollars for bob. The first reply is lost, and the client "
        "sends the request again until it gets a reply. What is bob's balance in the end?",
        options={
            "100.0": "100: the bank sees that the second request is the same deposit.",
            "200.0": "200: both requests arrived.",
            "ALREADY_EXISTS": "100, and the client gets ALREADY_EXISTS.",
        },
        expects="200.0",
        why="Two requests arrived, and the bank carried out both. It could not know better: the "
        "bytes of a retry are the same as those of a second deposit, and people do deposit 100 "
        "dollars twice.\n\n"
        "The client did nothing unusual: many clients resend until they get a reply. But the "
        "request had no way to say that it was a retry.",
    ),
    Prediction(
        id="03.reuse",
        question="`rent-march` was a deposit of 100. Now the same request id comes with 250. What "
        "does the bank do?",
        options={
            "OK, 100.0": "OK: the id is known, so the bank sends the first reply again.",
            "OK, 350.0": "OK: the amount is different, so it is a new deposit.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: that id is taken.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: an id stands for one operation.",
        },
        expects="INVALID_ARGUMENT",
        why="Either the id or the amount is a mistake, and the bank cannot know which. The first "
        "reply would hide that 250 dollars were never deposited; a second deposit would break the "
        "promise of the id. So the bank refuses, and nothing changes.\n\n"
        "The bank notices the difference by the fingerprint beside the stored balance: it is made "
        "from the method and the amount.",
    ),
)


# --- to_cents ------------------------------------------------------------------------------------


def check_to_cents(to_cents: Any) -> None:
    """Raise `Wrong` unless amounts become exact cents and all else raises ValueError."""
    for dollars, cents, why in (
        (1.0, 100, "There are 100 cents in a dollar."),
        (
            0.29,
            29,
            "In floats, `0.29 * 100` is `28.999999999999996`. If you truncate it, a cent is lost.",
        ),
        (
            4.35,
            435,
            "In floats, `4.35 * 100` is `434.99999999999994`. If you truncate it, a cent is lost.",
        ),
        (0.1, 10, "No cent may be lost."),
        (19.99, 1999, "No cent may be lost."),
        (
            131125.36,
            13_112_536,
            "In floats, `131125.36 * 100` is `13112535.999999998`: the error of a float grows with "
            "the amount.",
        ),
    ):
        got = _converted(to_cents, dollars)
        if got is None:
            raise Wrong(
                f"`to_cents({dollars})` raised ValueError, but {dollars} is a valid amount. The "
                "float nearest to it has more digits than were typed: `Decimal(0.1)` shows all 55 "
                "of them, `Decimal(repr(0.1))` shows what was typed."
            )
        if type(got) is not int:
            raise Wrong(
                f"`to_cents({dollars})` must be an `int`, such as `{cents}`, but is a "
                f"`{type(got).__name__}`."
            )
        if got != cents:
            raise Wrong(
                f"`to_cents({dollars})` must be {cents}, but you return a different number. {why}"
            )
    for dollars, why in (
        (0.001, "Your function drops a tenth of a cent or rounds it up, without an error."),
        (0.00001, "Python writes it as `1e-05`, but it has more than two decimals all the same."),
        (1.005, "Your function drops half a cent or rounds it up, without an error."),
        (0.0, "A deposit of 0 is not a deposit."),
        (-5.0, "A deposit of −5 is a withdrawal that nobody checks."),
        (
            float("nan"),
            "Every comparison with NaN is false: test `not dollars > 0`.",
        ),
        (float("inf"), "Infinity is not an amount of money."),
    ):
        if _converted(to_cents, dollars) is not None:
            raise Wrong(f"`to_cents({dollars})` must raise ValueError. {why}")


def _converted(to_cents: Any, dollars: float) -> Any:
    """Return what `to_cents` returns; None if it raises ValueError."""
    try:
        got = to_cents(dollars)
    except ValueError:
        return None
    except (ArithmeticError, TypeError) as error:
        if dollars - dollars == 0:  # a finite number: its value did not cause the error
            raise
        raise Wrong(
            f"`to_cents({dollars})` raised {type(error).__name__}, by accident. Check that the "
            "number is an amount before you calculate with it, and raise ValueError if it is not."
        ) from None
    if got is None:
        raise Wrong(
            f"`to_cents({dollars})` returned `None`. Return the cents, or raise ValueError if the "
            "number is not an amount."
        )
    return got


# --- deposit_once --------------------------------------------------------------------------------

MAX_TRIES = 20


def check_deposit_once(deposit_once: Any, bank: Any) -> None:
    """Raise `Wrong` unless each call deposits once, over a line that loses requests and replies."""
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
            "The bank had replied, but your function kept sending. Return as soon as you have a "
            "reply."
        ) from None
    if _balance(bank) != 100:
        raise Wrong(
            "Nothing was lost, so a deposit of 100 into an empty account must give a balance of "
            f"100, but the balance is {_balance(bank):g}."
        )
    if type(got) is not float or got != 100:
        raise Wrong("Return the balance from the reply: `100.0` after the first deposit.")
    pay_in(100)
    if _balance(bank) != 200:
        raise Wrong(
            "You made two deposits of 100, and only 100 arrived: the bank took the second deposit "
            "for a retry of the first. Every deposit needs its own request id, and only its "
            "retries share it."
        )


def _lost_replies(
    pay_in: Callable[[float], Any], bank: Any, line: LossyProxy, witness: Witness
) -> None:
    line.lose("reply", times=2)
    try:
        got = pay_in(50)
    except Enough:
        raise Wrong(
            "The third reply had arrived, but your function kept sending. Return as soon as you "
            "have a reply."
        ) from None
    except grpc.RpcError as error:
        raise Wrong(
            f"Two replies were lost, and your function gave up with {_name(error)}. Send the same "
            "request again until you get a reply."
        ) from None
    extra = (_balance(bank) - 250) / 50
    ids = [request.request_id for request in witness.requests]
    if extra > 0 and not any(ids):
        raise Wrong(
            f"Two replies were lost, and 50 dollars arrived {extra + 1:.0f} times: without a "
            "`request_id` the bank takes each try for a new deposit."
        )
    if extra > 0:
        raise Wrong(
            f"Two replies were lost, and 50 dollars arrived {extra + 1:.0f} times: each try had a "
            "different request id, so each was a new deposit. Make the id once, before the loop."
        )
    if type(got) is not float or got != 250:
        raise Wrong("After lost replies, return the balance from the reply that arrived.")
    line.lose("request")
    pay_in(25)
    if _balance(bank) != 275:
        raise Wrong(
            "This time the request was lost, so the deposit never happened. Send again here, too: "
            "you cannot tell whether the request or the reply was lost."
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
            "again. A refusal is an answer: try again only after UNAVAILABLE."
        ) from None
    else:
        raise Wrong(
            "The bank refuses −5 with INVALID_ARGUMENT, and your function hides it: the caller "
            "believes that the deposit succeeded. Catch only UNAVAILABLE, and raise every other "
            "error again with `raise`."
        )


def _name(error: grpc.RpcError) -> str:
    return error.code().name if isinstance(error, grpc.Call) else type(error).__name__


EXERCISES = (
    Exercise(
        id="03.to_cents",
        title="From dollars to cents",
        task="Write `to_cents(dollars)`: it returns the amount in whole cents, as an `int`. "
        "`to_cents(0.29)` is `29`.\n\n"
        "Raise ValueError if the number is not an amount of money: zero, a negative number, NaN, "
        "infinity, or a number with more than two decimals.",
        stub="def to_cents(dollars):\n    pass\n",
        hints=(
            "First refuse numbers that are not amounts. `not dollars > 0` is true for NaN; "
            "`dollars <= 0` is false for NaN.",
            "`Decimal(repr(dollars))` is the number that was typed, digit for digit. Multiply it "
            "by 100 to get the exact cents.",
            "If those cents are not a whole number, there were more than two decimals: `cents != "
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
        right="After this conversion all amounts are whole numbers, and their sums are exact. "
        "Compare with `bankkit/money.py`.",
    ),
    Exercise(
        id="03.deposit_once",
        title="Once, whatever gets lost",
        task="Write `deposit_once(stub, account_id, amount)`: deposit the amount exactly once, "
        "over a line that loses requests and replies. While the bank is UNAVAILABLE, send again. "
        "Return the balance from the reply. Let every other error reach the caller.\n\n"
        "Two calls of your function are two deposits, even if account and amount are the same.",
        stub="def deposit_once(stub, account_id, amount):\n    pass\n",
        hints=(
            "Which lines belong before the loop, and which inside it? The loop sends the same "
            "request each time.",
            "`uuid.uuid4().hex` is a text that nobody has used before, so it is a good request id.",
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
        right="No matter how many copies arrive, the money moves once. `bankkit/client.py` does "
        "the same, and waits a little longer before each try.",
        bank=Bank,
    ),
)
