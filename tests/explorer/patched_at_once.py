"""Explores with `patch="all"`, and checks what was said and that no stand-in is left behind.

The search for locks takes as long as the process is large, so `make test` runs this file in a
process of its own, and `make test-all` in that of all the tests.
"""

import concurrent.futures.thread
import functools
import gc
import logging
import multiprocessing.pool
import queue
import sys
import threading
import time
from typing import Any

from bankkit import explorer


class Counter:
    """A counter without a lock."""

    n = 0

    def add(self) -> None:
        """Add one."""
        self.n += 1


def in_threads(_: Any) -> None:
    """The threads of the real module's name, which `patch=` replaces."""
    counter = Counter()
    threads = [threading.Thread(target=counter.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check() -> None:
    """Raise AssertionError if something unseen is not told, or if a module has a stand-in."""
    things = [
        multiprocessing.pool, multiprocessing.pool.Pool, multiprocessing.pool.ThreadPool, logging,
        logging.Logger, concurrent.futures._base, concurrent.futures.thread, queue, functools,
    ]  # fmt: skip
    before = [dict(vars(thing)) for thing in things]
    result = explorer.explore(in_threads, patch="all", preemptions=1)
    assert result.verdict == "unknown"
    assert "`self.n` is plain data" in result.doubts[0]
    assert [dict(vars(thing)) for thing in things] == before
    gc.collect()
    kinds = {
        id(kind): (kind, name, attribute)
        for name, each in list(sys.modules.items())
        if not name.startswith("bankkit.explorer")
        for attribute, value in list(getattr(each, "__dict__", {}).items())
        for kind in [value if isinstance(value, type) else type(value)]
    }
    for kind, *place in kinds.values():
        assert "_explorer" not in dir(kind), place
    assert queue.SimpleQueue.__module__ == "_queue"
    assert queue.Queue().mutex.acquire(timeout=0)
    assert isinstance(time.time(), float)


if __name__ == "__main__":
    check()
