"""Ends code that runs in another thread by an exception that never reaches any other code.

CPython raises an exception that was sent to a thread when the thread next checks for pending work;
see ``bankkit.locks.interrupts`` for the places where it checks. By then the code may have finished
and left the ``try`` that was to catch the exception, which would then end later code. So the thread
that runs the code first records that the code is over, then waits until no other thread is sending,
and then cancels an exception that has not arrived.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Indexing makes a new function object: other code may set types on the one that an attribute gives.
_send = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_send.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()

SENT: set[type[BaseException]] = set()
"""The types of the exceptions that end code from outside."""


class Endable:
    """Code that one thread runs and that one other thread may end with an exception of this type.

        endable = Endable(TimeUp)
        endable.run(work)  # in one thread
        endable.end()  # in the other

    When `run` has returned, the same thread can call it again.
    """

    def __init__(self, error: type[BaseException]) -> None:
        SENT.add(error)
        self._error = error
        self._thread = 0
        self._runs = False
        self._sending = False
        self._sent = False

    def run(self, work: Callable[[], T]) -> T:
        """Return `work()`, or raise what it raises, which may be the exception that was sent.

        After `run` has returned or raised, no exception is pending any more.
        """
        self._thread = threading.get_ident()
        self._sent = False
        self._runs = True
        try:
            return work()
        finally:
            # An exception cannot arrive here: no call and no loop comes before this line.
            self._runs = False
            # From now on two can arrive: one that was sent before and one that is being sent.
            try:
                self._cancel()
            except self._error:
                try:  # noqa: SIM105 - in a context manager it could arrive after the last line
                    self._cancel()
                except self._error:
                    pass

    def end(
        self,
        when: Callable[[], bool | type[BaseException]] = lambda: True,
    ) -> None:
        """Send the exception if the code is running and `when()` is true.

        `when` may also return a subclass of the exception, which is then sent instead. `run` does
        not return while `when` is being called. If the code catches the exception and continues,
        call `end` again.
        """
        try:
            self._sending = True  # before the check: the code could end between check and send
            if self._runs and (error := when()):
                self._sent = True
                _send(self._thread, self._error if error is True else error)
                lower_flag()  # the other thread raises the flag again when it runs, if ever
        finally:
            self._sending = False

    def _cancel(self) -> None:
        while self._sending:
            time.sleep(0)
        if self._sent:
            _send(self._thread, _NOTHING)
            lower_flag()


class _Lowered(BaseException):
    """A thread sends this exception to itself."""


def lower_flag() -> None:
    """Stop all threads from checking for an exception that none of them is about to get.

    In CPython 3.11 one flag tells all threads to check. It falls only when a thread gets an
    exception: not when the exception is cancelled, nor when its thread blocks or ends. While the
    flag is up, each step of each thread is slow, and a traced function never begins. Newer Pythons
    need nothing.
    """
    if sys.version_info >= (3, 12):
        return
    try:
        _send(threading.get_ident(), _Lowered)
        while True:  # the exception arrives where the loop jumps back
            pass
    except _Lowered:
        pass
