"""Records the life of calls in a running bank, as an observer of its server.

    with lab.record(bank) as recording:
        recording.stub.GetBalance(bank_pb2.AccountRequest(account_id="alice"))
    lab.life(recording.last)

While the block runs, the recording stores every event that the server reports (see
`bankkit.observer`) and every call made through `recording.stub`, each with its time. The client
sends the id of its call in the metadata `x-call-id`; this id joins the events of both sides.

Times come from `time.monotonic_ns`, one clock for all processes of a machine. To record an event,
the recorder appends one tuple to one list, without a lock; `tests/benchmarks/recorder.py` measures
the cost.
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
"""The longest time that the end of a recording waits for calls that are still running."""


class Recording:
    """What `record` saw. It grows while the `with` block runs and stays as it is afterwards."""

    def __init__(self, bank: Bank) -> None:
        self._entries: list[Entry] = []
        self._log = Log(self._entries)
        self._channel = bank.channel
        self._history: History | None = None
        self.stub = self.stub_for("client")
        """Like `bank.stub`, but its calls are recorded."""

    def stub_for(self, client: str) -> bank_pb2_grpc.BankServiceStub:
        """A stub whose calls are recorded under this name; a picture draws them in one lane.

        Raises ValueError for a name that cannot be sent in gRPC metadata.
        """
        return bank_pb2_grpc.BankServiceStub(self.channel(client))

    def channel(self, client: str, over: grpc.Channel | None = None) -> RecordedChannel:
        """A channel that records unary calls under this name and sends them over another channel.

        `over` is that other channel. By default it is the bank's own, which does not retry.
        """
        return RecordedChannel(over or self._channel, client, self._log)

    def client_of(self, call: ServedCall) -> str:
        """The name of the client of a running call; empty if the call is not recorded."""
        return client_of(self._log.calls.get(call, ""))

    @property
    def history(self) -> History:
        """The events recorded so far, as a value that does not change."""
        if self._history is not None:
            return self._history
        return History(itertools.starmap(RecordedEvent, tuple(self._entries)), self._log.reasons)

    @property
    def events(self) -> tuple[RecordedEvent, ...]:
        """All events in order of time."""
        return self.history.events

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls in the order in which they began."""
        return self.history.calls

    @property
    def last(self) -> Call:
        """The call that began last. Raises ValueError if there is none."""
        if not self._entries:
            raise ValueError("Nothing was recorded: make a call through `recording.stub`.")
        return self.calls[-1]

    @property
    def spans(self) -> tuple[Span, ...]:
        """The waits, reads and writes, with their times: see `History.spans`."""
        return self.history.spans

    def peak_readers(self, account: str | None = None) -> int:
        """The most calls that held an account's read lock at once; by default, of any account."""
        return self.history.peak_readers(account)

    def _freeze(self) -> None:
        self._history = self.history


@contextmanager
def record(bank: Bank) -> Iterator[Recording]:
    """Record what the bank's server and the recording's own clients do while the block runs.

    The calls of other clients are recorded too, from their arrival to their reply. At its end, the
    block waits up to 3 s for all calls that have arrived, even if no thread serves them yet, and
    continues to record. A call that takes longer continues undisturbed, but is no longer recorded.

    Raises RuntimeError if another recording of the bank is running.
    """
    if any(isinstance(observer, Log) for observer in bank.server.observers):
        raise RuntimeError("Another recording of this bank is running: end that one first.")
    recording = Recording(bank)
    with ExitStack() as stack:
        stack.callback(recording._freeze)
        stack.enter_context(bank.server.observe(recording._log))
        stack.callback(recording._log.wait_for_calls)
        yield recording


@contextmanager
def after_read(bank: Bank, do: Callable[[str], object]) -> Iterator[None]:
    """Call `do(account_id)` whenever the teller has read an account, while it holds the lock.

    `do` runs in the server's thread, before the rule gets the balance. Use it to let other calls
    catch up, or to delay the server on purpose. If `do` raises, that call fails with INTERNAL.
    """
    with bank.server.observe(_AfterRead(do)):
        yield


# --- Implementation ----------------------------------------------------------------------------

Entry = tuple[int, str, EventKind, str, int | None, str]
"""The fields of a `RecordedEvent`; the object itself is made later."""

_NAME = re.compile(r"[!-\"$-~]([ -\"$-~]{0,62}[!-\"$-~])?")


class _CurrentCall(threading.local):
    """The id of the call that this client thread is making."""

    id = ""


class Entries(Protocol):
    """Where a log puts its entries: a list, or an object that sends them to another process."""

    def append(self, entry: Entry, /) -> None: ...


class Log(Observer):
    """Records events as they happen, and keeps the set of calls that are running."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.reasons: dict[str, str] = {}
        self.calls: dict[ServedCall, str] = {}
        """The calls that have arrived but not ended, with their ids."""
        self.number = itertools.count(1).__next__  # atomic: no two threads get the same number
        self._requests: set[tuple[str, str]] = set()  # account and request id of applied changes
        self._is_ending = False
        self._call_ended = threading.Condition()

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
        sent_id = next((value for key, value in call.metadata if key == CALL_ID), "")
        self.calls[call] = str(sent_id) or f"somebody#{self.number()}"
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
        # A `BankError` has a reason; for the store's own exceptions we record the class name.
        note = getattr(error, "reason", type(error).__name__)
        self.add(self.calls[call], "failed", account_id, None, note)

    def replied(self, call: ServedCall, status: str) -> None:
        self.add(self.calls[call], "replied", note=status)

    def ended(self, call: ServedCall) -> None:
        del self.calls[call]
        if self._is_ending:
            with self._call_ended:
                self._call_ended.notify_all()

    def wait_for_calls(self) -> None:
        """Wait up to `GRACE_SECONDS` until the calls that are running now have ended.

        A client whose deadline has passed stops waiting a moment before the server notices. We do
        not wait for calls that arrive during this time, but we record them, because the awaited
        calls may read what they wrote.
        """
        # Set the flag before copying the calls. `ended` works in the opposite order: it removes the
        # call, then reads the flag. So no call can end unnoticed in between.
        self._is_ending = True
        awaited = list(self.calls)
        with self._call_ended:
            self._call_ended.wait_for(
                lambda: not any(call in self.calls for call in awaited), GRACE_SECONDS
            )

    def _is_answered(self, account_id: str, change: Change) -> bool:
        """Whether a change with this request was applied before; remember it if not."""
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
    """A channel for unary calls, with the one method that a generated stub needs."""

    def __init__(self, channel: grpc.Channel, client: str, log: Log) -> None:
        if not isinstance(client, str) or not _NAME.fullmatch(client):
            raise ValueError(
                f"A client's name must be 1 to 64 plain ASCII characters without #, not {client!r}."
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
    """One method of a stub, with grpcio's three ways to call it."""

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
        self._current = _CurrentCall()  # grpcio encodes the request in the thread that calls
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
        call = self._current.id = f"{self._client}#{self._log.number()}"
        self._log.add(call, "sent", getattr(request, "account_id", ""), None, self._name)
        return call

    def _to_bytes(self, request: Any) -> bytes:
        data = self._encode(request) if self._encode else request
        self._log.add(self._current.id, "encoded", value=len(data))
        return cast(bytes, data)

    def _received(self, call: str, outcome: Any) -> None:
        self._log.add(call, "received", note=outcome.code().name)
        info = error_info(outcome)
        if info:
            self._log.reasons[call] = info.reason


def _with_id(call: str, metadata: Any) -> Any:
    return (*(metadata or ()), (CALL_ID, call))
