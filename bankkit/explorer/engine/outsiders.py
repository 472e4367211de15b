"""Notices real threads and processes that a scenario starts: the explorer cannot schedule them."""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

from bankkit.explorer.engine.ownership import is_of_the_library
from bankkit.explorer.engine.scheduler import Scheduler

_STARTERS: tuple[tuple[Any, str], ...] = tuple(
    (module, name)
    for module in (_thread, threading)
    for name in ("start_new_thread", "start_new", "start_joinable_thread",
                 "_start_new_thread", "_start_joinable_thread")
    if hasattr(module, name)
)  # fmt: skip
"""Every start of a real thread goes through one of these functions."""


@contextmanager
def outsiders_noticed(scheduler: Scheduler) -> Iterator[None]:
    """Add a doubt for each real thread and each child process that a virtual thread starts."""
    home = get_ident()

    def noticing(start: Callable[..., Any], what: str) -> Callable[..., Any]:
        def noticed(*args: Any, **kwargs: Any) -> Any:
            if scheduler.is_running and get_ident() == home:
                scheduler.doubts[
                    f"{_place()} started {what}, whose steps were not looked at: use the "
                    f"`threading` that the scenario is given, or name the module that imports the "
                    f"real one in `patch=`"
                ] = None
            return start(*args, **kwargs)

        return noticed

    before = [(module, name, getattr(module, name)) for module, name in _STARTERS]
    before += [(os, "fork", os.fork)] if hasattr(os, "fork") else []
    try:
        for module, name, start in before:
            what = "a process" if module is os else "a real thread"
            setattr(module, name, noticing(start, what))
        yield
    finally:
        for module, name, start in before:
            setattr(module, name, start)


def _place() -> str:
    """The program's line that starts it, outside of the standard library."""
    frame = sys._getframe(2)
    while frame.f_back is not None and is_of_the_library(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
