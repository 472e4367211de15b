"""A writer that reads waits for a writer that waits for it."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("fasteners")


def scenario(_: Any) -> None:
    """The first thread holds the lock to write, and also takes it to read."""
    lock = library.ReaderWriterLock()

    def write_and_read() -> None:
        with lock.write_lock(), lock.read_lock():
            pass

    def write() -> None:
        with lock.write_lock():
            pass

    together(threading, write_and_read, write)


SETTINGS = {"patch": [sys.modules[__name__], library]}
