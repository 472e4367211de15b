"""Signal handlers that replace others for a while and restore them completely."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Handler:
    """The present handler of a signal, saved so that it can be restored. Main thread only.

    The handler may not be Python's: a program that embeds Python has its own, and a library may set
    one without Python. So we save both the handler that Python knows and the kernel's record of it.
    Of the kernel's bytes we read only the address at the start.
    """

    def __init__(self, number: signal.Signals) -> None:
        self._number = number
        self._known = signal.getsignal(number)
        self._saved = _kernel_action(number)

    def replace(self, handler: Any) -> None:
        """Install another handler, as `signal.signal` takes it."""
        signal.signal(self._number, handler)
        self._is_pythons = _address(self._saved) == _address(_kernel_action(self._number))

    def put_back(self) -> None:
        """Restore the saved handler. Call it after `replace`."""
        if self._known is not None:  # None: Python did not install it
            signal.signal(self._number, self._known)
        if not self._is_pythons:
            _sigaction()(self._number, self._saved, None)

    def call(self) -> None:
        """Handle a signal that came in the meantime. Call it after `put_back`."""
        if self._is_pythons and callable(self._known):
            # Event loops also get signals another way; raised again, the signal would count twice.
            self._known(self._number, sys._getframe())
        else:
            signal.raise_signal(self._number)


@contextmanager
def interrupt_later(*, deadly: bool = True) -> Iterator[None]:
    """Delay an Interrupt (SIGINT) until the block has ended.

    With `deadly` false, an Interrupt that would end the process at once (SIG_DFL) is not delayed.
    """
    if (
        threading.current_thread() is not threading.main_thread()  # other threads get no signals
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


def _kernel_action(number: signal.Signals) -> Any:
    """The signal's `struct sigaction` as bytes. We rely only on the address at its start."""
    sigaction = _sigaction()
    if sigaction is None:
        return None
    import ctypes

    saved = ctypes.create_string_buffer(1024)  # the struct has 152 bytes on Linux
    sigaction(number, None, saved)
    return saved


def _address(saved: Any) -> bytes:
    return b"" if saved is None else saved.raw[:8]


def _sigaction() -> Any:
    """The function of the C library; None if it is not available."""
    if sys.platform == "win32":
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).sigaction
    except (ImportError, OSError, AttributeError):
        return None
