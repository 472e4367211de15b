"""Ends code that catches every exception and goes on."""

from __future__ import annotations

import ctypes
import sys
from types import FrameType
from typing import Any

from greenlet import greenlet

from bankkit.explorer.engine.ownership import is_own


class Abandoned(BaseException):
    """Unwinds a virtual thread after its schedule. `except Exception` in a scenario misses it."""


class Insistence:
    """Raises `Abandoned` at the next line of code that has caught it.

    So `while True: try: wait() except BaseException: pass` ends: its handler is not inside its
    `try`. Python removes a trace function that raises, so each `begin` raises at one line only.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._before: Any = None

    def begin(self, frame: FrameType | None) -> None:
        """Raise at the next line of this frame, of its callers, or of a function they call."""
        if not self._is_on:
            self._is_on, self._before = True, sys.gettrace()
        while frame is not None:
            if not is_own(frame):
                frame.f_trace = _raise
            frame = frame.f_back
        sys.settrace(_raise)

    def end(self) -> None:
        """Restore the trace function from before; call this when the code is over."""
        if self._is_on:
            self._is_on = False
            sys.settrace(self._before)


def _raise(frame: FrameType, event: str, arg: Any) -> Any:
    if is_own(frame):
        return None
    if event in ("call", "line"):
        raise Abandoned
    return _raise


def keep_forever(code: greenlet) -> None:
    """Never free this greenlet: Python would continue its code to end it, even at exit."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))
