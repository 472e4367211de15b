"""The life of a gRPC server: threads, port, health, reflection, lease, drain."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent import futures
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bankkit import teller as tellers
from bankkit.namespace_lease import ServerLease
from bankkit.observer import Observer
from bankkit.options import BankOptions
from bankkit.rpc import channels
from bankkit.rpc.admission import Admission
from bankkit.rpc.worker_pool import WorkerPool
from bankkit.runtime.arguments import check_grace
from bankkit.runtime.forks import Birthplace
from bankkit.runtime.pickling import Unique
from bankkit.service import BankService
from bankkit.store import Store
from bankkit.supervisor.supervised import KeptDirectory, NoSocket

MAX_STREAMS = 200
"""Health and reflection streams that may be open at once; further ones are refused."""

MESSAGE_SECONDS = 0.2
"""How long a stopping server waits for the message of a call that has begun."""

PRIVILEGED = 1024
"""By default a system lets only the administrator listen on a port below this one."""

_SERVICE = "BankService"
_log = logging.getLogger("bankkit")


class PortTaken(OSError):
    """The server cannot listen on the port: another program does, or the system forbids it."""


class Server(Unique):
    """A gRPC server of the bank. `start` it once, `stop` it once.

    Its accounts are those of `store`; the Redis and the namespace in the options are ignored.
    Unless the options are `unsafe`, `start` raises `ConflictingServers` if another server of the
    same accounts makes the concurrency choice unsafe. With TLS, the server accepts calls without it
    only over the socket at `local_address`, from this user on this machine.
    """

    def __init__(self, store: Store, options: BankOptions) -> None:
        self._birthplace = Birthplace()
        self._credentials = options.tls.server_credentials()
        self.store = store
        self.concurrency = options.concurrency
        self.teller = tellers.make(
            options.concurrency,
            store,
            policy=options.policy,
            lease=options.lease,
            owner=options.name,
            locks=options.locks,
        )
        self.lease = self.teller.lease = ServerLease(
            store,
            options.concurrency,
            alone=tellers.is_alone(options.concurrency),
            unsafe=options.unsafe,
            report=self._report,
        )
        self.host = options.host
        self.port = options.port
        self.threads = options.threads
        self._max_calls = options.max_calls
        self._max_wait = options.max_wait
        self._observers: list[Observer] = []
        self._observing = threading.Lock()
        self._stopping = threading.Event()
        self._ending = threading.RLock()
        self.local_address = ""
        """The address for clients in this process, after `start`."""
        self._socket: KeptDirectory | None = None

    @property
    def address(self) -> str:
        """`HOST:PORT` for a client."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def load(self) -> int:
        """The number of calls to the bank that are served or queued."""
        return self._pool.load - len(self._side_admission)

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers of the server, the oldest first."""
        return tuple(self._observers)

    @contextmanager
    def observe(self, observer: Observer) -> Iterator[None]:
        """Tells an observer of the calls that arrive while the block runs: see `bankkit.observer`.

        There may be several observers. Calls that are in flight at the end of the block continue
        undisturbed. The observer still gets the end of their current step, `replied` and `ended`.

        Raises TypeError for an object that is no `Observer`.
        """
        if not isinstance(observer, Observer):
            raise TypeError(
                f"An observer must be an object of a subclass of bankkit.observer.Observer, not "
                f"{observer!r}."
            )
        with self._observing:
            self.teller.set_observers([*self._observers, observer])
            self._observers.append(observer)
        try:
            yield
        finally:
            with self._observing:
                self._observers.remove(observer)
                self.teller.set_observers(self._observers)

    def start(self) -> None:
        """Returns when the server serves calls.

        Raises `PortTaken`, `ConflictingServers`, `StoreUnavailable`, `NoSocket`, or ValueError for
        a host that is not this machine.
        """
        self._birthplace.check("server")
        channels.check_grpc()
        check_free(self.host, self.port)
        self.lease.claim()
        self._pool = WorkerPool(self.threads, most=self.threads + self._max_calls + MAX_STREAMS)
        self.service = BankService(
            self.teller,
            is_full=lambda: self.load >= self._max_calls,
            max_wait=self._max_wait,
        )
        self._admission = Admission([self.service], slots=self.threads, observers=self._observers)
        self._health = health.HealthServicer()
        side = _Handlers()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, cast(grpc.Server, side))
        reflection.enable_server_reflection(
            (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), cast(grpc.Server, side)
        )
        self._side_admission = Admission(side.handlers, most=MAX_STREAMS)
        self._server = make_grpc_server(self._pool, [self._admission, self._side_admission])
        try:
            self._open_ports()
        except BaseException:
            self._close_socket()
            self._pool.shutdown()
            self.lease.release()
            raise
        self._report(True)
        self._server.start()
        channels.servers.add(self)
        channels.hold_interrupts_in_forks()
        self.lease.keep()

    def stop(self, grace: float = 5.0) -> None:
        """Refuses new calls, gives those in flight `grace` seconds to end, and ends its threads.

        Safe to call again: a second call returns when the first one is done. Does nothing in a
        forked child.
        """
        check_grace(grace)
        if not self._birthplace.is_here:
            return
        with self._ending:
            if not self._stopping.is_set():
                self._stopping.set()
                self._stop(grace)

    def _stop(self, grace: float) -> None:
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace)
        for admission in (self._admission, self._side_admission):
            admission.close(min(grace, MESSAGE_SECONDS))
        stopped.wait(grace + 1)
        self._pool.shutdown()
        self.service.close()
        self.teller.close()
        self._close_socket()
        if not self._pool.join(1.0):  # in `first-draft` some may wait forever; they are daemons
            _log.warning("some calls did not end within the grace of %g s", grace)
        self.lease.release()

    def _open_ports(self) -> None:
        if self._credentials is None:
            self.port = self._listen(self._server.add_insecure_port)
            self.local_address = self.address
            return
        # A client in this process may not match the name in the certificate. It connects without
        # TLS, through a unix socket that only this user can open.
        self._socket = KeptDirectory(["bank.sock"])
        self.port = self._listen(self._server.add_secure_port, self._credentials)
        path = self._socket.path / "bank.sock"
        self.local_address = f"unix:{quote(os.fsencode(path))}"  # gRPC expects a URI
        try:
            self._server.add_insecure_port(self.local_address)
        except RuntimeError:
            raise NoSocket(f"gRPC cannot listen on a unix socket at {path}.") from None
        self._socket.look()

    def _listen(self, add_port: Callable[..., int], *credentials: grpc.ServerCredentials) -> int:
        try:
            return add_port(self.address, *credentials)
        except RuntimeError:
            check_free(self.host, self.port)  # names the reason, if another program was quicker
            raise PortTaken(f"gRPC cannot listen on {self.address}.") from None

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _report(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for name in ("", _SERVICE):
            self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


class _Handlers:
    """Collects the handlers of services that are added to it, in place of a `grpc.Server`."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Ignores them: they are the same handlers, and gRPC would call them past `Admission`."""


def make_grpc_server(pool: WorkerPool, handlers: Sequence[Any] = ()) -> grpc.Server:
    """A server that does not share its port. By default, two on one port would split the calls."""
    return grpc.server(
        cast(futures.ThreadPoolExecutor, pool),  # gRPC asks for no more than an Executor
        handlers=list(handlers),
        options=[("grpc.so_reuseport", 0)],
    )


def check_free(host: str, port: int, *, but_for: Sequence[tuple[str, int]] = ()) -> None:
    """Binds every address of `host` for a moment, to check that the port is free on each.

    gRPC needs only one of them: if the port of `localhost` is taken for IPv4, it would listen on
    IPv6 alone and report no error. Addresses in `but_for` belong to this process and count as free.
    Raises `PortTaken`, or ValueError for a host that is not this machine. `BankOptions` has refused
    invalid hosts such as `*`, for which Python would listen on every address.
    """
    own = {address[:2] for held in but_for for *_, address in _addresses(*held)}
    usable = False
    for family, kind, _, _, address in _addresses(host, port):
        try:
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                usable = True
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            if error.errno == errno.EADDRINUSE and _overlaps(address[:2], own):
                usable = True
                continue
            raise PortTaken(_refused(error, host, port)) from None
    if not usable:
        raise ValueError(f"host {host!r} is not an address of this machine.")


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """The results of `socket.getaddrinfo`. Raises ValueError if there are none."""
    try:
        return list(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )
    except (OSError, UnicodeError):
        raise ValueError(f"host {host!r} is not an address of this machine.") from None


def _overlaps(address: tuple[str, int], own: Set[tuple[str, int]]) -> bool:
    """Whether one of our own listeners prevents binding this address.

    A listener on all addresses of the machine and a listener on one of them prevent each other.
    """
    everywhere = ("0.0.0.0", "::")
    host, port = address
    return any(
        port == number and (host == name or host in everywhere or name in everywhere)
        for name, number in own
    )


def _refused(error: OSError, host: str, port: int) -> str:
    """The message for a port that cannot be bound: the reason, and what to do."""
    if error.errno == errno.EADDRINUSE:
        reason = f"Port {port} on {host} is in use by another program."
    elif not isinstance(error, PermissionError):
        return f"The server cannot listen on port {port} on {host}: {error.strerror}."
    elif not port:
        return f"The security rules of this system forbid listening on {host}."
    elif port < PRIVILEGED:
        return (
            f"Port {port} is reserved for the administrator. "
            f"Choose one from {PRIVILEGED} up, or 0 for any free port."
        )
    else:
        reason = f"The security rules of this system forbid listening on port {port}."
    return f"{reason} Choose another one, or 0 for any free port."
