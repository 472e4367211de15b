"""A whole bank in one object: a Redis, a gRPC server in background threads, a client."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from bankkit import teller
from bankkit.launch.running_bank import RunningBank
from bankkit.redis_backend import choose, connection
from bankkit.redis_backend.connection import check_wait_replicas
from bankkit.runtime.arguments import check_flag
from bankkit.runtime.open_files import check_files
from bankkit.server import MAX_CALLS, THREADS, Server, check_numbers
from bankkit.service import MAX_WAIT_SECONDS
from bankkit.store import Store
from bankkit.tls import PathLike, TlsFiles

OTHER_THREADS = 8
"""Of a server, beside those that serve calls: more than there are."""


class Bank(RunningBank):
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
    wait_replicas how many replicas of the Redis must have a write before it is acknowledged
    host, port    where to listen; port 0 is any that is free
    threads       calls served at once
    max_calls     calls served or queued at once; one more is refused
    max_wait      seconds that a call without a deadline may wait
    unsafe        permit a choice that cannot see the other servers of the same accounts
    tls_cert, tls_key  files of the server's certificate and its key; calls must use TLS then
    tls_ca        file of the CA that must have signed a client's certificate; without it clients
                  need none

    Raises ValueError for a bad argument, `RedisUnavailable`, `PortTaken`, `ConflictingServers`,
    `NoSocket`, `TooFewFiles`.
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
        wait_replicas: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = THREADS,
        max_calls: int = MAX_CALLS,
        max_wait: float = MAX_WAIT_SECONDS,
        unsafe: bool = False,
        tls_cert: PathLike | None = None,
        tls_key: PathLike | None = None,
        tls_ca: PathLike | None = None,
    ) -> None:
        teller.check_choice(concurrency, policy, lease)
        check_wait_replicas(wait_replicas)
        check_flag("unsafe", unsafe)
        self.concurrency = concurrency
        tls = TlsFiles(tls_cert, tls_key, tls_ca)
        tls.server_credentials()  # before anything is started
        check_files()
        with self._opening(redis, namespace, data_dir, appendfsync, wait_replicas) as stack:
            self.server = Server(
                self._server_store(stack, threads, wait_replicas),
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
                tls=tls,
            )
            self.server.start()
            stack.callback(self.server.stop)

    def _server_store(self, stack: ExitStack, threads: int, wait_replicas: int) -> Store:
        """The server's own way to Redis, with a connection for each of its threads, those that
        renew leases among them: nobody who uses `store` or `redis` can take it away."""
        redis = connection.connect(self._engine.url)
        stack.callback(redis.close)
        store = Store(
            redis,
            self.store.namespace,
            wait_replicas=wait_replicas,
            connections=threads + OTHER_THREADS,
        )
        stack.callback(store.link.close)
        return store

    @classmethod
    def _check(cls, **arguments: Any) -> None:
        given = arguments
        teller.check_choice(given["concurrency"], given["policy"], given["lease"])
        check_numbers(given["port"], given["threads"], given["max_calls"], given["max_wait"])
        check_wait_replicas(given["wait_replicas"])
        check_flag("unsafe", given["unsafe"])
        TlsFiles(given["tls_cert"], given["tls_key"], given["tls_ca"]).server_credentials()
        choose(given["redis"], data_dir=given["data_dir"], appendfsync=given["appendfsync"])

    @property
    def address(self) -> str:
        """`HOST:PORT`."""
        return self.server.address

    @property
    def _own_address(self) -> str:
        return self.server.local_address

    def _stop_serving(self, grace: float) -> None:
        self.server.stop(grace)

    def __repr__(self) -> str:
        return f"<Bank {self.concurrency} at {self.address} on {self.engine}>"
