"""gRPC channels of this package: to this machine without a proxy, and inert where they must be.

A call on a channel that is closed, or that a fork has left in a child, raises RuntimeError with a
sentence that says so. grpcio would raise ValueError("Cannot invoke RPC on closed channel!"), and in
the child wait forever, past any deadline.

What a fork does to gRPC, measured with grpcio 1.85 and GRPC_ENABLE_FORK_SUPPORT=1: what is made in
the child works if no thread of the parent was in a call, even beside an idle server. Otherwise
locks stay held by threads that the child does not have: it waited forever, in its first call or in
the fork itself, or was aborted by a check of gRPC's. So a fork looks where the other threads are.
What Python cannot see is found out by a call to nobody, which a sound gRPC refuses at once.
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

import grpc
from grpc import _channel, _server

from bankkit.locks.interrupts import give_back, unbroken_start
from bankkit.runtime.closing import Closing
from bankkit.runtime.forks import Birthplace
from bankkit.runtime.signals import Handler
from bankkit.tls import NO_TLS, TlsFiles

RECONNECT_MS = 100, 500
"""How long gRPC waits before it tries a server again that it cannot connect to: at first, and at
most. By default a server could be back for two minutes before it gets a call."""

PROBE_SECONDS = 0.9
"""How long the call to nobody may take in a forked child; it needs a hundredth of that."""

QUIET_SECONDS = 0.1
"""How long a fork waits for calls that are just about to end."""

FORKED = (
    "gRPC does not work in this process: it was forked while its parent was in a gRPC call, or "
    "with GRPC_ENABLE_FORK_SUPPORT turned off. Start processes with multiprocessing's spawn "
    "method, or fork before the first call."
)

_CUT_OFF = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


class Gate:
    """Says whether the channels of one `what` ("client", "bank") may be used, and if not, why."""

    __slots__ = ("_birthplace", "_what", "closed")

    def __init__(self, what: str) -> None:
        self._what = what
        self._birthplace = Birthplace()
        self.closed = ""
        """The sentence that all calls are refused with."""

    @property
    def is_here(self) -> bool:
        """False in the child of a fork, which must touch nothing of its parent's."""
        return self._birthplace.is_here

    def check(self) -> None:
        """Raises RuntimeError with the sentence that tells why not."""
        self._birthplace.check(self._what)
        if self.closed:
            raise RuntimeError(self.closed)
        if _after_fork.is_suspect:
            check_grpc()

    def close(self, sentence: str) -> None:
        self.closed = self.closed or sentence


def open_channel(
    address: str,
    service_config: Mapping[str, object] | None = None,
    tls: TlsFiles = NO_TLS,
    gate: Gate | None = None,
) -> Channel:
    """A channel to `HOST:PORT`, or to several of them, separated by commas, that take turns."""
    config = dict(service_config or {})
    several = "," in address
    if several:  # by default all calls would go to the first that answers
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    first, most = RECONNECT_MS
    target = f"ipv4:{address}" if several else address
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.initial_reconnect_backoff_ms", first),
        ("grpc.max_reconnect_backoff_ms", most),
    ]
    if all(_is_loopback(one) for one in address.split(",")):
        options.append(("grpc.enable_http_proxy", 0))  # no proxy knows the way to this machine
    return Channel(target, options, tls, gate or Gate("channel"))


class Channel(Closing, grpc.Channel):
    """One of grpcio's behind a gate, made when the gate first lets somebody through."""

    def __init__(
        self, target: str, options: list[tuple[str, str | int]], tls: TlsFiles, gate: Gate
    ) -> None:
        self.gate = gate
        self._target = target
        self._options = options
        if tls != NO_TLS:
            gate.check()  # for it is gRPC that looks at the files
        self._credentials = tls.channel_credentials()
        self._lock = threading.Lock()
        self._opened: grpc.Channel | None = None

    def open(self) -> grpc.Channel:
        with self._lock:
            if self._opened is None:
                self._opened = (
                    grpc.insecure_channel(self._target, self._options)
                    if self._credentials is None
                    else grpc.secure_channel(self._target, self._credentials, self._options)
                )
                hold_interrupts_in_forks()
            return self._opened

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Method(self, "stream_stream", arguments, options)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        self.gate.check()
        self.open().subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        if self.gate.is_here and self._opened is not None:
            self._opened.unsubscribe(callback)

    def close(self) -> None:
        """Cuts off its calls. Safe to call again; does nothing in a child of a fork."""
        if self.gate.is_here:
            self.gate.close("This channel is closed: make a new one.")
            with self._lock:
                if self._opened is not None:
                    self._opened.close()


class _Method:
    """What grpcio has for a method, be it one of the four kinds or another."""

    __slots__ = ("_asked_for", "_call", "_channel", "_gate")

    def __init__(
        self, channel: Channel, kind: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._gate = channel.gate
        self._asked_for = kind, arguments, options
        self._call: Any = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._invoke("__call__", arguments, options)

    def with_call(self, *arguments: Any, **options: Any) -> Any:
        return self._invoke("with_call", arguments, options)

    def future(self, *arguments: Any, **options: Any) -> Any:
        return self._invoke("future", arguments, options)

    def _invoke(self, how: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._gate.check()
        if self._call is None:
            kind, given, more = self._asked_for
            self._call = getattr(self._channel.open(), kind)(*given, **more)
        me = threading.get_ident()
        try:
            _callers.add(me)
            answer = getattr(self._call, how)(*arguments, **options)
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call):
                _explain(error, self._gate)
            raise
        except ValueError:  # it was closed a moment ago
            if self._gate.closed:
                raise RuntimeError(self._gate.closed) from None
            raise
        finally:
            _callers.discard(me)
        if isinstance(answer, grpc.Future):
            _pending.add(answer)
            _explain(answer, self._gate)
        return answer


def _explain(call: Any, gate: Gate) -> None:
    """If a call is cut off, its details name a line of gRPC's: now they say what happened."""
    details = call.details

    def in_words() -> Any:
        if gate.closed and call.code() in _CUT_OFF:
            return f"{gate.closed} Whether the call was applied is unknown."
        return details()

    call.details = in_words


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost" or address.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


# Forks


class _AfterFork:
    """What this process knows about its own gRPC, if it was forked."""

    def __init__(self) -> None:
        self.is_suspect = False
        """It was forked, and no call has shown yet that gRPC works."""
        self.is_broken = False
        self.proving = threading.Lock()


class _HasAddress(Protocol):
    @property
    def load(self) -> int: ...


servers: weakref.WeakSet[_HasAddress] = weakref.WeakSet()
"""Those of this process; a call that one of them serves is in flight, too."""

_callers: set[int] = set()
"""Threads that are in a call on one of our channels."""

_pending: weakref.WeakSet[Any] = weakref.WeakSet()
"""Calls that nobody waits for: futures and streams."""

_after_fork = _AfterFork()
_looking = threading.RLock()  # one fork at a time
_halted: set[signal.Signals] = set()
"""Signals whose default action is held back at the moment."""
_interrupted = False
_handler: Handler | None = None
"""What an Interrupt does when no fork is under way."""
_holds = False
_hidden: set[Any] = set()
_was_in_a_call = False


def check_grpc() -> None:
    """Raises RuntimeError within a second if a fork has left gRPC unusable in this process."""
    known = _after_fork
    if not known.is_suspect:
        return
    with known.proving:
        if known.is_suspect and not known.is_broken:
            thread = threading.Thread(target=_call_nobody, name="bankkit-grpc-check", daemon=True)
            thread.start()
            thread.join(PROBE_SECONDS)
            known.is_broken = thread.is_alive()
            known.is_suspect = known.is_broken
    if known.is_broken:
        raise RuntimeError(FORKED)


def _call_nobody() -> None:
    with grpc.insecure_channel("unix:/dev/null") as channel:
        call: Any = channel.unary_unary("/Nobody/Nothing")
        try:
            call(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError:
            return


@unbroken_start
def _before_fork() -> None:
    """Python drops what a fork hook raises, and what an Interrupt has cut short there hangs the
    child. So it waits, and comes again after the fork."""
    global _interrupted
    try:
        _prepare()
    except KeyboardInterrupt:
        _interrupted = True
        _prepare()


def _prepare() -> None:
    """May be done again from the start."""
    global _was_in_a_call
    if not _looking._is_owned():  # type: ignore[attr-defined]
        _looking.acquire()
    _hold_interrupts()
    deadline = time.monotonic() + QUIET_SECONDS
    while _someone_is_in_a_call() and time.monotonic() < deadline:
        time.sleep(0.001)
    _was_in_a_call = _someone_is_in_a_call()
    # grpcio would take locks in the child that nobody there will ever release.
    channels = _channels_of_grpc()
    _hidden.update(channels)
    channels.clear()
    if _was_in_a_call:
        _halt_those_that_crash()


@unbroken_start
def _in_parent() -> None:
    global _interrupted
    try:
        _undo()
    except KeyboardInterrupt:
        _interrupted = True
        _undo()
    if _interrupted:
        _interrupted = False
        _interrupt_soon()


def hold_interrupts_in_forks() -> None:
    """For grpcio's own fork hook, too, which it adds when the first channel or server is made, and
    which runs before those that were added before it. Call it after that; once is enough."""
    global _holds
    if not _holds and hasattr(os, "register_at_fork"):
        _holds = True
        os.register_at_fork(before=_hold_interrupts)


@unbroken_start
def _hold_interrupts() -> None:
    global _handler
    is_main = threading.current_thread() is threading.main_thread()
    if _handler is None and is_main and callable(signal.getsignal(signal.SIGINT)):
        handler = Handler(signal.SIGINT)
        handler.replace(_note)
        _handler = handler


def _note(*_: object) -> None:
    global _interrupted
    _interrupted = True


def _let_interrupt() -> None:
    global _handler
    if _handler is not None:
        _handler.put_back()
        _handler = None


def _undo() -> None:
    """May be done again from the start."""
    _channels_of_grpc().update(_hidden)
    _hidden.clear()
    if _was_in_a_call:
        _let_crash()
    _let_interrupt()
    give_back(_looking)


def _interrupt_soon() -> None:
    """Once the hook is left."""
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


@unbroken_start
def _in_child() -> None:  # where what is hidden stays so: gRPC could not bear to finalize it
    global _after_fork, _interrupted, _looking
    was_broken = _after_fork.is_broken
    _after_fork = _AfterFork()
    _after_fork.is_suspect = True
    _after_fork.is_broken = was_broken or _was_in_a_call
    _looking = threading.RLock()
    _callers.clear()
    _pending.clear()
    servers.clear()
    _let_interrupt()
    _interrupted = False


def _halt_those_that_crash() -> None:
    """gRPC starts threads of its own in the child, which clear up after the parent's calls. Beside
    a call that waits, one child in four was ended by SIGSEGV or SIGABRT in such a thread, at once:
    now that thread stops where it is, for good, and the child, which never uses gRPC, goes on."""
    for number, action in _actions.items():
        if number not in _halted:
            _sigaction(number, None, action)
            _halted.add(number)
        _signal(number, _pause)


def _let_crash() -> None:
    for number in tuple(_halted):
        _sigaction(number, _actions[number], None)
        _halted.discard(number)


def _channels_of_grpc() -> set[Any]:
    """Those that grpcio's own handlers look after."""
    state = getattr(sys.modules.get("grpc._cython.cygrpc"), "_fork_state", None)
    found: set[Any] = getattr(state, "channels", set())
    return found


def _someone_is_in_a_call() -> bool:
    """As its caller or as its server.

    Callers on a channel that is not ours are known by where they are; but only the topmost frame
    of another thread may be looked at, for those below may end meanwhile.
    """
    try:
        if _callers or any(server.load for server in tuple(servers)):
            return True
        if any(not call.done() for call in tuple(_pending)):
            return True
    except RuntimeError:  # a set was changed meanwhile
        return True
    codes = [frame.f_code for frame in sys._current_frames().values()]
    return any(code.co_filename in _GRPC_FILES and code.co_name not in _AT_REST for code in codes)


_GRPC_FILES = {_channel.__file__, _server.__file__}
_AT_REST = {"_serve", "_poll_connectivity", "channel_spin"}
"""Where a thread of grpcio waits for something to do; grpcio lets those rest during a fork."""


if sys.platform != "win32":
    _libc = ctypes.CDLL(None)
    _signal = _libc.signal
    _signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    _signal.restype = ctypes.c_void_p
    _sigaction = _libc.sigaction
    _actions = {
        number: ctypes.create_string_buffer(1024)  # for whatever a `struct sigaction` is here
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
    }
    _pause = ctypes.cast(_libc.pause, ctypes.c_void_p)
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _not_about_forks(record: logging.LogRecord) -> bool:
    return "fork" not in record.getMessage()


logging.getLogger("grpc._cython.cygrpc").addFilter(_not_about_forks)  # it would land in a cell

# So would Python's own, from 3.12 on, though nothing is wrong: `check_grpc` sees to it.
if not sys.warnoptions:
    warnings.filterwarnings(
        "ignore", r"This process \(pid=\d+\) is multi-threaded, use of fork", DeprecationWarning
    )
