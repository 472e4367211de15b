"""Runs code in a forked child, and reports its errors."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable

import pytest

from tests.support.waiting import eventually


def in_a_fork(work: Callable[[], object]) -> None:
    """Runs `work` in a forked child. If it raises, raises AssertionError with the traceback."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    answer, question = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the process has other threads
        pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            os.write(question, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(1)
    os.close(question)
    ended: list[int] = []

    def has_ended() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([status] * bool(done))
        return bool(ended)

    try:
        eventually(has_ended)
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        error = os.read(answer, 4000).decode()
        os.close(answer)
    assert not error, error
    assert os.waitstatus_to_exitcode(ended[0]) == 0
