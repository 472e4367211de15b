"""A second connection is used while the first one still initializes the dialect."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("sqlalchemy")
default: Any = import_module("sqlalchemy.engine.default")


def scenario(_: Any) -> None:
    """Two threads connect to an engine that is new."""
    engine = library.create_engine("sqlite://", poolclass=library.pool.QueuePool)

    def use() -> None:
        with engine.connect():
            known = "default_isolation_level" in vars(engine.dialect)
        assert known, "used before the dialect is initialized"

    together(threading, use, use)


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [default.DefaultDialect.initialize],
    "preemptions": 1,
}
