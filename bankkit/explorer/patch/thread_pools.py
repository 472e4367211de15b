"""Lets `multiprocessing.pool.ThreadPool` run on virtual threads.

Its threads are those of `threading`, but it wakes the thread that watches its workers through a
pipe between processes.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from bankkit.explorer.patch.replacing import Replacing


class _PoolContext:
    """Stands in for a context of `multiprocessing`, of which a pool needs the queue only."""

    def __init__(self, queue: type[Any]) -> None:
        self.SimpleQueue = queue


def replace_pipe(pools: ModuleType, util: ModuleType, queue: type[Any], changes: Replacing) -> None:
    """Replace the pipe of thread pools by a queue of virtual threads.

    `pools` and `util` are modules of `multiprocessing`. Python's end would also stop each pool that
    is left, so those of the schedules are forgotten.
    """
    context = _PoolContext(queue)

    def wait_for_updates(sentinels: Any, notifier: Any, timeout: float | None = None) -> None:
        notifier.get()
        while not notifier.empty():
            notifier.get()

    changes.set_attribute(pools, "get_context", lambda: context)
    changes.set_attribute(pools.ThreadPool, "_get_sentinels", lambda _: [])
    changes.set_attribute(pools.Pool, "_wait_for_updates", staticmethod(wait_for_updates))
    registry = util._finalizer_registry
    before: set[Any] = set()

    def forget() -> None:
        for key in set(registry) - before:
            del registry[key]

    changes.change(lambda: before.update(registry), forget)
