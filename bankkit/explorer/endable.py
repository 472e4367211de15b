"""Ends code that runs in another thread, by an exception that never arrives anywhere else.

CPython raises an exception that was sent to a thread when the thread next looks whether anything is
due; see ``bankkit.locks.interrupts`` for where that is. By then the code may be over, and the
``try`` that was to catch the exception may have been left: it would end whatever comes next. So the
thread that runs the code says first that it is over, then waits for the one that may be sending,
and then takes back what has not arrived.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_send = ctypes.pythonapi["PyThreadState_SetAsyncExc"]  # not the one whose types others may set
_send.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()


class Endable:
    """Code that one thread runs, and that one other thread may end with this exception.

        endable = Endable(TimeUp)
        endable.run(work)  # in one thread
        endable.end()  # in the other

    Once it is over, the same thread can run it again.
    """

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error
        self._thread = 0
        self._runs = False
        self._sending = False
        self._sent = False

    def run(self, work: Callable[[], T]) -> T:
        """Return `work()`, or raise what it raises: the exception that was sent, for one.

        Once this has returned or raised, no exception is on its way any more.
        """
        self._thread = threading.get_ident()
        self._sent = False
        self._runs = True
        try:
            return work()
        finally:
            # No call and no loop before it: nothing can arrive here.
            self._runs = False
            # From now on two may arrive, one that was sent before and one that is being sent.
            try:
                self._take_back()
            except self._error:
                try:  # noqa: SIM105 - in a context manager it could arrive after the last line
                    self._take_back()
                except self._error:
                    pass

    def end(self, when: Callable[[], bool] = lambda: True) -> None:
        """Send the exception if the code runs and `when` says so.

        The code does not come to its end while `when` is asked. It may catch the exception, and go
        on: then send it again.
        """
        try:
            self._sending = True  # before the look, or the code might end between look and send
            if self._runs and when():
                self._sent = True
                _send(self._thread, self._error)
                lower_flag()  # the thread raises it again once it runs, if it ever does
        finally:
            self._sending = False

    def _take_back(self) -> None:
        while self._sending:
            time.sleep(0)
        if self._sent:
            _send(self._thread, _NOTHING)
            lower_flag()


class _Lowered(BaseException):
    """A thread sends it to itself."""


def lower_flag() -> None:
    """Have no thread look for an exception that nobody is about to get.

    In CPython 3.11 one flag tells all threads to look, and it falls only when some thread gets an
    exception: not when one is taken back, nor when its thread blocks or ends. While it is up, each
    step of each thread is slow, and a function that is traced never begins.
    """
    if sys.version_info >= (3, 12):
        return
    try:
        _send(threading.get_ident(), _Lowered)
        while True:  # where a loop goes back, it arrives
            pass
    except _Lowered:
        pass
