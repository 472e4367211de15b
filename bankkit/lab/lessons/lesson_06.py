"""The questions of notebooks/06_error_codes.ipynb."""

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
        question="You hold alice's lock and do not let go. Somebody deposits 10 dollars. After "
        "half a second the bank gives up waiting; then you let go. What did the caller get, and "
        "what is the balance?",
        options={
            "OK, 110.0": "OK, and 110: the deposit comes through in the end.",
            "DEADLINE_EXCEEDED, 100.0": "DEADLINE_EXCEEDED, and 100.",
            "DEADLINE_EXCEEDED, 110.0": "DEADLINE_EXCEEDED, and 110: the deposit is still queued, "
            "and goes on when you let go.",
            "UNAVAILABLE, 100.0": "UNAVAILABLE, and 100.",
        },
        expects="DEADLINE_EXCEEDED, 100.0",
        why="The bank gave up in front of the lock, before it had even read the balance. So it "
        "knows that nothing was done, and says so.\n\n"
        "That was the bank's patience. A deadline of your own is another matter, as you will see "
        "in a moment.",
    ),
    Prediction(
        id="06.bug",
        question="The server has a bug: it divides by zero while it works on your call. What do "
        "you get to see?",
        options={
            "INTERNAL": "INTERNAL, and a text that gives nothing away.",
            "ZeroDivisionError": "ZeroDivisionError: Python errors travel as they are.",
            "UNAVAILABLE": "UNAVAILABLE: the server has crashed.",
            "DEADLINE_EXCEEDED": "Nothing, until your deadline passes.",
        },
        expects="INTERNAL",
        why="The server survives, and the error stays in the house: its log has the traceback, the "
        "client has a code. A text from the inside would help nobody but a burglar.\n\n"
        "There is nothing for you to fix. Give up, and tell those who run the bank.",
    ),
    Prediction(
        id="06.two_gifts",
        question="Two deposits of 10 dollars to alice, who has 100. Redis stops before the first "
        "one is read. It goes on, and stops again when the second one is just about to be written. "
        "Both callers get the same UNAVAILABLE. Redis goes on for good. What has alice?",
        options={
            "100.0": "100: both calls failed.",
            "110.0": "110: one of the two was applied.",
            "120.0": "120: both were applied.",
        },
        expects="110.0",
        why="A stopped Redis loses nothing: what was sent to it waits in its socket. The first "
        "deposit had sent only a question. The second one had sent its write, and "
        "Redis carried that out when it woke, long after the bank had given up.\n\n"
        "The same code, the same text, the same reason, and two different truths. UNAVAILABLE does "
        "not say no. It says: I do not know.",
    ),
    Prediction(
        id="06.attempts",
        question="Now `bank.client`'s channel, with the retry policy. Redis is stopped, you make "
        "one call to deposit 10 dollars, and Redis goes on when the bank sees the second attempt. "
        "How many copies reach the bank, and how much is added?",
        options={
            "one copy, 10.0 more": "One copy and 10 dollars: the bank waits for its Redis.",
            "several copies, 10.0 more": "More than one, and 10 dollars.",
            "several copies, 20.0 more": "More than one, and 20 dollars: each is a deposit.",
            "one copy, 0.0 more": "One copy and nothing: your call fails, and you must try again.",
        },
        expects="several copies, 10.0 more",
        why="gRPC itself tried again, and your code saw one call that took a little longer. All "
        "copies carried the same request id, so the money could move once at most, whatever became "
        "of the first one.",
    ),
)


# --- whose_move ----------------------------------------------------------------------------------

_MOVES = ("fix the request", "fix the state", "retry", "give up")
_MET = tuple(code for code in MEANINGS if code != "ABORTED")  # which takes two servers: lesson 10
_UNHEARD_OF = ("DATA_LOSS", "UNIMPLEMENTED")

_COMPLAINTS = {
    ("fix the request", "retry"): "sent again unchanged, this request fails again, for ever",
    ("fix the state", "retry"): "trying again changes nothing about the account: you would loop "
    "until somebody deposits",
    ("fix the state", "fix the request"): "there is nothing wrong with the request: after a "
    "deposit the very same one works",
    ("retry", "give up"): "the next moment may be better, and under the same request id trying "
    "again is safe",
    ("retry", "fix the request"): "the request was fine; the bank was busy, late or away",
    ("retry", "fix the state"): "it is not the account that is wrong; the bank was busy, late or "
    "away",
    ("give up", "retry"): "either you hung up yourself, or the server has a mistake in it that the "
    "next try meets again",
}


def check_whose_move(whose_move: Any) -> None:
    for code in (*_MET, *_UNHEARD_OF):
        wanted = meaning(code).move
        try:
            got = whose_move(code)
        except (KeyError, ValueError):
            raise Wrong(
                f"For {code} your function raises an error. There are more codes than you list: "
                "what you do not know is `'give up'`. With a dictionary: `.get(code, 'give up')`."
            ) from None
        if got is None and code in _UNHEARD_OF:
            raise Wrong(
                f"For {code}, which this bank never sends, you return nothing. Some day a code "
                "comes that nobody thought of: answer `'give up'` for all that you do not know."
            )
        if not isinstance(got, str) or got not in _MOVES:
            raise Wrong(
                f"For {code} you must return one of the four texts: "
                f"{', '.join(f'`{move}`' for move in _MOVES)}."
            )
        if got != wanted:
            why = _COMPLAINTS.get((wanted, got), f"remember what it says: {meaning(code).what}")
            raise Wrong(f"{code} is not for `{got}`: {why}.")


# --- deposit_once --------------------------------------------------------------------------------


class UnsureWrites(Observer):
    """Makes the teller's writes fail, as those to a Redis that goes away.

    Of the next writes each has one of these fates: `lost` is never carried out, `late` is, and the
    teller learns of neither. With every one that is lost, somebody else deposits as much.
    """

    def __init__(self, store: Store, cents: int, fates: list[str]) -> None:
        self._store = store
        self._cents = cents
        self._fates = fates

    def committing(self, call: ServedCall, account_id: str, change: Change) -> None:
        if self._fates:
            request = change.request if self._fates.pop(0) == "late" else None
            self._store.add(account_id, self._cents, 0, MAX_CENTS, request)
            raise StoreUnavailable


def unsure(bank: Bank, cents: int, *fates: str) -> AbstractContextManager[None]:
    """While the block runs, the bank's writes have these fates."""
    return bank.server.observe(UnsureWrites(bank.store, cents, list(fates)))


def check_deposit_once(deposit_once: Any, bank: Any) -> None:
    for account_id in ("carol", "dave", "erin", "frank"):
        bank.client.create_account(account_id)
    got = deposit_once(bank.stub, "carol", 10)
    if hasattr(got, "balance"):
        raise Wrong("You return the whole reply. Return its field `balance`.")
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise Wrong("`deposit_once` must return a number: the balance that the bank replies.")
    _expect(bank, "carol", 10, "carol was empty and got 10 dollars, with nothing in the way")
    deposit_once(bank.stub, "carol", 10)
    _expect(
        bank, "carol", 20, "carol gets 10 dollars a second time, which is a second deposit. Each "
        "one needs a request id of its own, such as `uuid.uuid4().hex`",
    )  # fmt: skip
    with unsure(bank, 1000, "late"):
        _try(deposit_once, bank, "dave")
    _expect(
        bank, "dave", 10, "the first attempt was applied, and UNAVAILABLE came back. The bank "
        "knows your next attempt for the same deposit only by the same request id: make it once, "
        "before the loop",
    )  # fmt: skip
    with unsure(bank, 1000, "lost", "late"):
        _try(deposit_once, bank, "erin")
    _expect(
        bank, "erin", 20, "the first attempt was lost, and in the same moment somebody else "
        "deposited 10 dollars. So the balance says nothing about your own deposit: do not compare "
        "balances, send the request again under its id",
    )  # fmt: skip
    try:
        deposit_once(bank.stub, "nobody", 10)
    except grpc.RpcError:
        pass
    else:
        raise Wrong(
            "There is no account `nobody`, and your function hides that. Try again after "
            "UNAVAILABLE alone, and let every other error through, with `raise`."
        )
    with unsure(bank, 1000, *["lost"] * 4):
        try:
            deposit_once(bank.stub, "frank", 10)
        except grpc.RpcError:
            raise Wrong(
                "The bank failed four times in a row, and would have taken the fifth try. Your "
                "function gave up before it: five times in all."
            ) from None
    with unsure(bank, 1000, *["lost"] * 5):
        try:
            deposit_once(bank.stub, "erin", 10)
        except grpc.RpcError:
            return
    raise Wrong(
        "The bank failed five times in a row, and your function did not say so. After the fifth "
        "try let the error through: the caller must know that the outcome is unknown."
    )


def _try(deposit_once: Any, bank: Bank, account_id: str) -> None:
    try:
        deposit_once(bank.stub, account_id, 10)
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Wrong(
                "The bank was away for one attempt, and UNAVAILABLE got through at once. It may "
                "have the deposit or not: try again, under the same request id."
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
        "Ten codes have been on this page. Of the others a program should say `'give up'` as well.",
        stub="def whose_move(code):\n    pass  # your code\n",
        hints=(
            "Four of the ten say that the request itself is wrong: its id, its amount. Only one "
            "says that it is fine and the account is not ready.",
            "Three codes may be gone in the next moment: too busy, too late, away.",
            "A dictionary `{code: move}` and `moves.get(code, 'give up')` is all it takes.",
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
        right="Ten codes, four moves, and a default for what nobody has thought of yet.",
    ),
    Exercise(
        id="06.deposit_once",
        title="Once, whatever happens",
        task="Write `deposit_once(stub, account_id, dollars)`: deposit the dollars exactly once "
        "and return the balance that the bank replies. When UNAVAILABLE comes, try again, five "
        "times in all; then let the error through. Every other error goes through at once.\n\n"
        "The stub is the plain one: it retries nothing, and makes no request ids. (A real client "
        "would wait between two tries. Leave that out here.)",
        stub="def deposit_once(stub, account_id, dollars):\n    pass  # your code\n",
        hints=(
            "Make the request, with its `request_id`, once, and send it again as it is.",
            "`uuid.uuid4().hex` is a text that nobody has used before. Each deposit needs a new "
            "one, and each attempt at the same deposit the same.",
            "`for tries_left in (4, 3, 2, 1, 0):` around a `try`; in its `except grpc.RpcError as "
            "error:` a `raise` if it is another code, or if no tries are left.",
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
        right="You never asked whether it had happened. You made sure that it happens, and that it "
        "happens once: such a request is called idempotent.",
        bank=Bank,
    ),
)
