"""Signal handlers that stand in for others for a while, and leave no trace."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Handler:
    """What is to be done on a signal, so that it can be put back. Main thread only.

    A handler may not be Python's: a program that Python is embedded in has its own, and a library
    may set one that Python never hears of. So besides what Python knows, what the kernel knows is
    kept, as bytes of which only the address in front is looked at.
    """

    def __init__(self, number: signal.Signals) -> None:
        self._number = number
        self._known = signal.getsignal(number)
        self._kept = _ask_kernel(number)

    def replace(self, handler: Any) -> None:
        signal.signal(self._number, handler)
        self._is_pythons = _address(self._kept) == _address(_ask_kernel(self._number))

    def put_back(self) -> None:
        if self._known is not None:  # None is one that was there before Python was
            signal.signal(self._number, self._known)
        if not self._is_pythons:
            _sigaction()(self._number, self._kept, None)

    def call(self) -> None:
        """Does, once it is back, what it would have done."""
        if self._is_pythons and callable(self._known):
            # An event loop has heard of the signal by itself: raised again, it would hear it twice.
            self._known(self._number, sys._getframe())
        else:
            signal.raise_signal(self._number)


@contextmanager
def interrupt_later(*, deadly: bool = True) -> Iterator[None]:
    """Holds the Interrupt button back until the block is done.

    With `deadly` false, not where an Interrupt would end the process at once (SIG_DFL).
    """
    if (
        threading.current_thread() is not threading.main_thread()  # signals do not reach it
        or (not deadly and signal.getsignal(signal.SIGINT) is signal.SIG_DFL)
    ):
        yield
        return
    pressed: list[int] = []
    before = Handler(signal.SIGINT)
    before.replace(lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        before.put_back()
        if pressed:
            before.call()


def _ask_kernel(number: signal.Signals) -> Any:
    """A `struct sigaction`, of which nothing is known but that it begins with an address."""
    sigaction = _sigaction()
    if sigaction is None:
        return None
    import ctypes

    kept = ctypes.create_string_buffer(1024)  # 152 bytes on Linux
    sigaction(number, None, kept)
    return kept


def _address(kept: Any) -> bytes:
    return b"" if kept is None else kept.raw[:8]


def _sigaction() -> Any:
    """The C library's; None where it cannot be had."""
    if sys.platform == "win32":
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).sigaction
    except (ImportError, OSError, AttributeError):
        return None
