"""A whole bank in one object: a Redis, a gRPC server in background threads, a client."""

from __future__ import annotations

from contextlib import ExitStack

from bankkit.launch.running_bank import RunningBank
from bankkit.options import BankOptions
from bankkit.redis_backend import connection
from bankkit.runtime.open_files import check_files
from bankkit.runtime.option_fields import takes
from bankkit.server import Server
from bankkit.store import Store

OTHER_THREADS = 8
"""An upper bound for the threads of a server that use Redis but do not serve calls."""


class Bank(RunningBank):
    """A running bank, independent of any other. A context manager that stops it.

    Raises ValueError for a bad argument, `RedisUnavailable`, `PortTaken`, `ConflictingServers`,
    `NoSocket`, `TooFewFiles`.
    """

    @takes(BankOptions)
    def __init__(self, options: BankOptions) -> None:
        """See `bankkit.teller` for the choices of `concurrency`."""
        self.concurrency = options.concurrency
        check_files()
        with self._opening(options) as stack:
            self.server = Server(self._server_store(stack, options), options)
            self.server.start()
            stack.callback(self.server.stop)

    def _server_store(self, stack: ExitStack, options: BankOptions) -> Store:
        """A store with a connection for each thread of the server, including those that renew
        leases. Calls through `store` or `redis` cannot use up these connections."""
        redis = connection.connect(self._engine.url)
        stack.callback(redis.close)
        store = Store(
            redis,
            self.store.namespace,
            wait_replicas=options.wait_replicas,
            connections=options.threads + OTHER_THREADS,
        )
        stack.callback(store.link.close)
        return store

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
