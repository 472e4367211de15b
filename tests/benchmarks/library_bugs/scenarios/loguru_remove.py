"""A message is logged while all handlers are removed."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("loguru._logger")


def scenario(_: Any) -> None:
    """The logger has two handlers, and a thread logs two messages."""
    logger = library.Logger(library.Core(), None, 0, False, False, False, False, True, [], {})
    for _handler in range(2):
        logger.add(lambda message: None, format="{message}", catch=False)

    def log() -> None:
        for message in ("first", "second"):
            logger.info(message)

    together(threading, log, logger.remove)


SETTINGS = {
    "patch": [sys.modules[__name__], import_module("loguru")],
    "preemptions": 2,
    "reduction": False,  # the dictionary of handlers has no lock
}
