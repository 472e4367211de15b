"""The life of a gRPC server: threads, port, health, reflection, lease, drain."""

from __future__ import annotations

import errno
import logging
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bankkit import teller as tellers
from bankkit.accounts import StoreUnavailable
from bankkit.numbers import check_whole
from bankkit.service import MAX_WAIT_SECONDS, BankService
from bankkit.store import Store
from bankkit.tls import NO_TLS, TlsFiles

THREADS = 16
MAX_CALLS = 1000
"""Calls that are served or queued at once; one more is refused."""

LEASE_SECONDS = 3.0
"""How long a killed server is remembered by the namespace it served."""

_SERVICE = "BankService"
_log = logging.getLogger("bankkit")


class PortTaken(OSError):
    """Another program listens on the address already."""


class Rivals(RuntimeError):
    """Another server works on the same accounts, and a lock in one process cannot see it."""


_Task = tuple[futures.Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class WorkerPool(futures.Executor):
    """A fixed number of daemon threads.

    The standard `ThreadPoolExecutor` joins its threads when the interpreter exits; one that waits
    for ever, as `first-draft` can make it, would keep the process from ending.
    """

    def __init__(self, threads: int, name: str = "bankkit-rpc") -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._load = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def load(self) -> int:
        """Tasks that run or wait to."""
        return self._load

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        future: futures.Future[Any] = futures.Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._load += 1
            self._tasks.put((future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Tasks queued already still run. Does not wait for threads that are stuck."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Whether all threads ended within that many seconds."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, fn, args, kwargs = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)
            with self._lock:
                self._load -= 1
            del task, future, fn, args, kwargs  # keep nothing alive while idle


class Server:
    """A bank behind a port. `start` it once, `stop` it once.

    `name` is for people: whom a lock on Redis shows as its holder. `port` 0 lets the system choose.
    `unsafe` permits a concurrency choice that cannot see the other servers of the same accounts;
    otherwise `start` raises `Rivals` in that case. With `tls` no call comes in otherwise, but for
    those of this user on this machine, over the socket at `local_address`.
    """

    def __init__(
        self,
        store: Store,
        concurrency: str = tellers.DEFAULT,
        *,
        policy: str = "fair",
        lease: float = tellers.LEASE_SECONDS,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = THREADS,
        max_calls: int = MAX_CALLS,
        max_wait: float = MAX_WAIT_SECONDS,
        unsafe: bool = False,
        tls: TlsFiles = NO_TLS,
    ) -> None:
        check_numbers(port, threads, max_calls, max_wait)
        self._credentials = tls.server_credentials()
        self.store = store
        self.concurrency = concurrency
        self.teller = tellers.make(concurrency, store, policy, lease=lease, owner=name)
        self.host = host
        self.port = port
        self._unsafe = unsafe
        self.threads = threads
        self._max_calls = max_calls
        self._max_wait = max_wait
        self._id = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._stopping = threading.Event()
        self.local_address = ""
        """For a client in this process, once it serves."""
        self._socket_directory = ""

    @property
    def address(self) -> str:
        """`HOST:PORT` for a client."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def load(self) -> int:
        """Calls that are served or queued."""
        return self._pool.load

    def start(self) -> None:
        """Listens and serves; returns once it does.

        Raises `PortTaken`, `Rivals`, `StoreUnavailable`, or ValueError for a host that is not
        this machine.
        """
        _check_free(self.host, self.port)
        self._claim()
        self._pool = WorkerPool(self.threads)
        self.service = BankService(
            self.teller,
            is_full=lambda: self.load >= self._max_calls,
            max_wait=self._max_wait,
        )
        self._health = health.HealthServicer()
        self._server = make_grpc_server(self._pool, [self.service])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        try:
            self._open_ports()
        except RuntimeError:  # somebody was quicker
            self._close_socket()
            self._pool.shutdown()
            self._unregister()
            raise PortTaken(f"{self.address} is in use by another program.") from None
        self._report(serving=True)
        self._server.start()
        self._keeper = threading.Thread(target=self._keep_lease, name="bankkit-lease", daemon=True)
        self._keeper.start()

    def stop(self, grace: float = 5.0) -> None:
        """Takes no more calls, gives those in flight `grace` seconds, and ends its threads."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait(grace + 1)
        self._pool.shutdown()
        self.service.close()
        self._keeper.join()
        self.teller.close()
        self._close_socket()
        if not self._pool.join(1.0):  # `first-draft` may hold some for ever; they are daemons
            _log.warning("some calls did not end within the grace of %g s", grace)
        self._unregister()

    def _open_ports(self) -> None:
        if self._credentials is None:
            self.port = self._server.add_insecure_port(self.address)
            self.local_address = self.address
            return
        self.port = self._server.add_secure_port(self.address, self._credentials)
        # What serves here may call itself, whatever name its certificate is for.
        self._socket_directory = tempfile.mkdtemp(prefix="bankkit-")  # for this user only
        self.local_address = f"unix:{self._socket_directory}/bank.sock"
        self._server.add_insecure_port(self.local_address)

    def _close_socket(self) -> None:
        if self._socket_directory:
            shutil.rmtree(self._socket_directory, ignore_errors=True)

    def _register(self, *, force: bool) -> list[str]:
        return self.store.register(
            self._id,
            self.concurrency,
            alone=tellers.is_alone(self.concurrency),
            lease_ms=int(LEASE_SECONDS * 1000),
            force=force,
        )

    def _unregister(self) -> None:
        try:
            self.store.unregister(self._id)
        except StoreUnavailable:
            _log.info("could not give the lease back; it ends by itself")

    def _claim(self) -> None:
        """Registers; a rival that was killed is waited for until its lease is over."""
        deadline = time.monotonic() + LEASE_SECONDS + 0.5
        while rivals := self._register(force=self._unsafe):
            if self._unsafe:
                return
            if time.monotonic() >= deadline:
                raise Rivals(
                    f"Another server ({', '.join(sorted(rivals))}) works on the same accounts, "
                    f"and {self.concurrency} is safe only "
                    + (
                        "within one process. Stop the other one, or choose redis-read-write or "
                        "atomic for both."
                        if tellers.is_alone(self.concurrency)
                        else f"if that one is {self.concurrency}, too. Stop it, or start both with "
                        "the same choice, redis-read-write or atomic."
                    )
                )
            time.sleep(0.1)

    def _keep_lease(self) -> None:
        healthy = True
        while not self._stopping.wait(LEASE_SECONDS / 3):
            try:
                rivals = self._register(force=True)
            except StoreUnavailable:
                serving = False
            else:
                serving = True
                if rivals and not self._unsafe:
                    _log.error("another server (%s) works on the same accounts", ", ".join(rivals))
            if serving != healthy:
                healthy = serving
                _log.warning("the account store is %s", "back" if serving else "away")
                self._report(serving=serving)

    def _report(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for name in ("", _SERVICE):
            self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


def make_grpc_server(pool: WorkerPool, handlers: Sequence[Any] = ()) -> grpc.Server:
    """A server that shares its port with nobody: by default two would split the calls."""
    return grpc.server(
        cast(futures.ThreadPoolExecutor, pool),  # gRPC asks for no more than an Executor
        handlers=list(handlers),
        options=[("grpc.so_reuseport", 0)],
    )


def check_numbers(port: int, threads: int, max_calls: int, max_wait: float) -> None:
    """Raises ValueError that says what is allowed."""
    check_whole("port", port, 0, 65535)
    check_whole("threads", threads, 1, 1000)
    check_whole("max_calls", max_calls, 1, 1_000_000)
    if not isinstance(max_wait, (int, float)) or not 0 < max_wait <= threading.TIMEOUT_MAX:
        raise ValueError(f"max_wait must be a positive number of seconds, not {max_wait!r}.")


def _check_free(host: str, port: int) -> None:
    """Binds every address of `host` for a moment.

    gRPC is content with one of them: `localhost` on a port that is taken for IPv4 would quietly
    listen on IPv6 alone.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ValueError(f"host {host!r} is no address of this machine.") from None
    usable = False
    for family, kind, _, _, address in found:
        try:
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                usable = True
        except PermissionError:
            raise PortTaken(f"Port {port} is reserved for the administrator.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"Port {port} on {host} is in use by another program. "
                    f"Choose another one, or 0 for any that is free."
                ) from None
    if not usable:
        raise ValueError(f"host {host!r} is no address of this machine.")
