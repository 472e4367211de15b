"""Two threads call a multimethod with types that it has not met."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("multimethod")


def scenario(_: Any) -> None:
    """Each call looks at all signatures, and then adds its own."""

    def name_object(value: object) -> str:
        return "object"

    def name_number(value: int) -> str:
        return "number"

    name = library.multimethod(name_object)
    name.register(name_number)
    together(threading, lambda: name(True), lambda: name("text"))


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [library.multimethod.parents],
    "preemptions": 1,
}
