"""The Redis locks that a process holds, and the thread that renews their leases."""

from __future__ import annotations

import logging
import time
from typing import Any

from . import redis_handover as scripts
from .holders import Holder, Inherited, Threads
from .interrupts import give_back
from .lua import Redis
from .protocol import LeaseLost

log = logging.getLogger("bankkit")


class Hold:
    """One lock held by one thread."""

    __slots__ = ("asked", "count", "id", "is_lost", "lease", "mode", "token")

    def __init__(self, id: str, mode: str, token: int, asked: float, lease: float) -> None:
        self.id = id
        self.mode = mode
        self.token = token
        self.asked = asked
        """Time (monotonic) of the latest request for the lease. On Redis' clock, the lease starts
        a moment later."""
        self.lease = lease
        self.count = 1
        """Number of reads of a reader."""
        self.is_lost = False
        """Whether Redis has said that the lease ran out."""

    def has_run_out(self) -> bool:
        """Whether the lease is over by this process' clock, never later than by Redis' clock."""
        return time.monotonic() >= self.asked + self.lease

    def check(self) -> None:
        """Raises `LeaseLost` if the lease ran out. Reads the clock; makes no round trip."""
        if self.is_lost or self.has_run_out():
            raise LeaseLost(
                f"The lease of {self.lease:g} s ran out: another thread or server may hold the "
                f"lock now."
            )


class Leases:
    """The leases of all threads of one owner, each renewed until it is released or lost.

    One daemon thread checks them every third of a lease and renews those that are at least a third
    old. So a short hold costs no renewal, and a long one has a third of its lease left for the
    renewal to arrive. A lease that has run out in Redis is lost, and is not renewed. The lease of a
    thread that has ended is not renewed either: no thread would ever release it.

    The table needs no mutex: only an entry's own thread adds and removes it, or the daemon thread
    removes it after that thread has ended.
    """

    def __init__(
        self, redis: Redis, lease: float, *, renew: bool, threading: Any, threads: Threads
    ) -> None:
        self.holds: dict[tuple[str, Holder], Hold] = {}
        """Holds by key and thread."""
        self.needs_thread = renew
        """Whether the renewing thread must still be started. Read without the mutex, for speed."""
        self._redis = redis
        self._milliseconds = str(round(lease * 1000))
        self._interval = lease / 3
        self._threading = threading
        self._threads = threads
        self._mutex = threading.RLock()  # guards the start and the end of the thread
        self._closed = threading.Event() if renew else None
        self._thread: Any = None

    def start_thread(self) -> None:
        """Start the thread that renews leases. Raises RuntimeError after `close`."""
        try:
            with self._mutex:
                if self._closed is None or not self.needs_thread:
                    return
                if self._closed.is_set():
                    raise RuntimeError(
                        "These locks are closed and renew no leases: make a new RedisLocks."
                    )
                self._thread = self._threading.Thread(
                    target=self._renew_all, name="renew leases", daemon=True
                )
                self._thread.start()
                self.needs_thread = False
        except BaseException:
            give_back(self._mutex)
            raise

    def close(self) -> None:
        """End the thread. Locks that are still held stay held for the rest of their lease.

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

    def _renew_all(self) -> None:
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
        except Exception as error:  # a client may raise any error; the next round tries again
            log.warning("The lease of %s was not renewed: %s", key, error)
            return
        if renewed:
            hold.asked = asked
        elif self.holds.get(place) is hold:  # otherwise it was released in the meantime
            log.warning("The lease of %s ran out before it was renewed.", key)
            hold.is_lost = True
