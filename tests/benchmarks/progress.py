"""One line that shows the progress of a long run."""

from __future__ import annotations

import sys
import time

SECONDS = 10.0
"""Seconds between two lines if stderr is not a terminal, where a line cannot be overwritten."""


class Progress:
    """Print `LABEL: DONE of TOTAL` to stderr; a context manager that clears it from a terminal."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (0 if self._terminal else SECONDS)

    def at(self, done: int) -> None:
        """Show the progress if it is time for it. Only one thread at a time may call this."""
        if (now := time.monotonic()) < self._next:
            return
        line = f"{self._label}: {done:,} of {self._total:,}"
        if self._terminal:
            self._next = now + 0.2
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
        else:
            self._next = now + SECONDS
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
