"""Two threads count the connections, and both make the last one."""

from __future__ import annotations

import contextlib
import sys
import threading
from importlib import import_module
from typing import Any

from tests.benchmarks.library_bugs.scenarios.redis_connections import Connection
from tests.explorer.specimens import together

library: Any = import_module("redis.connection")
Pool = library.ConnectionPool


def scenario(_: Any) -> None:
    """The second thread must get an error."""
    pool = Pool(connection_class=Connection, max_connections=1)
    made: list[Any] = []

    def get() -> None:
        with contextlib.suppress(library.ConnectionError):
            made.append(pool.get_connection(""))

    together(threading, get, get)
    assert len(made) == 1, f"{len(made)} connections, and 1 is allowed"


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [Pool.get_connection, Pool.make_connection],
    "preemptions": 2,
}
