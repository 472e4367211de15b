"""A scenario: one thread writes under a lock, and another reads under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bankkit.lab.schedules.puzzles.holders import holders
from bankkit.locks import Lock


class TellerAndAuditor:
    """A teller writes, an auditor reads, and the teller goes home when the audit is done."""

    def __init__(self, make_lock: Callable[..., Lock]) -> None:
        self._make_lock = make_lock
        self._lock: Any = None
        self._names: dict[int, str] = {}
        self._book: dict[str, int] = {}
        self._report: list[int] = []

    def __call__(self, threading: Any) -> None:
        """Run both threads once, with a new lock."""
        lock = self._lock = self._make_lock(threading=threading)
        book = self._book = {"joint": 0}
        report = self._report = []

        def teller() -> None:
            with lock.write():
                book["joint"] += 100
            audit.join()

        def auditor() -> None:
            with lock.read():
                report.append(book["joint"])

        work = threading.Thread(target=teller)
        audit = threading.Thread(target=auditor)
        for thread in (work, audit):
            thread.start()
        self._names = {thread.ident: thread.name for thread in (work, audit)}
        for thread in (work, audit):
            thread.join()

    def look(self) -> dict[str, str]:
        """The balance, the report and the lock in words; empty before the first run."""
        if self._lock is None:
            return {}
        return {
            "balance in the book": f"${self._book['joint']}",
            "the auditor's report": ", ".join(f"${each}" for each in self._report) or "none yet",
            "the lock": holders(self._lock, self._names),
        }
