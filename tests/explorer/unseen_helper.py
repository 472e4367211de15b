"""A module of the program that keeps data in globals and starts threads, for the traps."""

import threading
from collections.abc import Callable

total = 0
items: list[int] = []


def add() -> None:
    """Not one step, but the explorer does not see the two."""
    global total
    total += 1


def start_and_join(*works: Callable[[], None]) -> None:
    """Start real threads, unless the explorer is told of this module."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
