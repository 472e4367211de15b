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
            "OK": "Nobody: the bank ignores unknown fields and answers OK.",
            "INVALID_ARGUMENT": "The server: it answers INVALID_ARGUMENT.",
            "UNIMPLEMENTED": "The server: it answers UNIMPLEMENTED.",
            "ValueError": "Python: it raises ValueError before anything is sent.",
        },
        expects="ValueError",
        why="The class `AccountRequest` was generated from the proto, so it knows its two fields "
        "and no others. Not one byte left your notebook.\n\n"
        "The class also catches a value of the wrong type, such as `account_id=7`, with a "
        "TypeError. It does not catch an unknown account type: only the bank knows which types "
        "it offers.",
    ),
    Prediction(
        id="01.twice",
        question="alice has a savings account. Now somebody opens alice as a checking account. "
        "What does the bank answer, and which type does the account have then?",
        options={
            "OK, checking": "OK, and alice is a checking account now: the last request wins.",
            "OK, savings": "OK, and nothing changes: there is an account alice, as requested.",
            "ALREADY_EXISTS, savings": "ALREADY_EXISTS, and nothing changes.",
            "ALREADY_EXISTS, checking": "ALREADY_EXISTS, but the type is checking now.",
        },
        expects="ALREADY_EXISTS, savings",
        why="CreateAccount opens an account or does nothing at all. Redis itself decides, in one "
        "step that no other call can interrupt: set the balance to 0 if there is none yet. So if "
        "two people want the same id at the same moment, exactly one of them gets it.",
    ),
    Prediction(
        id="01.which_first",
        question="One request, two mistakes: the id alice is taken, and there is no account type "
        "`gold`. Which error comes back?",
        options={
            "ALREADY_EXISTS": "ALREADY_EXISTS: the account is looked up first.",
            "INVALID_ARGUMENT": "INVALID_ARGUMENT: the request is read first.",
            "both": "Both, one after the other.",
            "it depends": "Sometimes one, sometimes the other: the one found first by the server.",
        },
        expects="INVALID_ARGUMENT",
        why="A call gets one status. The bank first looks at the request alone: is it one that "
        "could ever work? Only then does it look at the accounts.\n\n"
        "The order is guaranteed, so you can rely on it: this request always fails, whichever "
        "accounts exist. Do not send it again.",
    ),
    Prediction(
        id="01.lost_reply",
        question="erin's account was opened, but the reply got lost. You send the very same "
        "request again. What does the bank answer?",
        options={
            "OK": "OK: it sees that this is the same request again.",
            "NOT_FOUND": "NOT_FOUND: a call whose reply got lost never happened.",
            "ALREADY_EXISTS": "ALREADY_EXISTS: there is an account erin now.",
            "UNAVAILABLE": "UNAVAILABLE: the connection is broken, so nothing works.",
        },
        expects="ALREADY_EXISTS",
        why="The bank did its work the first time; only the reply got lost. Nothing in the request "
        "distinguishes your second try from another person who wants the same id, so the bank "
        "answers both alike.\n\n"
        "If a library had tried again without telling you, you would have seen only "
        "ALREADY_EXISTS, for an account that you opened yourself.",
    ),
)


# --- open_or_get ---------------------------------------------------------------------------------


class ContestedBank(bank_pb2_grpc.BankServiceServicer):
    """A bank in which another client is always a little faster; its errors are in German."""

    def __init__(self) -> None:
        self.looked = False

    def GetBalance(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        """Note that the client looked, and refuse with NOT_FOUND."""
        self.looked = True
        _refuse(context, grpc.StatusCode.NOT_FOUND, "Das Konto gibt es nicht.", "ACCOUNT_NOT_FOUND")

    def CreateAccount(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        """Refuse with ALREADY_EXISTS."""
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
    """Run a contested bank on a free port, and yield it with a stub for it."""
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
    """Raise `Wrong` unless only ALREADY_EXISTS becomes `False`, at a contested bank too."""
    if (code := _code_of(lambda: _expect(open_or_get(bank.stub, "frank"), True))) is not None:
        raise Wrong(f"Opening frank for the first time should succeed, but it raised {code}.")
    if not bank.peek("frank"):
        raise Wrong("Your function says that it opened frank, but Redis has no such account.")
    if (code := _code_of(lambda: _expect(open_or_get(bank.stub, "frank"), False))) is not None:
        raise Wrong(
            f"The second time frank exists already, and your function raised {code}. For this "
            "function that is not a failure: catch it and return `False`."
        )
    if _code_of(lambda: open_or_get(bank.stub, "no good!")) != "INVALID_ARGUMENT":
        raise Wrong(
            "With the id `no good!` the bank answers INVALID_ARGUMENT, and your function hides it. "
            "The caller now believes that there is such an account. Catch only ALREADY_EXISTS, and "
            "raise every other error again with `raise`."
        )
    with contested_bank() as (contested, stub):
        code = _code_of(lambda: _expect(open_or_get(stub, "grace"), False))
    if code is not None and contested.looked:
        raise Wrong(
            "Your function looks first and then opens the account. Somebody else opened grace "
            f"between your look and your call, so your function raised {code}. Only the call "
            "itself can tell you: make the call first."
        )
    if code is not None:
        raise Wrong(
            "At a bank whose error text is German (`Das Konto gibt es schon.`), your function "
            f"raised {code}. Texts are for people and may change: compare the code, "
            "`error.code()`."
        )


def _expect(got: Any, wanted: bool) -> None:
    if type(got) is not bool:
        raise Wrong("`open_or_get` must return `True` or `False`, but it returned something else.")
    if got is not wanted:
        when = "opens a new account" if wanted else "finds that the account exists"
        raise Wrong(f"When it {when}, `open_or_get` must return `{wanted}`, but returned `{got}`.")


def _code_of(call: Any) -> str | None:
    """Return the name of the status code that a call fails with; None if it succeeds."""
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
    """Yield a stub for an address at which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # no other process can listen on the port while we hold it
        with grpc.insecure_channel(f"127.0.0.1:{taken.getsockname()[1]}") as channel:
            yield bank_pb2_grpc.BankServiceStub(channel)


def check_refusal(refusal: Any, bank: Any) -> None:
    """Raise `Wrong` unless each failed call gives its code and reason, even without a server."""

    def request(account_id: str, account_type: str = "savings") -> bank_pb2.AccountRequest:
        return bank_pb2.AccountRequest(account_id=account_id, account_type=account_type)

    got = refusal(bank.stub, request("heidi"))
    if got is not None:
        raise Wrong("When the bank opens the account, there is no refusal: return `None`.")
    if not bank.peek("heidi"):
        raise Wrong("heidi should have an account now, but Redis has none: make the call.")
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
                "is no ErrorInfo in it: `bankkit.error_info(error)` is `None`. Return `''` as the "
                "reason then."
            ) from None
    _compare(got, ("UNAVAILABLE", ""))


def _compare(got: Any, wanted: tuple[str, str]) -> None:
    code, reason = wanted
    if got is None:
        raise Wrong(f"The bank refuses with {code}, but `refusal` returns `None`.")
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("`refusal` must return two texts, `(code, reason)`.")
    if isinstance(got[0], grpc.StatusCode):
        raise Wrong(f"The code must be a text, `'{code}'`: take its `.name`.")
    if got[0] != code:
        raise Wrong(f"The code must be `'{code}'`, the name of `error.code()`.")
    if isinstance(got[1], str) and " " in got[1]:
        raise Wrong(
            "Your second value is the text for people. The reason is one word for programs, such "
            f"as `{reason or 'ACCOUNT_EXISTS'}`; `bankkit.error_info(error)` has it."
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
        "An error that does not come from the bank has no reason. Return `''` as the reason then.",
        stub="def refusal(stub, request):\n    pass  # your code\n",
        hints=(
            "Put the call between `try:` and `except grpc.RpcError as error:`.",
            "The first text is `error.code().name`; `bankkit.error_info(error).reason` is the "
            "second.",
            "If there is no ErrorInfo, `bankkit.error_info(error)` is `None`: check that before "
            "you read its reason.",
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
        right="A program decides by the code and the reason, and shows the text to people.",
        bank=Bank,
    ),
    Exercise(
        id="01.open_or_get",
        title="Open it, unless it is there",
        task="Write `open_or_get(stub, account_id)` for a program that needs a savings account, no "
        "matter who opened it. Return `True` when this call opened it and `False` when it existed "
        "already. Let every other error reach the caller.",
        stub="def open_or_get(stub, account_id):\n    pass  # your code\n",
        hints=(
            "Do not look first. Make the call, and see what comes back.",
            "In the `except` block, compare `error.code()` with `grpc.StatusCode.ALREADY_EXISTS`.",
            "A bare `raise` raises the error that you caught again.",
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
        right="You made one call, without a look before it, and caught only the error that you can "
        "handle.",
        bank=Bank,
    ),
)
