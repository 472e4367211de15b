"""Waits for a condition, instead of sleeping for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bankkit import Bank


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns when the condition holds; fails if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


def eventually_idle(bank: Bank) -> None:
    """Returns when the server has nothing to do.

    A call counts as load until a moment after the caller has the reply. A test that waits for a
    load must call this function first, or it may see the previous call.
    """
    eventually(lambda: bank.server.load == 0, 60)
