"""The gRPC channels of this package: safe after `close` and after a fork, and without a proxy for
this machine.

A call on a closed channel, or on a channel that a forked child has from its parent, raises
RuntimeError with the reason. grpcio would raise ValueError("Cannot invoke RPC on closed channel!"),
and would wait forever in the child, despite any deadline.

Effects of a fork, measured with grpcio 1.85 and GRPC_ENABLE_FORK_SUPPORT=1: channels and servers
made in the child work if no thread of the parent was in a call, even if it has an idle server.
Otherwise, threads that do not exist in the child hold locks there: the child waited forever in the
fork or in its first call, or an internal check of gRPC aborted it. So the fork hooks here check
whether other threads are in a call. To detect what Python cannot see, the child makes a call to an
address without a server: if gRPC works, the call fails at once.
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
"""How long gRPC waits before it connects to a server again: the first wait, and the longest one. By
default, a server could be back for two minutes before it gets a call."""

PROBE_SECONDS = 0.9
"""How long the test call in a forked child may take; it needs a hundredth of that."""

QUIET_SECONDS = 0.1
"""How long a fork waits for calls in flight to end."""

FORKED = (
    "gRPC does not work in this process: it was forked while its parent was in a gRPC call, or "
    "with GRPC_ENABLE_FORK_SUPPORT turned off. Start processes with multiprocessing's spawn "
    "method, or fork before the first call."
)

_CUT_OFF = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


class Gate:
    """Says whether the channels of an object (`what`: "client", "bank") may be used, or why not."""

    __slots__ = ("_birthplace", "_what", "closed")

    def __init__(self, what: str) -> None:
        self._what = what
        self._birthplace = Birthplace()
        self.closed = ""
        """The message with which all calls are refused; empty while it is open."""

    @property
    def is_here(self) -> bool:
        """False in a forked child, which must not use the channels of its parent."""
        return self._birthplace.is_here

    def check(self) -> None:
        """Raises RuntimeError that says why the channels may not be used."""
        self._birthplace.check(self._what)
        if self.closed:
            raise RuntimeError(self.closed)
        if _after_fork.is_suspect:
            check_grpc()

    def close(self, sentence: str) -> None:
        """Has `check` raise `sentence` from now on; the first one stays."""
        self.closed = self.closed or sentence


def open_channel(
    address: str,
    service_config: Mapping[str, object] | None = None,
    tls: TlsFiles = NO_TLS,
    gate: Gate | None = None,
) -> Channel:
    """A channel to `HOST:PORT`, or to several, separated by commas, which take turns."""
    config = dict(service_config or {})
    several = "," in address
    if several:  # by default, all calls would go to the first server that answers
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    first, most = RECONNECT_MS
    target = f"ipv4:{address}" if several else address
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.initial_reconnect_backoff_ms", first),
        ("grpc.max_reconnect_backoff_ms", most),
    ]
    if all(_is_loopback(one) for one in address.split(",")):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy cannot reach our loopback address
    return Channel(target, options, tls, gate or Gate("channel"))


class Channel(Closing, grpc.Channel):
    """A channel of grpcio that a gate protects. It is made by the first call."""

    def __init__(
        self, target: str, options: list[tuple[str, str | int]], tls: TlsFiles, gate: Gate
    ) -> None:
        self.gate = gate
        self._target = target
        self._options = options
        if tls != NO_TLS:
            gate.check()  # because gRPC itself reads the certificates
        self._credentials = tls.channel_credentials()
        self._lock = threading.Lock()
        self._opened: grpc.Channel | None = None

    def open(self) -> grpc.Channel:
        """The channel of grpcio; makes it if there is none yet."""
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
        """A callable for a method: one request, one reply."""
        return _Method(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """A callable for a method: one request, many replies."""
        return _Method(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """A callable for a method: many requests, one reply."""
        return _Method(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """A callable for a method: many requests, many replies."""
        return _Method(self, "stream_stream", arguments, options)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Has the callback get each new state of the connection."""
        self.gate.check()
        self.open().subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """Ends a subscription; does nothing in a forked child."""
        if self.gate.is_here and self._opened is not None:
            self._opened.unsubscribe(callback)

    def close(self) -> None:
        """Cancels the calls in flight. Safe to call again; does nothing in a forked child."""
        if self.gate.is_here:
            self.gate.close("This channel is closed: make a new one.")
            with self._lock:
                if self._opened is not None:
                    self._opened.close()


class _Method:
    """The callable for a method, of any of the four kinds; asks the gate before each call."""

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
        except ValueError:  # the channel was closed after the check
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
    """Gives a call that `close` cancels readable details, in place of gRPC's own."""
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
    """Whether gRPC works in this process, if it was forked."""

    def __init__(self) -> None:
        self.is_suspect = False
        """Whether the process was forked, and no call has shown yet that gRPC works."""
        self.is_broken = False
        self.proving = threading.Lock()


class _HasLoad(Protocol):
    @property
    def load(self) -> int: ...


servers: weakref.WeakSet[_HasLoad] = weakref.WeakSet()
"""The servers of this process; a call that one of them serves counts as in flight, too."""

_callers: set[int] = set()
"""The threads that are in a call on one of our channels."""

_pending: weakref.WeakSet[Any] = weakref.WeakSet()
"""Calls in flight that no thread waits for: futures and streams."""

_after_fork = _AfterFork()
_fork_lock = threading.RLock()  # one fork at a time
_halted: set[signal.Signals] = set()
"""Signals whose action is replaced at the moment by one that halts the thread."""
_interrupted = False
_handler: Handler | None = None
"""The handler of SIGINT to put back after the fork."""
_hook_is_added = False
_hidden: set[Any] = set()
_was_in_a_call = False


def check_grpc() -> None:
    """Raises RuntimeError within a second if a fork has left gRPC unusable in this process."""
    known = _after_fork
    if not known.is_suspect:
        return
    with known.proving:
        if known.is_suspect and not known.is_broken:
            thread = threading.Thread(target=_test_call, name="bankkit-grpc-check", daemon=True)
            thread.start()
            thread.join(PROBE_SECONDS)
            known.is_broken = thread.is_alive()
            known.is_suspect = known.is_broken
    if known.is_broken:
        raise RuntimeError(FORKED)


def _test_call() -> None:
    with grpc.insecure_channel("unix:/dev/null") as channel:
        call: Any = channel.unary_unary("/Nobody/Nothing")
        try:
            call(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError:
            return


@unbroken_start
def _before_fork() -> None:
    """Delays an Interrupt until after the fork. Python ignores an error in a fork hook, and if an
    Interrupt ended this hook early, the child would hang."""
    global _interrupted
    try:
        _prepare()
    except KeyboardInterrupt:
        _interrupted = True
        _prepare()


def _prepare() -> None:
    """Prepares a fork. May be run again from the start after an Interrupt."""
    global _was_in_a_call
    if not _fork_lock._is_owned():  # type: ignore[attr-defined]
        _fork_lock.acquire()
    _hold_interrupts()
    deadline = time.monotonic() + QUIET_SECONDS
    while _someone_is_in_a_call() and time.monotonic() < deadline:
        time.sleep(0.001)
    _was_in_a_call = _someone_is_in_a_call()
    # We hide the channels from grpcio: for them it would wait in the child for locks that no thread
    # there releases.
    channels = _channels_of_grpc()
    _hidden.update(channels)
    channels.clear()
    if _was_in_a_call:
        _halt_crashing_threads()


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
    """Delays Interrupts during grpcio's own fork hook, too. grpcio registers that hook with its
    first channel or server, and before a fork the newest hook runs first. So call this function
    after that; once is enough."""
    global _hook_is_added
    if not _hook_is_added and hasattr(os, "register_at_fork"):
        _hook_is_added = True
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


def _restore_interrupts() -> None:
    global _handler
    if _handler is not None:
        _handler.put_back()
        _handler = None


def _undo() -> None:
    """Undoes `_prepare`. May be run again from the start after an Interrupt."""
    _channels_of_grpc().update(_hidden)
    _hidden.clear()
    if _was_in_a_call:
        _restore_signal_actions()
    _restore_interrupts()
    give_back(_fork_lock)


def _interrupt_soon() -> None:
    """Sends the delayed Interrupt from a timer, after the fork hook has returned."""
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


@unbroken_start
def _in_child() -> None:
    """Resets the state. The hidden channels stay alive, because gRPC cannot finalize them here."""
    global _after_fork, _interrupted, _fork_lock
    was_broken = _after_fork.is_broken
    _after_fork = _AfterFork()
    _after_fork.is_suspect = True
    _after_fork.is_broken = was_broken or _was_in_a_call
    _fork_lock = threading.RLock()
    _callers.clear()
    _pending.clear()
    servers.clear()
    _restore_interrupts()
    _interrupted = False


def _halt_crashing_threads() -> None:
    """gRPC starts threads in the child that clean up after the parent's calls. If a call of the
    parent was waiting, SIGSEGV or SIGABRT in such a thread ended one child in four at once. Now
    that thread pauses forever, and the child, which cannot use gRPC, goes on."""
    for number, action in _actions.items():
        if number not in _halted:
            _sigaction(number, None, action)
            _halted.add(number)
        _signal(number, _pause)


def _restore_signal_actions() -> None:
    for number in tuple(_halted):
        _sigaction(number, _actions[number], None)
        _halted.discard(number)


def _channels_of_grpc() -> set[Any]:
    """The channels that grpcio's own fork hooks handle."""
    state = getattr(sys.modules.get("grpc._cython.cygrpc"), "_fork_state", None)
    found: set[Any] = getattr(state, "channels", set())
    return found


def _someone_is_in_a_call() -> bool:
    """Whether another thread makes or serves a call.

    On a channel that is not ours, we recognise callers by the file of their topmost frame. We do
    not look at the frames below: they may end while we look.
    """
    try:
        if _callers or any(server.load for server in tuple(servers)):
            return True
        if any(not call.done() for call in tuple(_pending)):
            return True
    except RuntimeError:  # another thread changed a set during the iteration
        return True
    codes = [frame.f_code for frame in sys._current_frames().values()]
    return any(code.co_filename in _GRPC_FILES and code.co_name not in _AT_REST for code in codes)


_GRPC_FILES = {_channel.__file__, _server.__file__}
_AT_REST = {"_serve", "_poll_connectivity", "channel_spin"}
"""Functions in which an idle thread of grpcio waits; grpcio pauses such threads during a fork."""


if sys.platform != "win32":
    _libc = ctypes.CDLL(None)
    _signal = _libc.signal
    _signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    _signal.restype = ctypes.c_void_p
    _sigaction = _libc.sigaction
    _actions = {
        number: ctypes.create_string_buffer(1024)  # larger than a `struct sigaction` anywhere
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
    }
    _pause = ctypes.cast(_libc.pause, ctypes.c_void_p)
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _not_about_forks(record: logging.LogRecord) -> bool:
    return "fork" not in record.getMessage()


# grpcio's warnings about forks would appear in a cell.
logging.getLogger("grpc._cython.cygrpc").addFilter(_not_about_forks)

# So would Python's own warning, from 3.12 on. It is not needed: `check_grpc` reports real problems.
if not sys.warnoptions:
    warnings.filterwarnings(
        "ignore", r"This process \(pid=\d+\) is multi-threaded, use of fork", DeprecationWarning
    )
