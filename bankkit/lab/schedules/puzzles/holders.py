"""Shows the state of the bank's locks while all threads are paused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bankkit.locks import FirstDraftLock, ReadWriteLock
from bankkit.locks.holders import Holder


def holders(lock: Any, names: Mapping[int, str]) -> str:
    """The holders and waiters of one of the bank's locks in words; `free` if it has neither.

    `names` has the threads' names by ident. This reads private attributes: `statistics()` would
    take the lock's mutex, and a paused thread may hold it.
    """

    def listed(threads: Any) -> str:
        idents = (it.ident if isinstance(it, Holder) else it for it in threads)
        return " and ".join(names.get(ident, "?") for ident in idents)

    parts = []
    if lock._writer is not None:
        parts.append(f"{listed([lock._writer])} writes")
    if isinstance(lock, FirstDraftLock):
        if lock._readers:
            parts.append(f"{lock._readers} read{'s' if lock._readers == 1 else ''}")
    elif isinstance(lock, ReadWriteLock):
        if lock._readers:
            parts.append(f"{listed(lock._readers)} read{'s' if len(lock._readers) == 1 else ''}")
        for queue, what in ((lock._waiting_writers, "write"), (lock._waiting_readers, "read")):
            if queue:
                waits = "waits" if len(queue) == 1 else "wait"
                parts.append(f"{listed(thread for thread, _ in queue)} {waits} to {what}")
    return "; ".join(parts) or "free"
