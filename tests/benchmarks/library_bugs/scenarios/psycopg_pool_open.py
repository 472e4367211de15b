"""Two threads open a pool, and each makes its own lock."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("psycopg_pool")
Pool = library.ConnectionPool


def scenario(_: Any) -> None:
    """The pool has no connections, so that it needs no server."""
    pool = Pool(min_size=0, max_size=1, num_workers=1, open=False, name="pool")
    together(threading, pool.open, pool.open)
    pool.close()


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [vars(Pool)[name] for name in ("open", "_ensure_lock") if name in vars(Pool)],
    "preemptions": 2,
    "timeouts": 0,
}
