"""Tests of the driver for locks: it tells a thread that waits from one that has no processor."""

import sys
import time
from hashlib import pbkdf2_hmac
from queue import SimpleQueue
from typing import Any

import pytest

from bankkit.lab.racing import lock_driver
from bankkit.lab.racing.lock_driver import LOOK_SECONDS, LOOKS, LockDriver
from bankkit.locks import Mutex, ReadWriteLock

STARVED = 6 * LOOKS * LOOK_SECONDS
"""Seconds for which a thread of these tests makes no step, as on a busy machine."""


class LateQueue(SimpleQueue[Any]):
    """Its reader gets no processor for a while after each order."""

    def get(self, *args: Any, **named: Any) -> Any:
        order = super().get(*args, **named)
        time.sleep(STARVED)
        return order


def test_a_thread_that_has_not_begun_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_driver, "SimpleQueue", LateQueue)
    with LockDriver(Mutex()) as driver:
        driver.tell("ann", "reads")
        assert driver.states() == {"ann": "reads"}
        driver.tell("ben", "reads")
        assert driver.states() == {"ann": "reads", "ben": "waits to read"}


class Slow(ReadWriteLock):
    """It needs the processor for a while before it lets a thread in."""

    def acquire_read(self, timeout: float | None = None) -> bool:
        until = time.monotonic() + STARVED
        while time.monotonic() < until:
            pbkdf2_hmac("sha256", b"", b"", 20_000)  # other threads run meanwhile
        return super().acquire_read(timeout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which threads run")
def test_a_thread_that_runs_does_not_wait() -> None:
    with LockDriver(Slow()) as driver:
        driver.tell("ann", "reads")
        assert driver.states() == {"ann": "reads"}


class Spinning:
    """A lock whose waiters spin."""

    def __init__(self) -> None:
        self._taken = False

    def acquire_write(self) -> None:
        while self._taken:
            pass
        self._taken = True

    def release_write(self) -> None:
        self._taken = False

    acquire_read, release_read = acquire_write, release_write


def test_a_thread_that_spins_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_driver, "MOST_LOOKS", 2 * LOOKS)
    with LockDriver(Spinning()) as driver:
        driver.tell("ann", "writes")
        driver.tell("ben", "writes")
        assert driver.states() == {"ann": "writes", "ben": "waits to write"}
        driver.tell("ann", "leaves")
        assert driver.states() == {"ann": "", "ben": "writes"}
