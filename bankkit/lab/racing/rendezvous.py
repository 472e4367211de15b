"""Force a race: as far as the lock permits, all deposits read before one commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from bankkit.locks import LockStatistics

LOOK_SECONDS = 0.002
"""Seconds between looks at a lock's queue; no lock notifies us when its queue changes."""

STANDSTILL_LOOKS = 400
"""If a lock does not count its waiters, a client that asked for it counts as waiting after this
many looks without a step. We count looks, not seconds: a stalled machine delays the looks too."""

LIMIT_SECONDS = 20.0
"""The longest time that a call is held."""


class Rendezvous:
    """The meeting point of a round's deposits, in the server, between their read and their commit.

    Each deposit waits until every other deposit has read the balance too, waits for the lock, or
    has ended. Then the deposits continue one at a time in the order of `names`, so that we know
    which deposit overwrites which. `statistics` returns the statistics of the account's lock.
    """

    def __init__(
        self, names: tuple[str, ...], statistics: Callable[[], LockStatistics | None]
    ) -> None:
        self._names = names
        self._statistics = statistics
        self._moved = threading.Condition()
        self._asked: set[str] = set()
        self._read: set[str] = set()
        self._ended: set[str] = set()
        self._steps = 0
        self.kept_out: set[str] = set()
        """The clients that had to wait for the lock while another one held it."""

    def begin_round(self) -> None:
        """Forget the steps of the last round; `kept_out` stays."""
        with self._moved:
            for group in (self._asked, self._read, self._ended):
                group.clear()

    def asks(self, name: str) -> None:
        """Note that this client's deposit is about to ask for the lock."""
        self._step(self._asked, name)

    def has_read(self, name: str) -> None:
        """Note that this client's deposit has read the balance, and wait for the others."""
        self._step(self._read, name)
        self._wait(self._rest_wait_for_lock, self._is_stuck)
        with self._moved:
            self.kept_out |= self._missing()
        before = set(self._names[: self._names.index(name)])
        self._wait(lambda: before <= self._ended | self._missing())

    def has_ended(self, name: str) -> None:
        """Note that this client's deposit was answered."""
        self._step(self._ended, name)

    def stop(self) -> None:
        """Let all waiting deposits go on."""
        with self._moved:
            self._ended.update(self._names)
            self._moved.notify_all()

    def _step(self, group: set[str], name: str) -> None:
        with self._moved:
            group.add(name)
            self._steps += 1
            self._moved.notify_all()

    def _missing(self) -> set[str]:
        """The clients whose deposits have neither read nor ended."""
        return set(self._names) - self._read - self._ended

    def _rest_wait_for_lock(self) -> bool:
        """Whether every client that has not read yet waits for the lock; True if none is left."""
        missing = self._missing()
        found = self._statistics() if missing else None
        return not missing or bool(found and (found.waiting_writers or 0) >= len(missing))

    def _is_stuck(self) -> bool:
        """Whether all missing clients have asked for a lock that does not count its waiters."""
        found = self._statistics()
        unknown = found is None or found.waiting_writers is None
        return unknown and self._missing() <= self._asked

    def _wait(
        self, until: Callable[[], bool], or_stuck: Callable[[], bool] = lambda: False
    ) -> None:
        limit = monotonic() + LIMIT_SECONDS
        looks, steps = 0, self._steps
        with self._moved:
            while not until() and monotonic() < limit:
                if looks >= STANDSTILL_LOOKS and or_stuck():
                    return
                self._moved.wait(LOOK_SECONDS)
                looks, steps = (looks + 1 if steps == self._steps else 0), self._steps
