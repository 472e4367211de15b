"""The questions of notebooks/01_create_account.ipynb."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from bankkit import Bank
from bankkit.lab.course.exercises import Exercise, Prediction, Wrong
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.rpc.worker_pool import WorkerPool
from bankkit.server import make_grpc_server

TITLE = "Create account"

PREDICTIONS = (
    Prediction(
        id="01.wrong_field",
        question='You misspell a field: `AccountRequest(acount_id="bob", ...)`. Who notices?',
        options={
            "OK": "Nobody: the bank ignores what it does not know, and answers OK.",
            "INVALID_ARGUMENT": "The server: it answers INVALID_ARGUMENT.",
            "UNIMPLEMENTED": "The server: it answers UNIMPLEMENTED.",
            "ValueError": "Python: it raises ValueError before anything is sent.",
        },
        expects="ValueError",
        why="The class `AccountRequest` was generated from the proto, so it knows its two fields "
        "and no others. Not one byte left your notebook.\n\n"
        "A value of the wrong kind, such as `account_id=7`, is caught there as well, with a "
        "TypeError. An account type that does not exist is not: only the bank knows which types "
        "it offers.",
    ),
    Prediction(
        id="01.twice",
        question="alice has a savings account. Now somebody opens alice as a checking account. "
        "What does the bank answer, and which type has alice then?",
        options={
            "OK, checking": "OK, and alice is a checking account now: the last one wins.",
            "OK, savings": "OK, and nothing changes: there is an account alice, as was wished.",
            "ALREADY_EXISTS, savings": "ALREADY_EXISTS, and nothing changes.",
            "ALREADY_EXISTS, checking": "ALREADY_EXISTS, but the type is checking now.",
        },
        expects="ALREADY_EXISTS, savings",
        why="CreateAccount opens an account or does nothing at all. Redis itself decides, in one "
        "step that nobody can get between: set the balance to 0 if there is none yet. So of two "
        "people who want the same id at the same moment, exactly one gets it.",
    ),
    Prediction(
        id="01.which_first",
        question="One request, two mistakes: the id alice is taken, and there is no account type "
        "`gold`. Which error comes back?",
        options={
            "ALREADY_EXISTS": "ALREADY_EXISTS: the account is looked up first.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: the request is read first.",
            "both": "Both, one after the other.",
            "it depends": "Now the one, now the other: whichever the server finds first.",
        },
        expects="INVALID_ARGUMENT",
        why="A call gets one status. The bank first looks at the request alone: is it one that "
        "could ever work? Only then does it look at the accounts.\n\n"
        "The order is a promise, so you can rely on it: this request will fail always, whatever "
        "accounts there are. To send it again would be a waste.",
    ),
    Prediction(
        id="01.lost_reply",
        question="erin's account was opened, but the reply got lost. You send the very same "
        "request again. What does the bank answer?",
        options={
            "OK": "OK: it sees that this is the same request once more.",
            "NOT_FOUND": "NOT_FOUND: a call whose reply got lost never happened.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: there is an erin by now.",
            "UNAVAILABLE": "UNAVAILABLE: the connection is broken, so nothing works.",
        },
        expects="ALREADY_EXISTS",
        why="The bank did its work the first time; only the news of it got lost. The request "
        "carries nothing that would tell your second try from another person who wants the same "
        "id, so the bank answers both alike.\n\n"
        "Had a library tried again behind your back, you would have seen one thing only: "
        "ALREADY_EXISTS, for an account that you opened yourself.",
    ),
)


# --- open_or_get ---------------------------------------------------------------------------------


class ContestedBank(bank_pb2_grpc.BankServiceServicer):
    """A bank in which somebody else is always a little faster, and which speaks German."""

    def __init__(self) -> None:
        self.looked = False

    def GetBalance(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        self.looked = True
        _refuse(context, grpc.StatusCode.NOT_FOUND, "Das Konto gibt es nicht.", "ACCOUNT_NOT_FOUND")

    def CreateAccount(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _refuse(
            context, grpc.StatusCode.ALREADY_EXISTS, "Das Konto gibt es schon.", "ACCOUNT_EXISTS"
        )


def _refuse(
    context: grpc.ServicerContext, code: grpc.StatusCode, text: str, reason: str
) -> NoReturn:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="bankkit"))
    status = status_pb2.Status(code=code.value[0], message=text, details=[detail])
    context.abort_with_status(rpc_status.to_status(status))


@contextmanager
def contested_bank() -> Iterator[tuple[ContestedBank, Any]]:
    """A bank that is contested, and a stub for it."""
    bank, pool = ContestedBank(), WorkerPool(2)
    server = make_grpc_server(pool)
    bank_pb2_grpc.add_BankServiceServicer_to_server(bank, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield bank, bank_pb2_grpc.BankServiceStub(channel)
    finally:
        server.stop(0).wait()
        pool.shutdown()


def check_open_or_get(open_or_get: Any, bank: Any) -> None:
    if (code := _code_of(lambda: _expect(open_or_get(bank.stub, "frank"), True))) is not None:
        raise Wrong(f"Opening frank for the first time should just work, and it raised {code}.")
    if not bank.peek("frank"):
        raise Wrong("You say that frank was opened, but Redis has no such account.")
    if (code := _code_of(lambda: _expect(open_or_get(bank.stub, "frank"), False))) is not None:
        raise Wrong(
            f"The second time frank is there already, and {code} got through. For this function "
            "that is no failure: catch it and return `False`."
        )
    if _code_of(lambda: open_or_get(bank.stub, "no good!")) != "INVALID_ARGUMENT":
        raise Wrong(
            "With the id `no good!` the bank answers INVALID_ARGUMENT, and your function hides it. "
            "The caller now believes that there is such an account. Catch ALREADY_EXISTS alone and "
            "let every other error through, with `raise`."
        )
    with contested_bank() as (contested, stub):
        code = _code_of(lambda: _expect(open_or_get(stub, "grace"), False))
    if code is not None and contested.looked:
        raise Wrong(
            "You look first and open then. Somebody else opened grace between your look and your "
            f"call, so {code} got through. Only the call itself can tell: make it, and see."
        )
    if code is not None:
        raise Wrong(
            "At a bank that says it in German (`Das Konto gibt es schon.`), your function lets "
            f"{code} through. Texts are for people and may change: compare the code, "
            "`error.code()`."
        )


def _expect(got: Any, wanted: bool) -> None:
    if type(got) is not bool:
        raise Wrong("`open_or_get` must return `True` or `False`, and returned something else.")
    if got is not wanted:
        when = "opens a new account" if wanted else "finds the account there already"
        raise Wrong(f"When it {when}, `open_or_get` must return `{wanted}`, and returned `{got}`.")


def _code_of(call: Any) -> str | None:
    """The name of the status code that a call fails with, or None."""
    try:
        call()
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call):
            return error.code().name
        raise
    return None


# --- refusal -------------------------------------------------------------------------------------


@contextmanager
def nobody_there() -> Iterator[Any]:
    """A stub for an address at which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody else can listen there meanwhile
        with grpc.insecure_channel(f"127.0.0.1:{taken.getsockname()[1]}") as channel:
            yield bank_pb2_grpc.BankServiceStub(channel)


def check_refusal(refusal: Any, bank: Any) -> None:
    def request(account_id: str, account_type: str = "savings") -> bank_pb2.AccountRequest:
        return bank_pb2.AccountRequest(account_id=account_id, account_type=account_type)

    got = refusal(bank.stub, request("heidi"))
    if got is not None:
        raise Wrong("When the bank opens the account, there is no refusal: return `None`.")
    if not bank.peek("heidi"):
        raise Wrong("heidi should have an account now, and Redis has none: make the call.")
    for asked, wanted in (
        (request("heidi"), ("ALREADY_EXISTS", "ACCOUNT_EXISTS")),
        (request("ivan", "gold"), ("INVALID_ARGUMENT", "INVALID_ACCOUNT_TYPE")),
        (request("no good!"), ("INVALID_ARGUMENT", "INVALID_ACCOUNT_ID")),
    ):
        _compare(refusal(bank.stub, asked), wanted)
    with nobody_there() as stub:
        try:
            got = refusal(stub, request("judy"))
        except AttributeError:
            raise Wrong(
                "With no bank at the address, gRPC itself makes the error (UNAVAILABLE), and there "
                "is no ErrorInfo in it: `bankkit.error_info(error)` is `None`. The reason is `''` "
                "then."
            ) from None
    _compare(got, ("UNAVAILABLE", ""))


def _compare(got: Any, wanted: tuple[str, str]) -> None:
    code, reason = wanted
    if got is None:
        raise Wrong(f"The bank refuses with {code}, and `refusal` returns `None`.")
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("`refusal` must return two texts, `(code, reason)`.")
    if isinstance(got[0], grpc.StatusCode):
        raise Wrong(f"The code is wanted as text, `'{code}'`: take its `.name`.")
    if got[0] != code:
        raise Wrong(f"The code must be `'{code}'`, the name of `error.code()`.")
    if isinstance(got[1], str) and " " in got[1]:
        raise Wrong(
            "The second one is the text for people. The reason is one word for programs, such as "
            f"`{reason or 'ACCOUNT_EXISTS'}`; `bankkit.error_info(error)` has it."
        )
    if got[1] != reason:
        raise Wrong(f"For {code} the reason must be `'{reason}'` here.")


EXERCISES = (
    Exercise(
        id="01.refusal",
        title="Read a refusal",
        task="Write `refusal(stub, request)`: call CreateAccount with the request. When the bank "
        "opens the account, return `None`. When the call fails, return two texts: the name of the "
        "status code and the reason, such as `('ALREADY_EXISTS', 'ACCOUNT_EXISTS')`.\n\n"
        "Some errors never saw the bank, so they have no reason. Return `''` for it then.",
        stub="def refusal(stub, request):\n    pass  # your code\n",
        hints=(
            "Put the call between `try:` and `except grpc.RpcError as error:`.",
            "`error.code().name` is the first text; `bankkit.error_info(error).reason` the second.",
            "Where there is no ErrorInfo, `bankkit.error_info(error)` is `None`: ask before you "
            "take its reason.",
        ),
        answer="""\
import bankkit
import grpc


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        info = bankkit.error_info(error)
        return error.code().name, info.reason if info else ""
    return None
""",
        check=check_refusal,
        right="Code and reason are what a program decides by; the text it shows to people.",
        bank=Bank,
    ),
    Exercise(
        id="01.open_or_get",
        title="Open it, unless it is there",
        task="Write `open_or_get(stub, account_id)` for a program that does not mind who opened "
        "the savings account, as long as there is one. Return `True` when this call opened it and "
        "`False` when it was there already. Every other error goes through to the caller.",
        stub="def open_or_get(stub, account_id):\n    pass  # your code\n",
        hints=(
            "Do not look first. Make the call, and see what comes back.",
            "In the `except` block, compare `error.code()` with `grpc.StatusCode.ALREADY_EXISTS`.",
            "A line with `raise` and nothing else lets the error that you caught go on.",
        ),
        answer="""\
import grpc
from bankkit.pb import bank_pb2


def open_or_get(stub, account_id):
    request = bank_pb2.AccountRequest(account_id=account_id, account_type="savings")
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return False
    return True
""",
        check=check_open_or_get,
        right="One call, no look before it, and only the one error caught that you know how to "
        "take.",
        bank=Bank,
    ),
)
