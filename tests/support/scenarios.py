"""Scenarios for the explorer that several tests use."""

from collections.abc import Callable
from typing import Any

from tests.explorer.specimens import together


def reader_and_writer(make_lock: Callable[..., Any]) -> Callable[[Any], None]:
    """One thread takes the lock to read and another to write, once each."""

    def scenario(threading: Any) -> None:
        lock = make_lock(threading=threading)

        def reader() -> None:
            with lock.read():
                pass

        def writer() -> None:
            with lock.write():
                pass

        together(threading, reader, writer)

    return scenario
