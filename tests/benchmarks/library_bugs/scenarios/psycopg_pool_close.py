"""A worker puts its new connection into the pool that has just been closed."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

library: Any = import_module("psycopg_pool")
pq: Any = import_module("psycopg.pq")


class PgConnection:
    """What the pool asks of a connection's lower part."""

    transaction_status = pq.TransactionStatus.IDLE


class Connection:
    """A connection to no server."""

    open_ones: int

    def __init__(self) -> None:
        self.pgconn = PgConnection()
        self._pool: Any = None

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Connection:
        """Return a new connection. To make it takes a moment, in which other threads may run."""
        threading.Event().is_set()
        cls.open_ones += 1
        return cls()

    def close(self) -> None:
        """Count the connection as closed."""
        type(self).open_ones -= 1


def scenario(_: Any) -> None:
    """The pool is closed while its worker makes its one connection."""
    Connection.open_ones = 0
    pool = library.ConnectionPool(
        min_size=1, max_size=1, num_workers=1, open=False, connection_class=Connection, name="pool"
    )
    pool.open()
    pool.close()
    assert Connection.open_ones == 0, "a connection is open, and the pool is closed"


SETTINGS = {"patch": [sys.modules[__name__], library], "preemptions": 1, "timeouts": 0}
