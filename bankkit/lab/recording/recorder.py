"""Records the life of calls in a running bank, from outside: production code carries no tracing.

    with lab.record(bank) as recording:
        recording.stub.GetBalance(bank_pb2.AccountRequest(account_id="alice"))
    lab.life(recording.last)

While the block runs, wrappers stand around the server's handlers, its teller's locks and store, and
the stub that the recording gives out. Each notes what passes, with the time. The client sends the
id of its call along in the metadata `x-call-id`; by that id the events of both sides are joined.

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
from types import TracebackType
from typing import Any, Protocol, cast

import grpc

from bankkit.client import error_info
from bankkit.lab.recording.events import Call, EventKind, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.lab.recording.spans import Span
from bankkit.launch.bank import Bank
from bankkit.locks import Fence, LockStatistics, LockTable, LockTimeout
from bankkit.pb import bank_pb2_grpc
from bankkit.server import Server
from bankkit.store import Request, Snapshot, Store

CALL_ID = "x-call-id"
"""The metadata key that carries a call's id."""

GRACE_SECONDS = 3.0
"""How long the end of a recording waits for calls that the server still works on."""


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

    @property
    def serving(self) -> str:
        """The client whose call the server's thread that asks works on; empty in other threads."""
        return client_of(self._log.serving.call or "")

    @property
    def history(self) -> History:
        """What was snapshot until now, as a value that does not change any more."""
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
        """Who waited for a lock, read or wrote, and when: see `History.spans`."""
        return self.history.spans

    def peak_readers(self, account: str | None = None) -> int:
        """How many held the read lock of an account at once, at most; of any account by default."""
        return self.history.peak_readers(account)

    def _end(self) -> None:
        self._log.wait_until_idle()
        self._history = self.history


@contextmanager
def record(bank: Bank) -> Iterator[Recording]:
    """Record what the bank's server and the recording's own clients do while the block runs.

    Calls that others make meanwhile are recorded too, from their arrival to the reply. Calls that
    are in flight at the end go on undisturbed; what they do later is not recorded.

    Raises RuntimeError if the bank is being recorded already.
    """
    recording = Recording(bank)
    with ExitStack() as stack:
        stack.callback(recording._end)
        stack.enter_context(recorded(bank.server, recording._log))
        yield recording


@contextmanager
def recorded(server: Server, log: Log) -> Iterator[None]:
    """Note in a log what the server does while the block runs.

    Raises RuntimeError if the server is being recorded already.
    """
    teller, service = server.teller, server.service
    if isinstance(teller.locks, _RecordedLocks):
        raise RuntimeError("This bank is being recorded already: end that recording first.")
    with ExitStack() as stack:
        # `service` is a method of the class: the instance gets one of its own for a while.
        plain = service.service
        stack.callback(vars(service).pop, "service")
        vars(service)["service"] = lambda details: log.arrive(plain(details), details)
        stack.callback(setattr, teller, "locks", teller.locks)
        teller.locks = cast(LockTable, _RecordedLocks(teller.locks, log))
        stack.callback(setattr, teller, "store", teller.store)
        teller.store = cast(Store, _RecordedStore(teller.store, log))
        yield


@contextmanager
def after_read(bank: Bank, do: Callable[[str], object]) -> Iterator[None]:
    """Call `do(account_id)` whenever the teller has read an account, while it holds the lock.

    It runs in the server's thread, before the rule sees the balance: the place to let others catch
    up, or to make the server dwell on purpose. An error in it fails that call with INTERNAL.
    """
    teller = bank.server.teller
    plain = teller.store
    teller.store = cast(Store, _DwellingStore(plain, do))
    try:
        yield
    finally:
        teller.store = plain


@contextmanager
def before_write(bank: Bank, do: Callable[[str], object]) -> Iterator[None]:
    """Call `do(account_id)` whenever the teller is about to ask for an account's lock to write.

    It runs in the server's thread. An error in it fails that call with INTERNAL.
    """
    teller = bank.server.teller
    plain = teller.locks
    teller.locks = cast(LockTable, _AnnouncedLocks(plain, do))
    try:
        yield
    finally:
        teller.locks = plain


# --- Below: how it is done ---------------------------------------------------------------------

Entry = tuple[int, str, EventKind, str, int | None, str]
"""An event, not yet made."""

_NAME = re.compile(r"[!-\"$-~]([ -\"$-~]{0,62}[!-\"$-~])?")


class _Serving(threading.local):
    """The call that this thread of the server works on, if it is recorded."""

    call: str | None = None


class Entries(Protocol):
    """Where a log puts what it notes: a list, or what hands it on to another process."""

    def append(self, entry: Entry, /) -> None: ...


class Log:
    """Events as they are noted, and which calls the server works on."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.reasons: dict[str, str] = {}
        self.serving = _Serving()
        self.number = itertools.count(1).__next__  # one step for Python: two threads never share
        self._active: set[str] = set()
        self._requests: set[tuple[str, str]] = set()  # answered: the account and the request's id
        self._ending = False
        self._idle = threading.Event()

    def add(
        self,
        call: str,
        kind: EventKind,
        account: str = "",
        value: int | None = None,
        note: str = "",
    ) -> None:
        self._entries.append((monotonic_ns(), call, kind, account, value, note))

    def replied(self, account_id: str, arguments: tuple[Any, ...]) -> str:
        """`replied` if a change with this request was answered before, else nothing."""
        for argument in arguments:
            if isinstance(argument, Request):
                if (account_id, argument.id) in self._requests:
                    return "replied"
                self._requests.add((account_id, argument.id))
        return ""

    def arrive(self, handler: Any, details: Any) -> Any:
        """Of a call that is there: its handler, wrapped so that it works under the call's id."""
        if handler is None:
            return None
        call = next((value for key, value in details.invocation_metadata if key == CALL_ID), "")
        call = call or f"somebody#{self.number()}"
        self.add(call, "arrived", note=details.method.rpartition("/")[2])
        if handler.request_streaming:
            return handler  # the refusal of a call too many, which does not wait for its message
        size = 0

        def parse(data: bytes) -> Any:
            nonlocal size
            size = len(data)
            return handler.request_deserializer(data)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self._active.add(call)
            self.serving.call = call
            self.add(call, "began", value=size)
            try:
                reply = handler.unary_unary(request, context)
                self.add(call, "replied", note="OK")
                return reply
            except BaseException:
                code = cast(Any, context).code()  # its type stubs forgot it
                self.add(call, "replied", note="UNKNOWN" if code is None else code.name)
                raise
            finally:
                self.serving.call = None
                self._active.discard(call)
                if self._ending and not self._active:
                    self._idle.set()

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=parse, response_serializer=handler.response_serializer
        )

    def wait_until_idle(self) -> None:
        """Waits, not for ever, until the server has answered what it works on.

        A client whose deadline has passed is gone a moment before the server notices.
        """
        self._ending = True  # first this, then the look: `answer` does it the other way round
        if self._active:
            self._idle.wait(GRACE_SECONDS)


class _RecordedLocks:
    """Stands for a `LockTable`."""

    def __init__(self, table: LockTable, log: Log) -> None:
        self._table = table
        self._log = log

    def read(self, key: str, timeout: float | None = None) -> Any:
        guard = self._table.read(key, timeout)
        call = self._log.serving.call
        return guard if call is None else _RecordedGuard(guard, self._log, call, key, "read")

    def write(self, key: str, timeout: float | None = None) -> Any:
        guard = self._table.write(key, timeout)
        call = self._log.serving.call
        return guard if call is None else _RecordedGuard(guard, self._log, call, key, "write")

    def statistics(self, key: str) -> LockStatistics | None:
        return self._table.statistics(key)

    def __len__(self) -> int:
        return len(self._table)


class _RecordedGuard:
    __slots__ = ("_call", "_guard", "_key", "_log", "_mode")

    def __init__(self, guard: Any, log: Log, call: str, key: str, mode: str) -> None:
        self._guard = guard
        self._log = log
        self._call = call
        self._key = key
        self._mode = mode

    def __enter__(self) -> Fence | None:
        self._log.add(self._call, "asked", self._key, None, self._mode)
        try:
            fence: Fence | None = self._guard.__enter__()
        except LockTimeout:
            self._log.add(self._call, "timeout", self._key, None, self._mode)
            raise
        except Exception as error:
            self._log.add(self._call, "failed", self._key, None, _reason(error))
            raise
        self._log.add(self._call, "granted", self._key, None, self._mode)
        return fence

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        # Noted before it is done, or the next holder's "granted" could come first.
        self._log.add(self._call, "released", self._key, None, self._mode)
        result: bool | None = self._guard.__exit__(kind, error, trace)
        return result


class _RecordedStore:
    """Stands for the `Store` of a teller."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log

    def read(self, account_id: str, *rest: Any) -> Snapshot:
        log = self._log
        call = log.serving.call
        if call is None:
            return self._store.read(account_id, *rest)
        log.add(call, "reading", account_id)
        try:
            snapshot = self._store.read(account_id, *rest)
        except Exception as error:
            log.add(call, "failed", account_id, None, _reason(error))
            raise
        note = "" if snapshot.replied is None else "replied"
        log.add(call, "read", account_id, snapshot.account.balance, note)
        return snapshot

    def create(self, account_id: str, *rest: Any, **named: Any) -> Any:
        return self._change("create", account_id, rest, named)

    def commit(self, account_id: str, *rest: Any, **named: Any) -> Any:
        return self._change("commit", account_id, rest, named)

    def compare_and_set(self, account_id: str, *rest: Any, **named: Any) -> Any:
        return self._change("compare_and_set", account_id, rest, named)

    def add(self, account_id: str, *rest: Any, **named: Any) -> Any:
        return self._change("add", account_id, rest, named)

    def fence(self, account_id: str) -> None:
        self._store.fence(account_id)

    def _change(
        self, name: str, account_id: str, rest: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        log = self._log
        call = log.serving.call
        change = getattr(self._store, name)
        if call is None:
            return change(account_id, *rest, **named)
        log.add(call, "committing", account_id, _asked_for(name, rest), name)
        try:
            result = change(account_id, *rest, **named)
        except Exception as error:
            log.add(call, "failed", account_id, None, _reason(error))
            raise
        balance = result if isinstance(result, int) else result.balance
        replied = log.replied(account_id, (*rest, *named.values()))
        log.add(call, "committed", account_id, balance, replied or name)
        return result


def _asked_for(name: str, rest: tuple[Any, ...]) -> int:
    """Of a change: the new balance or, for `add`, the difference."""
    match name:
        case "create":
            return 0
        case "compare_and_set":
            return cast(int, rest[1])
        case _:
            return cast(int, rest[0])


def _reason(error: Exception) -> str:
    """A `BankError` has a name for programs; the store's own signals have their class."""
    return getattr(error, "reason", type(error).__name__)


class _DwellingStore:
    """Stands for the `Store` of a teller, and dwells on every read."""

    def __init__(self, store: Store, do: Callable[[str], object]) -> None:
        self._store = store
        self._do = do

    def read(self, account_id: str, *rest: Any) -> Snapshot:
        snapshot = self._store.read(account_id, *rest)
        self._do(account_id)
        return snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _AnnouncedLocks:
    """Stands for the `LockTable` of a teller, and tells of every wish to write."""

    def __init__(self, table: LockTable, do: Callable[[str], object]) -> None:
        self._table = table
        self._do = do

    def write(self, key: str, timeout: float | None = None) -> Any:
        self._do(key)
        return self._table.write(key, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


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
        self._calling = _Serving()  # by the thread that makes the call, which also encodes
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
        self._log.add(self._calling.call or "", "encoded", value=len(data))
        return cast(bytes, data)

    def _received(self, call: str, outcome: Any) -> None:
        self._log.add(call, "received", note=outcome.code().name)
        info = error_info(outcome)
        if info:
            self._log.reasons[call] = info.reason


def _with_id(call: str, metadata: Any) -> Any:
    return (*(metadata or ()), (CALL_ID, call))
