"""After a fork, a thread takes a connection of the parent while another resets the pool."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.benchmarks.library_bugs.scenarios.redis_connections import Connection
from tests.explorer.specimens import together

library: Any = import_module("redis.connection")
Pool = library.ConnectionPool


def scenario(_: Any) -> None:
    """The pool looks as it does in a forked child: it has the parent's number and connections."""
    pool = Pool(connection_class=Connection)
    parents = pool.get_connection("")
    pool.release(parents)
    parents.pid = pool.pid = -1
    mine: list[Any] = []
    together(threading, *[lambda: mine.append(pool.get_connection(""))] * 2)
    assert parents not in mine, "a connection of the parent process"


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [Pool._checkpid, Pool.reset],
    "preemptions": 2,
    "timeouts": 0,  # the fix waits five seconds for the thread that resets the pool
}
