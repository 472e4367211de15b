"""A look into the bank's locks while all threads stand still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bankkit.locks import FirstDraftLock, ReadWriteLock
from bankkit.locks.holders import Holder


def holders(lock: Any, names: Mapping[int, str]) -> str:
    """Who holds one of the bank's locks, and who waits for it, as far as the lock knows.

    `statistics()` would say so, but takes the lock's mutex, and that belongs to the threads: what
    is behind it can be looked at while they all stand still.
    """

    def who(threads: Any) -> str:
        idents = (it.ident if isinstance(it, Holder) else it for it in threads)
        return " and ".join(names.get(ident, "?") for ident in idents)

    said = []
    if lock._writer is not None:
        said.append(f"{who([lock._writer])} writes")
    if isinstance(lock, FirstDraftLock):
        if lock._readers:
            said.append(f"{lock._readers} read{'s' if lock._readers == 1 else ''}")
    elif isinstance(lock, ReadWriteLock):
        if lock._readers:
            said.append(f"{who(lock._readers)} read{'s' if len(lock._readers) == 1 else ''}")
        for queue, what in ((lock._waiting_writers, "write"), (lock._waiting_readers, "read")):
            if queue:
                waits = "waits" if len(queue) == 1 else "wait"
                said.append(f"{who(thread for thread, _ in queue)} {waits} to {what}")
    return "; ".join(said) or "free"
