"""Scenarios that other processes can import."""

from __future__ import annotations

import os
import signal
import sys
import threading as real
import time
from functools import partial
from typing import Any

from bankkit.explorer.errors import ScenarioError
from bankkit.locks import ReadWriteLock
from tests.explorer.specimens import together


def increments(threading: Any, threads: int = 3, times: int = 2, lost_after: int = 99) -> None:
    """Count in threads; an assertion fails if many updates are lost."""
    counter = threading.shared(value=0)

    def add() -> None:
        for _ in range(times):
            counter.value += 1

    together(threading, *[add] * threads)
    assert counter.value > threads * times - lost_after


def elsewhere() -> bool:
    """Whether this is not the process of the test, which has set the variable."""
    return os.environ.get("EXPLORER_TEST_PID", "") not in ("", str(os.getpid()))


loses_four = partial(increments, lost_after=4)
large = partial(increments, threads=4, times=4)


def readers_and_writers(threading: Any) -> None:
    """Two of each, on the bank's lock."""
    lock = ReadWriteLock("writers", threading=threading)

    def read() -> None:
        with lock.read():
            pass

    def write() -> None:
        with lock.write():
            pass

    together(threading, read, read, write, write)


def dies(threading: Any) -> None:
    """End the process, if it is not that of the test."""
    increments(threading)
    if elsewhere():
        os.kill(os.getpid(), signal.SIGKILL)


def real_wait(threading: Any) -> None:
    """Wait for a real lock, if this is not the process of the test."""
    increments(threading)
    if elsewhere():
        lock = real.Lock()
        lock.acquire()
        lock.acquire()


def unseen(threading: Any) -> None:
    """Share a list that nobody tracks."""
    mine, yours = threading.shared(value=0), threading.shared(value=0)
    plain: list[int] = []

    def a() -> None:
        for value in range(4):
            mine.value = value
            plain.append(value)
        plain.clear()
        mine.value = 9

    def b() -> None:
        yours.value = 1
        if len(plain) == 3:
            yours.value = 2

    together(threading, a, b)


def slow(threading: Any) -> None:
    """Take a while, and print."""
    print("a line of the scenario", flush=True)
    time.sleep(0.01)
    large(threading)


class Answer:
    """A scenario that is an object, of a class that can be imported."""

    def __call__(self, threading: Any) -> None:
        """Lose an update."""
        increments(threading, 2, 1, lost_after=1)


answer = Answer()


def fails_elsewhere(threading: Any) -> None:
    """Raise what cannot be pickled, in other processes only."""
    if elsewhere():
        raise Odd(print, sys.stdout)


class Odd(ScenarioError):
    """An exception that cannot be sent to another process."""
