"""The questions of notebooks/04_withdraw.ipynb."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import grpc
from grpc_status import rpc_status

from bankkit import Bank, Client, connect
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.money import MAX_CENTS
from bankkit.pb import bank_pb2_grpc

TITLE = "Withdraw"

PREDICTIONS = (
    Prediction(
        id="04.two_looks",
        question="The account has 100 dollars. Two clerks each pay out 70 and take their steps in "
        "turn: both look, both check, both pay and write. How much is paid, and what does the "
        "ledger say?",
        options={
            "70 paid, 30 left": "70 paid, 30 left: the second clerk is refused.",
            "140 paid, 30 left": "140 paid, 30 left.",
            "140 paid, -40 left": "140 paid, -40 left: the account is overdrawn, and it shows.",
            "100 paid, 0 left": "100 paid, 0 left: the second clerk pays only the remaining 30.",
        },
        expects="140 paid, 30 left",
        why="Each clerk followed the rules, but with a balance that was no longer true. The second "
        "clerk overwrites the first clerk's 100 - 70 with another 100 - 70.\n\n"
        "The ledger looks correct: the clerks paid 40 dollars more than the account ever had, and "
        "no entry in the ledger shows it.",
    ),
    Prediction(
        id="04.after_the_look",
        question="At the real bank, two programs have asked for the balance, and both have seen "
        "100 dollars. The first one withdraws 70. Now the second one withdraws 70. What status "
        "code does the second one get?",
        options={
            "OK": "OK: it has looked, and there was enough.",
            "FAILED_PRECONDITION": "FAILED_PRECONDITION: the bank reads the balance again itself.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: 70 is too much now, so the amount is wrong.",
            "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED: it waits for a deposit until the deadline.",
        },
        expects="FAILED_PRECONDITION",
        why="The bank does not rely on what a client saw. It takes the account's lock, reads the "
        "balance, compares and writes, and only then releases the lock. No other call can come "
        "between the check and the act.\n\n"
        "So your own look before the call protects nothing. It can only make a refusal rarer.",
    ),
    Prediction(
        id="04.untouched",
        question="The account has 30 dollars, and the bank refuses a withdrawal of 500 under the "
        "request id `rent-1`. What has changed in Redis?",
        options={
            "nothing": "Nothing, not one byte.",
            "balance 0": "The balance is 0: the bank paid out the 30 dollars.",
            "a key more": "The balance is the same, but the refusal is stored under `rent-1`.",
            "no account": "The account is blocked until somebody deposits.",
        },
        expects="nothing",
        why="The rule is applied before the write, so a refused withdrawal writes nothing. A "
        "withdrawal happens as a whole or not at all.\n\n"
        "The bank does not store the refusal either: `rent-1` stays free. You may send the request "
        "again when there is money, and the bank will apply the rule again.",
    ),
    Prediction(
        id="04.same_again",
        question="Two requests have been refused: one asks for 500 dollars when the balance is 30, "
        "one for -5. Then 1000 dollars are deposited, and both are sent again, unchanged. What do "
        "they get now?",
        options={
            "OK, OK": "Both work: there is enough money now.",
            "OK, INVALID_ARGUMENT": "500 works, -5 is refused as before.",
            "FAILED_PRECONDITION, INVALID_ARGUMENT": "Both are refused as before: a request that "
            "failed once always fails.",
            "OK, OUT_OF_RANGE": "500 works, -5 is refused with a different code.",
        },
        expects="OK, INVALID_ARGUMENT",
        why="`FAILED_PRECONDITION`: the request is valid, but the account is not ready for it. "
        "Once the account has changed, the same request works.\n\n"
        "`INVALID_ARGUMENT`: the request is invalid for every account. No deposit can change that.",
    ),
    Prediction(
        id="04.everything_twice",
        question="You withdraw everything, under a request id. It works, but the reply gets lost. "
        "So you send the same request again, and the account is now empty. What comes back?",
        options={
            "OK 0.0": "OK, balance 0.",
            "FAILED_PRECONDITION": "FAILED_PRECONDITION: there is nothing left to withdraw.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: the request id was used before.",
            "OK -530.0": "OK, and the account is overdrawn.",
        },
        expects="OK 0.0",
        why="The bank first looks for a reply under the request id, and applies the rule only if "
        "there is none. Here it finds the first reply and sends it again.\n\n"
        "In the other order you would get FAILED_PRECONDITION for a withdrawal that worked: you "
        "would believe that it failed, although the money was paid out.",
    ),
)


# --- withdraw_or_less ----------------------------------------------------------------------------


class BusyLine(grpc.UnaryUnaryClientInterceptor):
    """A line to the bank on which another client is always a moment ahead.

    The next rival acts after each GetBalance and after each refused call.
    """

    def __init__(self, *rivals: Callable[[], object]) -> None:
        self._rivals = list(rivals)
        self.looked = False

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        """Make the call, then let the next rival act if the call looked or was refused."""
        call = continuation(details, request)
        looks = details.method.endswith("/GetBalance")
        self.looked |= looks
        if self._rivals and (looks or call.code() is not grpc.StatusCode.OK):
            self._rivals.pop(0)()
        return call


class GermanLine(grpc.UnaryUnaryClientInterceptor):
    """A line to a bank whose error texts are in German."""

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        """Make the call, and replace the text of an error."""
        call = continuation(details, request)
        status = rpc_status.from_call(call)
        if status is not None:
            status.message = "Das Guthaben reicht nicht."
            translated = rpc_status.to_status(status)
            call.details = lambda: translated.details
            call.trailing_metadata = lambda: translated.trailing_metadata
        return call


@contextmanager
def _by(line: grpc.UnaryUnaryClientInterceptor, bank: Bank) -> Iterator[Client]:
    """Yield a client whose methods and stub call the bank through `line`."""
    with connect(bank.address) as client:
        client.stub = bank_pb2_grpc.BankServiceStub(grpc.intercept_channel(client.channel, line))
        yield client


def check_withdraw_or_less(withdraw_or_less: Any, bank: Any) -> None:
    """Raise `Wrong` unless it pays what it can, even when other clients use the account."""
    client = bank.client
    _open(client, "carol", 50)
    _expect_paid(bank, withdraw_or_less(client, "carol", 20), "carol", asked=20, had=50, paid=20)
    got = _unless_refused(
        lambda: withdraw_or_less(client, "carol", 100),
        lambda: (
            "The balance is 30 dollars and the call asks for 100: your function raised "
            "FAILED_PRECONDITION. Catch it, and withdraw what there is."
        ),
    )
    _expect_paid(bank, got, "carol", asked=100, had=30, paid=30)
    try:
        got = withdraw_or_less(client, "carol", 10)
    except grpc.RpcError as error:
        raise Wrong(
            f"The account is empty now, and your function raised {_name(error)}. Nothing can be "
            "paid out then: return 0, and do not ask the bank for 0 dollars."
        ) from None
    _expect_paid(bank, got, "carol", asked=10, had=0, paid=0)
    _open(client, "dave", 50)
    for account_id, dollars, code in (("nobody", 5, "NOT_FOUND"), ("dave", -5, "INVALID_ARGUMENT")):
        if _code_of(partial(withdraw_or_less, client, account_id, dollars)) != code:
            raise Wrong(
                f"For {dollars} dollars from account {account_id} the bank answers {code}, and "
                "your function hides it. Catch only FAILED_PRECONDITION, and raise every other "
                "error again with `raise`."
            )
    busy = BusyLine(*[lambda: client.withdraw("dave", 10)] * 2)
    looked_first = (
        "Your function looked at the balance, and before its withdrawal arrived, somebody else "
        "withdrew 10 dollars: your function raised FAILED_PRECONDITION. A look protects nothing; "
        "let the bank refuse, and try again with the balance in its refusal."
    )
    tried_twice = (
        "Between the refusal and your next withdrawal somebody else withdrew 10 dollars, so the "
        "bank refused again, and your function raised FAILED_PRECONDITION. Try in a loop until a "
        "withdrawal works."
    )
    with _by(busy, bank) as busy_client:
        got = _unless_refused(
            lambda: withdraw_or_less(busy_client, "dave", 60),
            lambda: looked_first if busy.looked else tried_twice,
        )
    _expect_paid(bank, got, "dave", asked=60, had=30, paid=30)
    _open(client, "erin", 50)
    with _by(GermanLine(), bank) as german_client:
        got = _unless_refused(
            lambda: withdraw_or_less(german_client, "erin", 60),
            lambda: (
                "At a bank whose error text is German (`Das Guthaben reicht nicht.`), your "
                "function raised FAILED_PRECONDITION. Texts are for people and may change: "
                "compare the code, `error.code()`."
            ),
        )
    _expect_paid(bank, got, "erin", asked=60, had=50, paid=50)


def _open(client: Client, account_id: str, dollars: float) -> None:
    client.create_account(account_id)
    if dollars:
        client.deposit(account_id, dollars)


def _cents(bank: Bank, account_id: str) -> int:
    return int(bank.peek(account_id)[f"bank:{{{account_id}}}:account"]["balance"])


def _code_of(call: Callable[[], object]) -> str | None:
    """Return the name of the status code that a call fails with; None if it succeeds."""
    try:
        call()
    except grpc.RpcError as error:
        return _name(error)
    return None


def _unless_refused(call: Callable[[], Any], complaint: Callable[[], str]) -> Any:
    """Return the call's result; raise `Wrong` with the complaint for FAILED_PRECONDITION."""
    try:
        return call()
    except grpc.RpcError as error:
        if _name(error) != "FAILED_PRECONDITION":
            raise
        raise Wrong(complaint()) from None


def _name(error: Any) -> str:
    """Return the name of the error's status code; client and stub raise different types."""
    name: str = error.code().name
    return name


def _expect_paid(bank: Bank, got: Any, account_id: str, *, asked: int, had: int, paid: int) -> None:
    story = f"The balance was {had} dollars and the call asked for {asked}"
    if got is None:
        raise Wrong("`withdraw_or_less` must return the dollars that were paid out.")
    if hasattr(got, "balance"):
        raise Wrong("You return the whole reply. Return the dollars that were paid out.")
    if isinstance(got, bool) or not isinstance(got, int | float | Decimal | Fraction):
        raise Wrong("`withdraw_or_less` must return a number: the dollars that were paid out.")
    left = _cents(bank, account_id)
    taken = had * 100 - left
    if round(got * 100) == left != taken:
        raise Wrong(
            f"{story}: you return {float(got):g}, which is the balance that is left. Return the "
            "dollars that were paid out."
        )
    if taken != paid * 100:
        raise Wrong(
            f"{story}: your function withdrew {taken / 100:g} dollars. It should withdraw {paid}."
        )
    if round(got * 100) != taken:
        raise Wrong(f"{story}: {paid} dollars were paid out, but you return {float(got):g}.")


# --- pay -----------------------------------------------------------------------------------------


def check_pay(pay: Any, bank: Any) -> None:
    """Raise `Wrong` unless a payment moves the money, or changes nothing and raises the error."""
    client = bank.client
    _open(client, "ann", 100)
    _open(client, "ben", 0)
    _open(client, "rich", MAX_CENTS // 100)
    pay(client, "ann", "ben", 30)
    ann, ben = _cents(bank, "ann"), _cents(bank, "ben")
    if (ann, ben) != (7000, 3000):
        raise Wrong(
            f"ann had 100 dollars and ben had none. After ann has paid ben 30, ann has "
            f"{ann / 100:g} and ben has {ben / 100:g}. It should be 70 and 30."
        )
    code = _code_of(partial(pay, client, "ann", "ben", 500))
    if _cents(bank, "ben") != 3000:
        raise Wrong(
            "ann has 70 dollars and pays 500: the withdrawal is refused, but ben has "
            f"{_cents(bank, 'ben') / 100:g} dollars all the same, created from nothing. Withdraw "
            "first, then deposit."
        )
    if code != "FAILED_PRECONDITION":
        raise Wrong(
            "ann has 70 dollars and pays 500: no money moves, but your function does not raise "
            "FAILED_PRECONDITION. Let the bank's error reach the caller."
        )
    for receiver, wanted, trouble in (
        ("nobody", "NOT_FOUND", "there is no such account"),
        ("rich", "OUT_OF_RANGE", "that account has the largest possible balance"),
    ):
        code = _code_of(partial(pay, client, "ann", receiver, 20))
        story = f"ann pays 20 dollars to {receiver}, whose deposit is refused with {wanted}"
        left = _cents(bank, "ann")
        if left == 5000:
            looked = " Looking first is not enough." if receiver == "rich" else ""
            raise Wrong(
                f"{story}: {trouble}. Her 20 dollars are gone, and nobody has them.{looked} When "
                "the deposit is refused, put the money back."
            )
        if left != 7000:
            raise Wrong(
                f"{story}: she had 70 dollars before the call and has {left / 100:g} after it."
            )
        if code is None:
            raise Wrong(
                f"{story}. Your function hides it, so the caller believes that the payment "
                "succeeded. Once the money is back, raise the error again with `raise`."
            )
        if code != wanted:
            raise Wrong(
                f"{story}, but your function raises {code}. Let the bank's error reach the caller."
            )


EXERCISES = (
    Exercise(
        id="04.withdraw_or_less",
        title="As much as there is",
        task="Write `withdraw_or_less(client, account_id, dollars)` for a cash machine: it pays "
        "out `dollars`, or the whole balance if that is less, and returns the dollars paid out. "
        "It returns 0 if the account is empty.\n\n"
        "Other programs use the same account while yours runs. Let every error that is not about "
        "too little money reach the caller.",
        stub="def withdraw_or_less(client, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "Do not look first. Withdraw, and catch `bankkit.CallError` if `error.code()` is "
            "`grpc.StatusCode.FAILED_PRECONDITION`.",
            "The refusal contains the balance: `int(error.metadata['balance_cents'])`.",
            "The second attempt can be refused as well, if somebody was faster. Put `while True:` "
            "around the `try`, and try until a withdrawal works or nothing is left.",
        ),
        answer="""\
import bankkit
import grpc


def withdraw_or_less(client, account_id, dollars):
    while True:
        try:
            client.withdraw(account_id, dollars)
            return dollars
        except bankkit.CallError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            dollars = int(error.metadata["balance_cents"]) / 100
        if dollars == 0:
            return 0
""",
        check=check_withdraw_or_less,
        right="You let the bank check under its lock, and use its answer. That works no matter how "
        "many others use the account.",
        bank=Bank,
    ),
    Exercise(
        id="04.pay",
        title="From one account to another",
        task="Write `pay(client, sender, receiver, dollars)`: withdraw the dollars from the "
        "sender's account and deposit them in the receiver's. If this fails, leave both balances "
        "as they were, and let the bank's error reach the caller.",
        stub="def pay(client, sender, receiver, dollars):\n    pass  # your code\n",
        hints=(
            "Which of the two calls goes first? Think of a sender who has too little.",
            "The bank can refuse the deposit after the withdrawal has worked. Then put the money "
            "back with `client.deposit(sender, dollars)`.",
            "Catch `bankkit.CallError` around the deposit alone, and end that block with `raise`.",
        ),
        answer="""\
import bankkit


def pay(client, sender, receiver, dollars):
    client.withdraw(sender, dollars)
    try:
        client.deposit(receiver, dollars)
    except bankkit.CallError:
        client.deposit(sender, dollars)
        raise
""",
        check=check_pay,
        right="To undo an operation with a second one is called compensation. "
        "One problem is left: after UNAVAILABLE nobody knows whether the receiver has the money, "
        "and putting it back might pay twice. Lesson 06 solves it.",
        bank=Bank,
    ),
)
