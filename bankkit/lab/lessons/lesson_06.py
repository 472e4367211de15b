"""Predictions and exercises of notebooks/06_error_codes.ipynb."""

from contextlib import AbstractContextManager
from typing import Any

import grpc

from bankkit import Bank
from bankkit.accounts import StoreUnavailable
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.lab.drawing.error_map import MEANINGS, meaning
from bankkit.money import MAX_CENTS
from bankkit.observer import Change, Observer, ServedCall
from bankkit.store import Store

TITLE = "Error codes"

PREDICTIONS = (
    Prediction(
        id="06.held_lock",
        question="You hold alice's lock and do not release it. A client deposits 10 dollars. After "
        "half a second the bank stops waiting; then you release the lock. Which status does the "
        "client get, and what is the balance?",
        options={
            "OK, 110.0": "OK, and 110: the deposit succeeds in the end.",
            "DEADLINE_EXCEEDED, 100.0": "DEADLINE_EXCEEDED, and 100.",
            "DEADLINE_EXCEEDED, 110.0": "DEADLINE_EXCEEDED, and 110: the deposit is still queued, "
            "and runs when you release the lock.",
            "UNAVAILABLE, 100.0": "UNAVAILABLE, and 100.",
        },
        expects="DEADLINE_EXCEEDED, 100.0",
        why="The bank was still waiting for the lock and had not even read the balance. So it "
        "knows that nothing was applied, and says so.\n\n"
        "That was the bank's time limit. A deadline of your own is different, as you will see "
        "in a moment.",
    ),
    Prediction(
        id="06.bug",
        question="The server has a bug: it divides by zero while it works on your call. What do "
        "you see?",
        options={
            "INTERNAL": "INTERNAL, and a text without details.",
            "ZeroDivisionError": "ZeroDivisionError: Python errors travel as they are.",
            "UNAVAILABLE": "UNAVAILABLE: the server has crashed.",
            "DEADLINE_EXCEEDED": "Nothing, until your deadline passes.",
        },
        expects="INTERNAL",
        why="The server goes on running. Its log has the traceback, and the client gets only a "
        "code: details of the server's code would help nobody but an attacker.\n\n"
        "You cannot fix this. Give up, and tell the people who run the bank.",
    ),
    Prediction(
        id="06.two_gifts",
        question="alice has 100 dollars. Two clients deposit 10 dollars each. Redis stops before "
        "the bank reads for the first deposit. It resumes, and stops again just before the bank "
        "writes the second deposit. Both clients get the same UNAVAILABLE. Redis resumes and keeps "
        "running. How much does alice have?",
        options={
            "100.0": "100: both calls failed.",
            "110.0": "110: one of the two was applied.",
            "120.0": "120: both were applied.",
        },
        expects="110.0",
        why="A stopped Redis loses nothing: the commands that were sent to it wait in its socket. "
        "The first deposit had sent only its read. The second one had sent its write, and Redis "
        "carried that out when it resumed, long after the bank had stopped waiting.\n\n"
        "The code, the text and the reason are the same, but the outcomes differ. UNAVAILABLE does "
        "not say no. It says: I do not know.",
    ),
    Prediction(
        id="06.attempts",
        question="Now you use `bank.client`'s channel, with the retry policy. Redis is stopped. "
        "You make one call to deposit 10 dollars, and Redis resumes when the second attempt "
        "reaches the bank. How many copies of the call reach the bank, and how much is added?",
        options={
            "one copy, 10.0 more": "One copy and 10 dollars: the bank waits for its Redis.",
            "several copies, 10.0 more": "More than one, and 10 dollars.",
            "several copies, 20.0 more": "More than one, and 20 dollars: each is a deposit.",
            "one copy, 0.0 more": "One copy and nothing: your call fails, and you must try again.",
        },
        expects="several copies, 10.0 more",
        why="gRPC tried again, and your code saw one call that took a little longer. All copies "
        "had the same request id, so at most one of them could change the balance.",
    ),
)


# --- whose_move ----------------------------------------------------------------------------------

_MOVES = ("fix the request", "fix the state", "retry", "give up")
_SEEN = tuple(code for code in MEANINGS if code != "ABORTED")  # lesson 10
_UNSEEN = ("DATA_LOSS", "UNIMPLEMENTED")

_COMPLAINTS = {
    ("fix the request", "retry"): "this request fails every time if you send it again unchanged",
    ("fix the state", "retry"): "a retry does not change the account: you would loop until "
    "somebody deposits",
    ("fix the state", "fix the request"): "the request is fine: after a deposit the very same "
    "request works",
    ("retry", "give up"): "a later attempt may succeed, and under the same request id a retry is "
    "safe",
    ("retry", "fix the request"): "the request was fine; the bank was busy, late or away",
    ("retry", "fix the state"): "the account is fine; the bank was busy, late or away",
    ("give up", "retry"): "either you hung up yourself, or the server has a bug and the next "
    "attempt fails in the same way",
}


def check_whose_move(whose_move: Any) -> None:
    """Ask for the ten codes of the lesson and two others; raise `Wrong` at the first wrong move."""
    for code in (*_SEEN, *_UNSEEN):
        wanted = meaning(code).move
        try:
            got = whose_move(code)
        except (KeyError, ValueError):
            raise Wrong(
                f"For {code} your function raises an error. There are more codes than you list: "
                "return `'give up'` for the others. With a dictionary: `.get(code, 'give up')`."
            ) from None
        if got is None and code in _UNSEEN:
            raise Wrong(
                f"For {code}, which this bank never sends, you return nothing. A server may send "
                "any code one day: return `'give up'` for all codes that you do not list."
            )
        if not isinstance(got, str) or got not in _MOVES:
            raise Wrong(
                f"For {code} you must return one of the four texts: "
                f"{', '.join(f'`{move}`' for move in _MOVES)}."
            )
        if got != wanted:
            why = _COMPLAINTS.get((wanted, got), f"the code means: {meaning(code).what}")
            raise Wrong(f"For {code}, `{got}` is wrong: {why}.")


# --- deposit_once --------------------------------------------------------------------------------


class UnsureWrites(Observer):
    """The teller's next writes raise StoreUnavailable, as if Redis had stopped.

    Each of these commits has a fate. A `lost` one is not carried out, and another client deposits
    the same amount instead. A `late` one is carried out.
    """

    def __init__(self, store: Store, cents: int, fates: list[str]) -> None:
        self._store = store
        self._cents = cents
        self._fates = fates

    def committing(self, call: ServedCall, account_id: str, change: Change) -> None:
        """Raise StoreUnavailable while fates are left."""
        if self._fates:
            request = change.request if self._fates.pop(0) == "late" else None
            self._store.add(account_id, self._cents, 0, MAX_CENTS, request)
            raise StoreUnavailable


def unsure(bank: Bank, cents: int, *fates: str) -> AbstractContextManager[None]:
    """Give the bank's next commits these fates while the block runs."""
    return bank.server.observe(UnsureWrites(bank.store, cents, list(fates)))


def check_deposit_once(deposit_once: Any, bank: Any) -> None:
    """Let the bank fail in several ways, and raise `Wrong` if a balance or an error is wrong."""
    for account_id in ("carol", "dave", "erin", "frank"):
        bank.client.create_account(account_id)
    got = deposit_once(bank.stub, "carol", 10)
    if hasattr(got, "balance"):
        raise Wrong("You return the whole reply. Return its field `balance`.")
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise Wrong("`deposit_once` must return a number: the balance that the bank replies.")
    _expect(bank, "carol", 10, "carol had nothing and got 10 dollars, and the bank did not fail")
    deposit_once(bank.stub, "carol", 10)
    _expect(
        bank, "carol", 20, "carol gets 10 dollars a second time, which is a second deposit. Each "
        "deposit needs a new request id, such as `uuid.uuid4().hex`",
    )  # fmt: skip
    with unsure(bank, 1000, "late"):
        _try(deposit_once, bank, "dave")
    _expect(
        bank, "dave", 10, "the first attempt was applied, and UNAVAILABLE came back. The bank "
        "recognises your next attempt as the same deposit only by its request id: make the id "
        "once, before the loop",
    )  # fmt: skip
    with unsure(bank, 1000, "lost", "late"):
        _try(deposit_once, bank, "erin")
    _expect(
        bank, "erin", 20, "the first attempt was lost, and at the same moment another client "
        "deposited 10 dollars. So the balance says nothing about your own deposit: do not compare "
        "balances, send the request again under its id",
    )  # fmt: skip
    try:
        deposit_once(bank.stub, "nobody", 10)
    except grpc.RpcError:
        pass
    else:
        raise Wrong(
            "There is no account `nobody`, and your function hides that. Try again only "
            "after UNAVAILABLE, and raise every other error again, with `raise`."
        )
    with unsure(bank, 1000, *["lost"] * 4):
        try:
            deposit_once(bank.stub, "frank", 10)
        except grpc.RpcError:
            raise Wrong(
                "The bank failed four times in a row, and would have taken the fifth attempt. Your "
                "function gave up before that: it must make up to five attempts."
            ) from None
    with unsure(bank, 1000, *["lost"] * 5):
        try:
            deposit_once(bank.stub, "erin", 10)
        except grpc.RpcError:
            return
    raise Wrong(
        "The bank failed five times in a row, and your function raised no error. After the fifth "
        "attempt raise the error again: the caller must know that the outcome is unknown."
    )


def _try(deposit_once: Any, bank: Bank, account_id: str) -> None:
    try:
        deposit_once(bank.stub, account_id, 10)
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Wrong(
                "The bank was away for one attempt, and your function raised UNAVAILABLE at once. "
                "The deposit may or may not have happened: try again, under the same request id."
            ) from None
        raise


def _expect(bank: Bank, account_id: str, dollars: int, story: str) -> None:
    got = bank.client.get_balance(account_id).balance
    if got != dollars:
        raise Wrong(f"{account_id} should have {dollars} dollars now, and has {got:g}: {story}.")


EXERCISES = (
    Exercise(
        id="06.whose_move",
        title="Whose move is it?",
        task="Write `whose_move(code)`: it takes the name of a status code, such as `'NOT_FOUND'`, "
        "and returns one of `'fix the request'`, `'fix the state'`, `'retry'` and `'give up'`.\n\n"
        "You have seen ten codes on this page. For every other code, return `'give up'` as well.",
        stub="def whose_move(code):\n    pass  # your code\n",
        hints=(
            "Four of the ten say that the request itself is wrong: its id, its amount. Only one "
            "says that the request is fine and the account is not ready.",
            "Three codes name a problem that may soon pass: the bank is busy, late or away.",
            "A dictionary `{code: move}` and `moves.get(code, 'give up')` is enough.",
        ),
        answer="""\
def whose_move(code):
    moves = {
        "INVALID_ARGUMENT": "fix the request",
        "NOT_FOUND": "fix the request",
        "ALREADY_EXISTS": "fix the request",
        "OUT_OF_RANGE": "fix the request",
        "FAILED_PRECONDITION": "fix the state",
        "UNAVAILABLE": "retry",
        "DEADLINE_EXCEEDED": "retry",
        "RESOURCE_EXHAUSTED": "retry",
    }
    return moves.get(code, "give up")
""",
        check=check_whose_move,
        right="Your function knows ten codes and four moves, and has a default for all others.",
    ),
    Exercise(
        id="06.deposit_once",
        title="Once, whatever happens",
        task="Write `deposit_once(stub, account_id, dollars)`: deposit the dollars exactly once "
        "and return the balance that the bank replies. After UNAVAILABLE, try again, up to five "
        "attempts in all; then raise the error again. Raise every other error at once.\n\n"
        "The stub is the plain one: it retries nothing, and makes no request ids. (A real client "
        "would wait between two attempts. Leave that out here.)",
        stub="def deposit_once(stub, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "Make the request, with its `request_id`, once, and send it again as it is.",
            "`uuid.uuid4().hex` is a text that nobody has used before. Each deposit needs a new "
            "id, and all attempts at the same deposit share it.",
            "`for tries_left in (4, 3, 2, 1, 0):` around a `try`; in its `except grpc.RpcError as "
            "error:`, a `raise` if the code is another one, or if no tries are left.",
        ),
        answer="""\
import uuid

import grpc
from bankkit.pb import bank_pb2


def deposit_once(stub, account_id, dollars):
    request = bank_pb2.DepositRequest(
        account_id=account_id, amount=dollars, request_id=uuid.uuid4().hex
    )
    for tries_left in (4, 3, 2, 1, 0):
        try:
            return stub.Deposit(request).balance
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or tries_left == 0:
                raise
""",
        check=check_deposit_once,
        right="You never asked whether the deposit had happened. You made sure that it happens "
        "once, however often the request is sent: such a request is called idempotent.",
        bank=Bank,
    ),
)
