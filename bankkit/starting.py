"""Starts a bank for a notebook, whose cells are run again and interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, overload

from bankkit.bank import Bank
from bankkit.fleet import Fleet

_current: Bank | Fleet | None = None
_starting = threading.Lock()


@overload
def start(concurrency: str = ..., *, servers: Literal[1] = ..., **options: Any) -> Bank: ...


@overload
def start(concurrency: str = ..., *, servers: int, **options: Any) -> Fleet: ...


def start(*arguments: str, servers: int = 1, **options: Any) -> Bank | Fleet:
    """Starts a bank for a notebook and returns it; takes what `Bank` takes, or `Fleet` for several
    servers.

    Run the cell again and the bank that it started before is stopped first, once the arguments are
    known to be good.
    """
    global _current
    one = not isinstance(servers, bool) and servers == 1
    kind: type[Bank | Fleet] = Bank if one else Fleet
    if not one:
        options["servers"] = servers
    kind.check(*arguments, **options)
    with _starting, _interrupt_later():
        if _current is not None:
            _current.stop()
            _current = None
        _current = kind(*arguments, **options)
        return _current


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Holds the Interrupt button back until the block is done: a bank half made would leak."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not reach it
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)
