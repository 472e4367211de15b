"""What a process knows of its own holds of Redis locks, and the thread that renews them."""

from __future__ import annotations

import logging
import time
from typing import Any

from . import redis_scripts as scripts
from .holders import Holder, Inherited, Threads
from .interrupts import give_back
from .lua import Redis
from .protocol import LeaseLost

log = logging.getLogger("bankkit")


class Hold:
    """One thread's hold of one lock."""

    __slots__ = ("asked", "count", "id", "is_lost", "lease", "mode", "token")

    def __init__(self, id: str, mode: str, token: int, asked: float, lease: float) -> None:
        self.id = id
        self.mode = mode
        self.token = token
        self.asked = asked
        """When its lease was last asked for; it runs from a moment after that, on Redis' clock."""
        self.lease = lease
        self.count = 1
        """How often the thread reads, if it does."""
        self.is_lost = False
        """Redis has said so."""

    def has_run_out(self) -> bool:
        """By this process' clock, which is never the later one to say so."""
        return time.monotonic() >= self.asked + self.lease

    def check(self) -> None:
        """Raises `LeaseLost` if the hold was lost. A look at the clock, no round trip."""
        if self.is_lost or self.has_run_out():
            raise LeaseLost(
                f"The lease of {self.lease:g} s ran out: somebody else may hold the lock by now."
            )


class Leases:
    """The holds of all threads of one owner, each renewed in time until it is released or lost.

    One daemon thread looks at them every third of a lease and renews those that are a third old or
    older. So a short hold costs it nothing, and a long one has a third of its lease left for the
    renewal to arrive. A lease that Redis has let run out is not renewed but lost. Nor is the lease
    of a thread that has ended renewed, because nobody would ever release it.

    The table needs no mutex: an entry is put in and taken out by its own thread only, or taken out
    after the end of that thread.
    """

    def __init__(
        self, redis: Redis, lease: float, *, renew: bool, threading: Any, threads: Threads
    ) -> None:
        self.holds: dict[tuple[str, Holder], Hold] = {}
        """By key and thread."""
        self.needs_thread = renew
        """Nobody renews yet: looked at without the mutex, which is quick."""
        self._redis = redis
        self._milliseconds = str(round(lease * 1000))
        self._interval = lease / 3
        self._threading = threading
        self._threads = threads
        self._mutex = threading.RLock()  # guards the start and the end of the thread
        self._closed = threading.Event() if renew else None
        self._thread: Any = None

    def start_thread(self) -> None:
        """Has the leases renewed from now on. Raises RuntimeError after `close`."""
        try:
            with self._mutex:
                if self._closed is None or not self.needs_thread:
                    return
                if self._closed.is_set():
                    raise RuntimeError("These locks are closed: nobody would renew the lease.")
                self._thread = self._threading.Thread(
                    target=self._keep, name="renew leases", daemon=True
                )
                self._thread.start()
                self.needs_thread = False
        except BaseException:
            give_back(self._mutex)
            raise

    def close(self) -> None:
        """Ends the thread. What is still held stays so for the rest of its lease.

        Does nothing in a forked child, which has no such thread.
        """
        try:
            _ = self._threads.me
        except Inherited:
            return
        try:
            with self._mutex:
                if self._closed is None:
                    return
                self._closed.set()
                self.needs_thread = True
                thread, self._thread = self._thread, None
        except BaseException:
            give_back(self._mutex)
            raise
        if thread is not None:
            thread.join()

    def _keep(self) -> None:
        assert self._closed is not None
        while not self._closed.wait(self._interval):
            for place, hold in list(self.holds.items()):
                if place[1].has_ended:
                    log.warning("A thread ended while it held %s: its lease runs out.", place[0])
                    self.holds.pop(place, None)
                elif not hold.is_lost and time.monotonic() >= hold.asked + self._interval:
                    self._renew(place, hold)

    def _renew(self, place: tuple[str, Holder], hold: Hold) -> None:
        key = place[0]
        asked = time.monotonic()
        try:
            renewed = scripts.renew(self._redis, key, hold.id, self._milliseconds)
        except Exception as error:  # whatever the client raises: the next round tries again
            log.warning("The lease of %s was not renewed: %s", key, error)
            return
        if renewed:
            hold.asked = asked
        elif self.holds.get(place) is hold:  # else it was released meanwhile
            log.warning("The lease of %s ran out before it was renewed.", key)
            hold.is_lost = True
