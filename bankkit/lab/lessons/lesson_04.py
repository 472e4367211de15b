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
        question="100 dollars are there. Two clerks each pay out 70, step by step in turn: both "
        "look, both check, both pay and write. What is paid, and what does the ledger say?",
        options={
            "70 paid, 30 left": "70 paid, 30 left: the second clerk is refused.",
            "140 paid, 30 left": "140 paid, 30 left.",
            "140 paid, -40 left": "140 paid, -40 left: the account is overdrawn, and it shows.",
            "100 paid, 0 left": "100 paid, 0 left: the second clerk gets what is still there.",
        },
        expects="140 paid, 30 left",
        why="Each clerk did everything right, with a number that was no longer true. The second "
        "one writes 100 - 70 over the first one's 100 - 70.\n\n"
        "The worst of it: the ledger looks healthy. 40 dollars more than there ever were have left "
        "the house, and no line of it says so.",
    ),
    Prediction(
        id="04.after_the_look",
        question="At the real bank. Two programs have asked for the balance and both know: 100 "
        "dollars. The first one withdraws 70. Now the second one withdraws 70. What does it get?",
        options={
            "OK": "OK: it has looked, and there was enough.",
            "FAILED_PRECONDITION": "FAILED_PRECONDITION: the bank looks again for itself.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: 70 is too much now, so the amount is wrong.",
            "DEADLINE_EXCEEDED": "It waits for a deposit until its time is up: DEADLINE_EXCEEDED.",
        },
        expects="FAILED_PRECONDITION",
        why="What a client saw does not matter to the bank. It takes the account's lock, reads the "
        "balance, compares, and writes, and lets go of the lock after that. Nobody can get between "
        "the check and the act.\n\n"
        "So your own look before the call protects nothing. It can only make a refusal rarer.",
    ),
    Prediction(
        id="04.untouched",
        question="30 dollars are there, and a withdrawal of 500 under the request id `rent-1` is "
        "refused. What has changed in Redis?",
        options={
            "nothing": "Nothing, not one byte.",
            "balance 0": "The balance is 0: what was there is paid out.",
            "a key more": "The balance is the same, but the refusal is remembered under `rent-1`.",
            "no account": "The account is blocked until somebody deposits.",
        },
        expects="nothing",
        why="The rule comes before the write, so a refused withdrawal never gets as far as "
        "writing. It happens as a whole or not at all.\n\n"
        "Nor does the bank remember the refusal: `rent-1` stays free. You may send it again "
        "when there is money, and it will be judged afresh.",
    ),
    Prediction(
        id="04.same_again",
        question="Two requests have been refused: one asks for 500 dollars of 30, one for -5. "
        "Then 1000 dollars come in, and both are sent again, unchanged. What now?",
        options={
            "OK, OK": "Both work: there is plenty of money now.",
            "OK, INVALID_ARGUMENT": "500 works, -5 is refused as before.",
            "FAILED_PRECONDITION, INVALID_ARGUMENT": "Both are refused as before: a request that "
            "failed stays failed.",
            "OK, OUT_OF_RANGE": "500 works, -5 is refused with another code than before.",
        },
        expects="OK, INVALID_ARGUMENT",
        why="`FAILED_PRECONDITION`: the request is fine, the account is not ready for it. Change "
        "the account, and the very same request works.\n\n"
        "`INVALID_ARGUMENT`: the request is senseless whatever the account. No deposit will ever "
        "mend it.",
    ),
    Prediction(
        id="04.everything_twice",
        question="You withdraw everything, under a request id. It works, but the reply gets lost. "
        "So you send the very same request again, to an account that is empty. What comes back?",
        options={
            "OK 0.0": "OK, balance 0.",
            "FAILED_PRECONDITION": "FAILED_PRECONDITION: there is nothing left to withdraw.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: the request id was used before.",
            "OK -530.0": "OK, and the account is overdrawn.",
        },
        expects="OK 0.0",
        why="The bank looks for a reply under the request id first and applies the rule "
        "only if there is none. It finds the reply of the first time, and gives it again.\n\n"
        "The other way round you would read FAILED_PRECONDITION about a withdrawal that worked. "
        "You would think you have no money, and have it in your hand.",
    ),
)


# --- withdraw_or_less ----------------------------------------------------------------------------


class BusyLine(grpc.UnaryUnaryClientInterceptor):
    """A line to the bank on which somebody else is always a moment ahead.

    After a look at the balance and after a refused withdrawal the next of the rivals acts.
    """

    def __init__(self, *rivals: Callable[[], object]) -> None:
        self._rivals = list(rivals)
        self.looked = False

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        call = continuation(details, request)
        looks = details.method.endswith("/GetBalance")
        self.looked |= looks
        if self._rivals and (looks or call.code() is not grpc.StatusCode.OK):
            self._rivals.pop(0)()
        return call


class GermanLine(grpc.UnaryUnaryClientInterceptor):
    """A line to a bank that shows refusals in German."""

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
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
    """A client that calls the bank by this line, with its methods or with its stub."""
    with connect(bank.address) as client:
        client.stub = bank_pb2_grpc.BankServiceStub(grpc.intercept_channel(client.channel, line))
        yield client


def check_withdraw_or_less(withdraw_or_less: Any, bank: Any) -> None:
    client = bank.client
    _open(client, "carol", 50)
    _expect_paid(bank, withdraw_or_less(client, "carol", 20), "carol", asked=20, had=50, paid=20)
    got = _unless_refused(
        lambda: withdraw_or_less(client, "carol", 100),
        lambda: (
            "30 dollars are there and 100 are wanted: FAILED_PRECONDITION got through to the "
            "caller. Catch it, and withdraw what there is."
        ),
    )
    _expect_paid(bank, got, "carol", asked=100, had=30, paid=30)
    try:
        got = withdraw_or_less(client, "carol", 10)
    except grpc.RpcError as error:
        raise Wrong(
            f"The account is empty now, and {_name(error)} got through. Nothing can be paid "
            "out then: return 0, and do not ask the bank for 0 dollars."
        ) from None
    _expect_paid(bank, got, "carol", asked=10, had=0, paid=0)
    _open(client, "dave", 50)
    for account_id, dollars, code in (("nobody", 5, "NOT_FOUND"), ("dave", -5, "INVALID_ARGUMENT")):
        if _code_of(partial(withdraw_or_less, client, account_id, dollars)) != code:
            raise Wrong(
                f"For {dollars} dollars of {account_id} the bank answers {code}, and your function "
                "hides it. Catch FAILED_PRECONDITION alone and let every other error through, with "
                "`raise`."
            )
    busy = BusyLine(*[lambda: client.withdraw("dave", 10)] * 2)
    looked_first = (
        "You looked at the balance, and before your withdrawal arrived somebody else took 10 "
        "dollars of it: FAILED_PRECONDITION got through. A look protects nothing; let the bank "
        "refuse, and try again with what it says."
    )
    tried_twice = (
        "Between the refusal and your next withdrawal somebody else took 10 dollars, so you were "
        "refused again, and FAILED_PRECONDITION got through. Try until it works: a loop."
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
                "At a bank that says the same in German (`Das Guthaben reicht nicht.`), your "
                "function lets FAILED_PRECONDITION through. Texts are for people and may change: "
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
    """The name of the status code that a call fails with, or None."""
    try:
        call()
    except grpc.RpcError as error:
        return _name(error)
    return None


def _unless_refused(call: Callable[[], Any], complaint: Callable[[], str]) -> Any:
    """What the call returns; `Wrong` with the complaint when FAILED_PRECONDITION gets through."""
    try:
        return call()
    except grpc.RpcError as error:
        if _name(error) != "FAILED_PRECONDITION":
            raise
        raise Wrong(complaint()) from None


def _name(error: Any) -> str:
    """Of the status code, whether the client or its stub has raised the error."""
    name: str = error.code().name
    return name


def _expect_paid(bank: Bank, got: Any, account_id: str, *, asked: int, had: int, paid: int) -> None:
    story = f"{had} dollars were there and {asked} wanted"
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
            f"{story}: you return {float(got):g}, which is the balance that is left. Wanted are "
            "the dollars that were paid out."
        )
    if taken != paid * 100:
        raise Wrong(f"{story}: {taken / 100:g} dollars left the account. It should be {paid}.")
    if round(got * 100) != taken:
        raise Wrong(f"{story}: {paid} dollars were paid out, and you return {float(got):g}.")


# --- pay -----------------------------------------------------------------------------------------


def check_pay(pay: Any, bank: Any) -> None:
    client = bank.client
    _open(client, "ann", 100)
    _open(client, "ben", 0)
    _open(client, "rich", MAX_CENTS // 100)
    pay(client, "ann", "ben", 30)
    ann, ben = _cents(bank, "ann"), _cents(bank, "ben")
    if (ann, ben) != (7000, 3000):
        raise Wrong(
            f"ann had 100 dollars, ben none. After ann has paid ben 30, ann has {ann / 100:g} and "
            f"ben {ben / 100:g}. It should be 70 and 30."
        )
    code = _code_of(partial(pay, client, "ann", "ben", 500))
    if _cents(bank, "ben") != 3000:
        raise Wrong(
            "ann has 70 dollars and pays 500: the withdrawal is refused, and ben has "
            f"{_cents(bank, 'ben') / 100:g} dollars all the same, made of nothing. Take the money "
            "first, then give it."
        )
    if code != "FAILED_PRECONDITION":
        raise Wrong(
            "ann has 70 dollars and pays 500: nothing moves, and your function returns as if it "
            "had. Let the bank's FAILED_PRECONDITION through to the caller."
        )
    for receiver, wanted, trouble in (
        ("nobody", "NOT_FOUND", "there is no such account"),
        ("rich", "OUT_OF_RANGE", "that account is as full as can be"),
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
            raise Wrong(f"{story}: she had 70 dollars before, and has {left / 100:g} after it.")
        if code is None:
            raise Wrong(
                f"{story}. You hide it, so the caller believes that it is paid. Once the money is "
                "back, let the error go on, with `raise`."
            )
        if code != wanted:
            raise Wrong(f"{story}, and your function raises {code}. Let the bank's error through.")


EXERCISES = (
    Exercise(
        id="04.withdraw_or_less",
        title="As much as there is",
        task="Write `withdraw_or_less(client, account_id, dollars)` for a cash machine: it pays "
        "out `dollars`, or all that is there if that is less, and returns the dollars paid out. "
        "That is 0 if the account is empty.\n\n"
        "Other programs use the same account while yours runs. Every error that is not about too "
        "little money goes through to the caller.",
        stub="def withdraw_or_less(client, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "Do not look first. Withdraw, and catch `bankkit.CallError` where `error.code()` is "
            "`grpc.StatusCode.FAILED_PRECONDITION`.",
            "The refusal itself tells what there is: `int(error.metadata['balance_cents'])`.",
            "The second attempt can be refused as well, if somebody was faster. `while True:` "
            "around the `try` goes on until the bank has said yes, or there is nothing left.",
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
        right="You let the bank check, under its lock, and go by what it says. That works however "
        "many others are at the account.",
        bank=Bank,
    ),
    Exercise(
        id="04.pay",
        title="From one account to another",
        task="Write `pay(client, sender, receiver, dollars)`: take the dollars from one account "
        "and put them on the other. When it cannot be done, both accounts are as before, and the "
        "bank's error goes through to the caller.",
        stub="def pay(client, sender, receiver, dollars):\n    pass  # your code\n",
        hints=(
            "Which of the two calls goes first? Think of a sender who has too little.",
            "The deposit can be refused after the withdrawal has worked. Then the money is in your "
            "hands: `client.deposit(sender, dollars)` puts it back.",
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
        right="To undo an operation by a second one is called compensation. "
        "One hole is left: after UNAVAILABLE nobody knows whether the receiver has the money, and "
        "putting it back might pay twice. Lesson 06 closes it.",
        bank=Bank,
    ),
)
