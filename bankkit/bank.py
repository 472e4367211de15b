"""A whole bank in one object: a Redis, a gRPC server in background threads, a client."""

from __future__ import annotations

import atexit
import inspect
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
import redis as redis_py

from bankkit import accounts, redis_link, store, teller
from bankkit.client import Client
from bankkit.pb import bank_pb2_grpc
from bankkit.redis_server import choose, open_redis, sweep_at_death
from bankkit.server import MAX_CALLS, THREADS, Server, check_numbers
from bankkit.service import MAX_WAIT_SECONDS

GRACE_SECONDS = 5.0
"""How long `stop` waits for calls in flight."""


class Bank:
    """A running bank; it touches no other one. A context manager that stops it.

    concurrency   how operations on one account are kept apart: see `bankkit.teller`
    policy        whom a read–write lock in this process lets go first: fair, readers, writers
    lease         seconds that `redis-read-write` keeps an account locked for a server that died
    name          what such a lock shows as the name of this server
    redis         URL of a Redis to use; else `BANKKIT_REDIS_URL`; else a private one, which
                  "private" asks for in any case
    namespace     where its keys live; by default a fresh one on a Redis of the user's own, swept
                  when the bank stops or this process dies
    data_dir      folder in which a private Redis keeps the accounts; without it they end with it
    appendfsync   when a write reaches the disk there: everysec, always
    host, port    where to listen; port 0 is any that is free
    threads       calls served at once
    max_calls     calls served or queued at once; one more is refused
    max_wait      seconds that a call without a deadline may wait
    unsafe        permit a choice that cannot see the other servers of the same accounts

    Raises ValueError for arguments that are none, `RedisUnavailable`, `PortTaken`, `Rivals`.
    """

    def __init__(
        self,
        concurrency: str = teller.DEFAULT,
        *,
        policy: str = "fair",
        lease: float = teller.LEASE_SECONDS,
        name: str | None = None,
        redis: str | None = None,
        namespace: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        appendfsync: str = "everysec",
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = THREADS,
        max_calls: int = MAX_CALLS,
        max_wait: float = MAX_WAIT_SECONDS,
        unsafe: bool = False,
    ) -> None:
        teller.check_choice(concurrency, policy, lease)
        self._lock = threading.Lock()
        with ExitStack() as stack:
            self._engine = open_redis(redis, data_dir=data_dir, appendfsync=appendfsync)
            stack.callback(self._engine.close)
            if namespace is None and self._engine.private:
                namespace = "bank"
            elif namespace is None:
                namespace = f"bankkit-{secrets.token_hex(4)}"
                stack.callback(sweep_at_death(self._engine.url, namespace).close)
            self.redis: redis_py.Redis = redis_link.connect(self._engine.url)
            """A client to look around with."""
            stack.callback(self.redis.close)
            self.store = store.Store(self.redis, namespace)
            self.server = Server(
                self.store,
                concurrency,
                policy=policy,
                lease=lease,
                name=name,
                host=host,
                port=port,
                threads=threads,
                max_calls=max_calls,
                max_wait=max_wait,
                unsafe=unsafe,
            )
            self.server.start()
            stack.callback(self.server.stop)
            self.client = Client(self.address)
            """With request ids, deadlines and retries."""
            stack.callback(self.client.close)
            self.channel = grpc.insecure_channel(self.address)
            stack.callback(self.channel.close)
            self.stub = bank_pb2_grpc.BankServiceStub(self.channel)
            """The generated stub and nothing else: no deadline, no retry."""
            self._resources = stack.pop_all()
        atexit.register(self.stop)

    @property
    def address(self) -> str:
        """`HOST:PORT`."""
        return self.server.address

    @property
    def concurrency(self) -> str:
        return self.server.concurrency

    @property
    def engine(self) -> str:
        """Which Redis this is, in one line."""
        return self._engine.description

    def peek(self, account_id: str) -> dict[str, Any]:
        """All that Redis holds for an account, by key; the same in every namespace."""
        accounts.check_account_id(account_id)
        return self.store.peek(account_id)

    def pause_redis(self) -> None:
        """Stops the clock for the private Redis (SIGSTOP); what is sent to it waits."""
        self._engine.pause()

    def resume_redis(self) -> None:
        self._engine.resume()

    def restart_redis(self) -> None:
        """Starts the private Redis anew, also after a crash. Without a data directory it comes
        back empty."""
        self._engine.restart()

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Lets calls in flight end, for `grace` seconds at most, and leaves nothing running."""
        with self._lock:
            self.server.stop(grace)  # first, so that calls on our own channels are drained too
            self._resources.close()
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Bank {self.concurrency} at {self.address} on {self.engine}>"


_current: Bank | None = None
_starting = threading.Lock()


def start(concurrency: str = teller.DEFAULT, **options: Any) -> Bank:
    """Starts a bank for a notebook and returns it; takes what `Bank` takes.

    Run the cell again and the bank that it started before is stopped first, once the arguments are
    known to be good.
    """
    global _current
    _check(concurrency, **options)
    with _starting, _interrupt_later():
        if _current is not None:
            _current.stop()
            _current = None
        _current = Bank(concurrency, **options)
        return _current


def _check(*arguments: Any, **options: Any) -> None:
    """Raises what `Bank` would for arguments that are none, and starts nothing."""
    bound = inspect.signature(Bank).bind(*arguments, **options)
    bound.apply_defaults()
    given = bound.arguments
    teller.check_choice(given["concurrency"], given["policy"], given["lease"])
    check_numbers(given["port"], given["threads"], given["max_calls"], given["max_wait"])
    choose(given["redis"], data_dir=given["data_dir"], appendfsync=given["appendfsync"])


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Holds the Interrupt button back until the block is done: a bank half made would leak."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not reach it
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)
