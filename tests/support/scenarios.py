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


def crossed_locks(threading: Any, timeout: float = -1) -> None:
    """Alice and Bob take two locks in opposite orders, perhaps with a timeout for the second."""
    left, right = threading.Lock(), threading.Lock()

    def take(first: Any, second: Any) -> None:
        with first:
            assert second.acquire(timeout=timeout)
            second.release()

    alice = threading.Thread(target=take, args=(left, right), name="alice")
    bob = threading.Thread(target=take, args=(right, left), name="bob")
    alice.start()
    bob.start()
    alice.join()
    bob.join()
