"""A message is logged while a handler is added."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("loguru._logger")
Logger = library.Logger


def scenario(_: Any) -> None:
    """The logger, whose handlers belong to its class, has one handler at first."""
    logger = import_module("loguru").logger
    Logger._handlers, Logger._min_level = {}, float("inf")

    def add() -> None:
        logger.add(lambda message: None, format="{message}", catch=False)

    add()
    together(threading, lambda: logger.info("hello"), add)


SETTINGS = {
    "patch": [sys.modules[__name__], import_module("loguru")],
    "preemptions": 2,
    "reduction": False,  # the dictionary of handlers has no lock
}
