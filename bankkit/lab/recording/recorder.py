"""Records the life of calls in a running bank, as an observer of its server.

    with lab.record(bank) as recording:
        recording.stub.GetBalance(bank_pb2.AccountRequest(account_id="alice"))
    lab.life(recording.last)

While the block runs, the recording notes, with the time, every event that the server reports (see
`bankkit.observer`) and every call made through `recording.stub`. The client sends the id of its
call in the metadata `x-call-id`; this id joins the events of both sides.

Times are those of `time.monotonic_ns`, one clock for all processes of a machine. Noting an event
appends one tuple to one list, without a lock; `tests/benchmarks/recorder.py` says what it costs.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic_ns
from typing import Any, Protocol, cast

import grpc

from bankkit.client import error_info
from bankkit.lab.recording.events import Call, EventKind, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.lab.recording.spans import Span
from bankkit.launch.bank import Bank
from bankkit.observer import Change, Mode, Observer, ServedCall
from bankkit.pb import bank_pb2_grpc
from bankkit.store import Snapshot

CALL_ID = "x-call-id"
"""The metadata key that carries a call's id."""

GRACE_SECONDS = 3.0
"""How long the end of a recording waits for the calls that the server then has."""


class Recording:
    """What `record` saw. It grows while the `with` block runs and stays as it is afterwards."""

    def __init__(self, bank: Bank) -> None:
        self._entries: list[Entry] = []
        self._log = Log(self._entries)
        self._channel = bank.channel
        self._history: History | None = None
        self.stub = self.stub_for("client")
        """As `bank.stub`, and what it does is recorded."""

    def stub_for(self, client: str) -> bank_pb2_grpc.BankServiceStub:
        """A stub whose calls are recorded under this name: one lane of a picture.

        ValueError for a name that cannot travel in gRPC metadata.
        """
        return bank_pb2_grpc.BankServiceStub(self.channel(client))

    def channel(self, client: str, over: grpc.Channel | None = None) -> RecordedChannel:
        """A channel for unary calls that are recorded under this name, made over any other one.

        `over` is the bank's own by default: without retries.
        """
        return RecordedChannel(over or self._channel, client, self._log)

    def client_of(self, call: ServedCall) -> str:
        """The client of a call that the server has now; empty if it is not recorded."""
        return client_of(self._log.calls.get(call, ""))

    @property
    def history(self) -> History:
        """What has been recorded until now, as a value that does not change any more."""
        if self._history is not None:
            return self._history
        return History(itertools.starmap(RecordedEvent, tuple(self._entries)), self._log.reasons)

    @property
    def events(self) -> tuple[RecordedEvent, ...]:
        """All events in the order of their times."""
        return self.history.events

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls in the order in which they began."""
        return self.history.calls

    @property
    def last(self) -> Call:
        """The call that began last. ValueError if there is none."""
        if not self._entries:
            raise ValueError("Nothing was recorded: make a call with the recording's own stub.")
        return self.calls[-1]

    @property
    def spans(self) -> tuple[Span, ...]:
        """The waits, reads and writes, with their times: see `History.spans`."""
        return self.history.spans

    def peak_readers(self, account: str | None = None) -> int:
        """How many held the read lock of an account at once, at most; of any account by default."""
        return self.history.peak_readers(account)

    def _freeze(self) -> None:
        self._history = self.history


@contextmanager
def record(bank: Bank) -> Iterator[Recording]:
    """Record what the bank's server and the recording's own clients do while the block runs.

    Calls of other clients are recorded too, from their arrival to the reply. At its end, the block
    waits up to 3 s for all calls that have arrived, even those that no thread has begun. Recording
    continues meanwhile. Calls that take longer continue undisturbed, but unrecorded.

    Raises RuntimeError if the bank is being recorded already.
    """
    if any(isinstance(observer, Log) for observer in bank.server.observers):
        raise RuntimeError("This bank is being recorded already: end that recording first.")
    recording = Recording(bank)
    with ExitStack() as stack:
        stack.callback(recording._freeze)
        stack.enter_context(bank.server.observe(recording._log))
        stack.callback(recording._log.wait_for_calls)
        yield recording


@contextmanager
def after_read(bank: Bank, do: Callable[[str], object]) -> Iterator[None]:
    """Call `do(account_id)` whenever the teller has read an account, while it holds the lock.

    It runs in the server's thread, before the rule sees the balance: the place to let others catch
    up, or to make the server dwell on purpose. An error in it fails that call with INTERNAL.
    """
    with bank.server.observe(_AfterRead(do)):
        yield


# --- Below: how it is done ---------------------------------------------------------------------

Entry = tuple[int, str, EventKind, str, int | None, str]
"""An event, not yet made."""

_NAME = re.compile(r"[!-\"$-~]([ -\"$-~]{0,62}[!-\"$-~])?")


class _Calling(threading.local):
    """The id of the call that this thread of a client makes."""

    call = ""


class Entries(Protocol):
    """Where a log puts what it notes: a list, or what hands it on to another process."""

    def append(self, entry: Entry, /) -> None: ...


class Log(Observer):
    """Events as they are noted, and which calls the server has."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.reasons: dict[str, str] = {}
        self.calls: dict[ServedCall, str] = {}
        """The calls that have arrived and not ended, and their ids."""
        self.number = itertools.count(1).__next__  # one step for Python: two threads never share
        self._requests: set[tuple[str, str]] = set()  # answered: the account and the request's id
        self._is_ending = False
        self._one_ended = threading.Condition()

    def add(
        self,
        call: str,
        kind: EventKind,
        account: str = "",
        value: int | None = None,
        note: str = "",
    ) -> None:
        self._entries.append((monotonic_ns(), call, kind, account, value, note))

    def arrived(self, call: ServedCall) -> None:
        name = next((value for key, value in call.metadata if key == CALL_ID), "")
        self.calls[call] = str(name) or f"somebody#{self.number()}"
        self.add(self.calls[call], "arrived", note=call.method)

    def began(self, call: ServedCall, size: int) -> None:
        self.add(self.calls[call], "began", value=size)

    def asked(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        self.add(self.calls[call], "asked", account_id, None, mode)

    def granted(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        self.add(self.calls[call], "granted", account_id, None, mode)

    def timed_out(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        self.add(self.calls[call], "timeout", account_id, None, mode)

    def released(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        self.add(self.calls[call], "released", account_id, None, mode)

    def reading(self, call: ServedCall, account_id: str) -> None:
        self.add(self.calls[call], "reading", account_id)

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        note = "" if snapshot.replied is None else "replied"
        self.add(self.calls[call], "read", account_id, snapshot.account.balance, note)

    def committing(self, call: ServedCall, account_id: str, change: Change) -> None:
        self.add(self.calls[call], "committing", account_id, change.value, change.method)

    def committed(self, call: ServedCall, account_id: str, change: Change, balance: int) -> None:
        note = "replied" if self._is_answered(account_id, change) else change.method
        self.add(self.calls[call], "committed", account_id, balance, note)

    def failed(self, call: ServedCall, account_id: str, error: Exception) -> None:
        # A `BankError` has a name for programs; the store's own signals have their class.
        note = getattr(error, "reason", type(error).__name__)
        self.add(self.calls[call], "failed", account_id, None, note)

    def replied(self, call: ServedCall, status: str) -> None:
        self.add(self.calls[call], "replied", note=status)

    def ended(self, call: ServedCall) -> None:
        del self.calls[call]
        if self._is_ending:
            with self._one_ended:
                self._one_ended.notify_all()

    def wait_for_calls(self) -> None:
        """Waits until the calls that the server has now have ended, for `GRACE_SECONDS` at most.

        A client whose deadline has passed is gone a moment before the server notices. Calls that
        arrive meanwhile are not waited for, but are noted: the calls waited for may read what they
        wrote.
        """
        self._is_ending = True  # first this, then the look: `ended` does it the other way round
        awaited = list(self.calls)
        with self._one_ended:
            self._one_ended.wait_for(
                lambda: not any(call in self.calls for call in awaited), GRACE_SECONDS
            )

    def _is_answered(self, account_id: str, change: Change) -> bool:
        """Whether a change with this request was answered before."""
        if change.request is None:
            return False
        request = (account_id, change.request.id)
        if request in self._requests:
            return True
        self._requests.add(request)
        return False


class _AfterRead(Observer):
    def __init__(self, do: Callable[[str], object]) -> None:
        self._do = do

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        self._do(account_id)


class RecordedChannel:
    """A channel for unary calls: what a generated stub needs of one."""

    def __init__(self, channel: grpc.Channel, client: str, log: Log) -> None:
        if not isinstance(client, str) or not _NAME.fullmatch(client):
            raise ValueError(
                f"A client's name is 1 to 64 plain ASCII characters without #, not {client!r}."
            )
        self._channel = channel
        self._client = client
        self._log = log

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        **options: Any,
    ) -> _RecordedMethod:
        return _RecordedMethod(
            self._channel, self._client, self._log, method, request_serializer,
            response_deserializer, options,
        )  # fmt: skip


class _RecordedMethod:
    """One method of a stub: callable, `with_call` and `future` as grpcio's own."""

    def __init__(
        self,
        channel: grpc.Channel,
        client: str,
        log: Log,
        method: str,
        encode: Callable[[Any], bytes] | None,
        decode: Callable[[bytes], Any] | None,
        options: dict[str, Any],
    ) -> None:
        self._client = client
        self._log = log
        self._name = method.rpartition("/")[2]
        self._encode = encode
        self._calling = _Calling()  # by the thread that makes the call, which also encodes
        self._inner = channel.unary_unary(method, self._to_bytes, decode, **options)

    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any
    ) -> Any:
        return self._blocking(self._inner, request, timeout, metadata, options)

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any
    ) -> Any:
        return self._blocking(self._inner.with_call, request, timeout, metadata, options)

    def future(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any
    ) -> Any:
        call = self._sent(request)
        future = self._inner.future(request, timeout, _with_id(call, metadata), **options)
        future.add_done_callback(lambda done: self._received(call, done))
        return future

    def _blocking(
        self,
        method: Any,
        request: Any,
        timeout: float | None,
        metadata: Any,
        options: dict[str, Any],
    ) -> Any:
        call = self._sent(request)
        try:
            reply = method(request, timeout, _with_id(call, metadata), **options)
        except grpc.RpcError as error:
            self._received(call, error)
            raise
        self._log.add(call, "received", note="OK")
        return reply

    def _sent(self, request: Any) -> str:
        call = self._calling.call = f"{self._client}#{self._log.number()}"
        self._log.add(call, "sent", getattr(request, "account_id", ""), None, self._name)
        return call

    def _to_bytes(self, request: Any) -> bytes:
        data = self._encode(request) if self._encode else request
        self._log.add(self._calling.call, "encoded", value=len(data))
        return cast(bytes, data)

    def _received(self, call: str, outcome: Any) -> None:
        self._log.add(call, "received", note=outcome.code().name)
        info = error_info(outcome)
        if info:
            self._log.reasons[call] = info.reason


def _with_id(call: str, metadata: Any) -> Any:
    return (*(metadata or ()), (CALL_ID, call))
