"""The read–write lock of many processes, kept in Redis: many readers or one writer."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from bankkit.runtime.pickling import Unique

from . import redis_scripts as scripts
from .guards import ReadGuard, WriteGuard
from .holders import Holder, Inherited, threads_of
from .interrupts import unbroken_start
from .lua import Redis
from .protocol import FOREVER, Fence, LeaseLost, LockStatistics, seconds
from .redis_leases import Hold, Leases

log = logging.getLogger("bankkit")

Mode = Literal["read", "write"]

LEASE_SECONDS = 3.0
"""The usual lease: how long others wait for a holder that has died."""

LONGEST_BLOCK = 1.0
"""Seconds. A wait is cut into pieces, each shorter than a client would wait for an answer."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who holds a Redis lock or waits for it."""

    owner: str
    thread: int
    """Its ident, which means something in the owner's process only."""
    mode: Mode
    token: int | None
    """None for one who waits."""
    seconds_left: float
    """Until the lease or the place in the queue expires, unless it is renewed before."""


@dataclass(frozen=True, slots=True)
class RedisLockStatistics(LockStatistics):
    """One consistent look at a Redis lock, whoever its holders are."""

    holders: tuple[Party, ...] = ()
    """In the order they entered."""
    queue: tuple[Party, ...] = ()
    """In the order they came."""


def check_owner(owner: object) -> None:
    """Raises ValueError that says what is allowed."""
    if not isinstance(owner, str) or set(owner) & set('"\\') or not owner.isprintable():
        raise ValueError(f"An owner is a name without quotes or backslashes, not {owner!r}.")


class RedisLocks(Unique):
    """The Redis locks of one owner, a lock for each key that it is called with.

    ``redis`` is anything with ``execute_command(*command)`` that may be used by many threads, sends
    each command once and has more than a second's patience for an answer; what it raises is passed
    on. A waiter blocks a connection. redis-py's own client will do where nobody presses Interrupt:
    since Python 3.14 that may leave the mutex of its pool locked, and then every command hangs. The
    bank's ``Link`` has no such mutex.

    Every hold is a lease of so many seconds, which a daemon thread renews until the hold is
    released. If the process dies, or stands still for too long, the lease runs out and the next one
    enters. With ``renew=False`` there is no such thread and every lease simply runs out, which is
    for looking at what happens then.

    ``owner`` is a name for people, in ``statistics()``; it need not be unique. ``threading`` is the
    module to build on, so that a controlled scheduler can stand in for it.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease: float = LEASE_SECONDS,
        owner: str | None = None,
        renew: bool = True,
        threading: Any = threading,
    ) -> None:
        if not 0.01 <= lease <= scripts.LONGEST_LEASE:
            raise ValueError(
                f"A lease lasts from 0.01 s to {scripts.LONGEST_LEASE:g} s, not {lease!r} s."
            )
        self.lease = lease
        self.owner = f"process {os.getpid()}" if owner is None else owner
        check_owner(self.owner)
        self._redis = redis
        self._threads = threads_of(threading)
        self._leases = Leases(redis, lease, renew=renew, threading=threading, threads=self._threads)
        # Two owners of one name are told apart, and two acquisitions of one thread: what was still
        # on its way for the earlier one cannot touch the later.
        self._instance = f"{self.owner}/{secrets.token_hex(4)}"
        self._number = itertools.count(1)
        self._milliseconds = str(round(lease * 1000))

    def __call__(self, key: str) -> RedisReadWriteLock:
        """The lock at this key, the same lock for all who name the key.

        Raises ValueError for a key with braces that are no hash tag of Redis Cluster.
        """
        _ = self._threads.me  # refuses in a forked child
        if not scripts.is_tagged(key) and set(key) & set("{}"):
            raise ValueError(f"The braces of a key must be a hash tag, unlike those of {key!r}.")
        return RedisReadWriteLock(self, key)

    def close(self) -> None:
        """Ends the renewal. Holds can still be released; new ones are refused (RuntimeError).

        Does nothing in a forked child, where these locks can only be left.
        """
        self._leases.close()


class RedisReadWriteLock(Unique):
    """Lets many threads read together, or one write alone, whichever processes they belong to.

    A hold can be lost, unlike that of a lock in one process: whoever stands still for longer than
    the lease (a stopped process, a long pause of the machine) comes back to find somebody else
    inside. ``check`` tells, and releasing raises ``LeaseLost``; but between a check and the next
    write anything may happen. So what the lock guards must check the fencing token that a write
    grant comes with, in the same step as the change: see ``STILL_HELD``.

    Phase-fair as ``ReadWriteLock`` is: a reader that comes while a writer waits queues behind it;
    after a write all readers that wait enter together, after reads the writer that waits longest.
    Waiters that have died lose their place after a lease. The lock is handed over: the script that
    ends a hold makes the next holder and wakes it. If that message is lost, or a holder dies, a
    waiter finds out by asking again, at the latest when the lease has run out.

    A thread that reads may read again, which its process counts by itself. Raises RuntimeError at
    once, and changes nothing, if a thread releases what it does not hold, writes while it writes,
    writes while it reads, or reads while it writes.

    What the Redis client raises passes through an acquire. A release that does not reach Redis is
    logged and no error: what was guarded is done, and the lease ends by itself.

    Sources: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file
    cache consistency", SOSP 1989; for fencing tokens Burrows, "The Chubby lock service", OSDI 2006
    (there: sequencers); for phase-fairness see ``ReadWriteLock``.
    """

    __slots__ = ("_holds", "_leases", "_locks", "_redis", "_threads", "key")

    def __init__(self, locks: RedisLocks, key: str) -> None:
        self.key = key
        self._locks = locks
        self._redis = locks._redis
        self._leases = locks._leases
        self._holds = locks._leases.holds
        self._threads = locks._threads

    def read(self, timeout: float | None = None) -> ReadLease:
        """Read in a ``with`` block. Raises LockTimeout on entering it, LeaseLost on leaving it."""
        return ReadLease(self, timeout)

    def write(self, timeout: float | None = None) -> WriteLease:
        """Write in a ``with`` block, which yields the fence.

        Raises LockTimeout on entering it, LeaseLost on leaving it.
        """
        return WriteLease(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read; False if that was not possible within ``timeout`` seconds.

        Raises LeaseLost if the thread reads already but has lost that hold.
        """
        place = (self.key, self._threads.me)
        hold = self._holds.get(place)
        if hold is None:
            return self._acquire("read", place, timeout)
        seconds(timeout)
        if hold.mode == "write":
            raise RuntimeError("This thread writes; it must release before it can read.")
        hold.check()
        hold.count += 1
        return True

    @unbroken_start
    def release_read(self) -> None:
        """End one read. Raises LeaseLost, RuntimeError if this thread does not read."""
        self._release("read")

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write; False if that was not possible within ``timeout`` seconds."""
        place = (self.key, self._threads.me)
        hold = self._holds.get(place)
        if hold is None:
            return self._acquire("write", place, timeout)
        seconds(timeout)
        if hold.mode == "write":
            raise RuntimeError("This thread writes already; it cannot write again.")
        raise RuntimeError("This thread reads; it must release before it can write (no upgrade).")

    @unbroken_start
    def release_write(self) -> None:
        """End the write. Raises LeaseLost, RuntimeError if this thread does not write."""
        self._release("write")

    def fence(self) -> Fence:
        """Proof of this thread's write. Raises RuntimeError if it does not write."""
        hold = self._holds.get((self.key, self._threads.me))
        if hold is None or hold.mode != "write":
            raise RuntimeError("This thread has no fence: it does not write.")
        return Fence(self.key, hold.token)

    def check(self) -> None:
        """Raises LeaseLost if this thread's hold was lost, RuntimeError if it has none.

        As far as this process knows: it asks nobody.
        """
        hold = self._holds.get((self.key, self._threads.me))
        if hold is None:
            raise RuntimeError("This thread holds nothing to check.")
        hold.check()

    def statistics(self) -> RedisLockStatistics:
        """Who holds the lock and who waits for it, now, in all processes."""
        _ = self._threads.me  # refuses in a forked child
        now, stored = scripts.look(self._redis, self.key)
        state = json.loads(stored) if stored else {"holders": [], "queue": []}
        holders = _parties(state["holders"], now)
        queue = _parties(state["queue"], now)
        readers = tuple(party.thread for party in holders if party.mode == "read")
        return RedisLockStatistics(
            readers=len(readers),
            writer=next((party.thread for party in holders if party.mode == "write"), None),
            waiting_readers=sum(party.mode == "read" for party in queue),
            waiting_writers=sum(party.mode == "write" for party in queue),
            reader_idents=readers,
            holders=holders,
            queue=queue,
        )

    def _acquire(self, mode: Mode, place: tuple[str, Holder], timeout: float | None) -> bool:
        limit = FOREVER if timeout is None else seconds(timeout)
        locks = self._locks
        if self._leases.needs_thread:
            self._leases.start_thread()
        id = f"{locks._instance}/{place[1].ident}/{next(locks._number)}"
        asked = time.monotonic()
        waits = "1" if limit else "0"
        try:
            answer = scripts.ask(self._redis, self.key, id, mode, locks._milliseconds, waits)
            if isinstance(answer, int) and limit:
                answer, asked = self._wait(id, mode, asked, answer, limit)
            if answer is None or isinstance(answer, int):
                return False
            self._holds[place] = Hold(id, mode, int(answer), asked, locks.lease)
            return True
        except BaseException as error:
            self._holds.pop(place, None)  # so that nothing is renewed, whatever else happens
            if not isinstance(error, Exception):  # KeyboardInterrupt, most likely
                self._give_up(id)
            # Else Redis does not answer: the place in the queue, or the lease, ends by itself.
            raise

    def _wait(
        self, id: str, mode: Mode, asked: float, answer: Any, limit: float
    ) -> tuple[Any, float]:
        """The token, or None once the time is up, and when the lease was asked for at the latest.

        A grant that comes while it waits was made after it last asked.
        """
        redis, lease, milliseconds = self._redis, self._locks.lease, self._locks._milliseconds
        end = math.inf if limit == FOREVER else asked + limit
        wake_list = scripts.wake_list(self.key, id)
        longest = min(lease / 3, LONGEST_BLOCK)
        failed = False
        while isinstance(answer, int):
            left = end - time.monotonic()
            if left <= 0:
                return scripts.leave(redis, self.key, id), asked
            # Rounded up, for 0 would block for ever; and a lease is over only after its last ms.
            block = math.ceil(min(left, longest, (answer + 1) / 1000) * 1000) / 1000
            message = None
            try:
                message = redis.execute_command("BLPOP", wake_list, str(block))
                failed = False
            except Exception:
                # Perhaps only this connection is lost, and a message with it. Asking will tell.
                if failed:
                    raise
                failed = True
            if message is not None and time.monotonic() < asked + lease:
                return message[1], asked
            asked = time.monotonic()
            answer = scripts.ask(redis, self.key, id, mode, milliseconds, "1")
        return answer, asked

    @unbroken_start
    def _give_up(self, id: str) -> None:
        """End the wait or the hold, after an interrupt that came before its end was known."""
        try:
            if scripts.leave(self._redis, self.key, id) is not None:
                scripts.release(self._redis, self.key, id)
        except Exception as error:
            log.warning("Redis was not told that %s was given up: %s", self.key, error)

    @unbroken_start
    def _release(self, mode: Mode) -> None:
        place = (self.key, self._threads.me)
        holds = self._holds
        # No call down to the `del`: an interrupt would leave a hold that is renewed for ever.
        if place not in holds or holds[place].mode != mode:
            raise RuntimeError(f"This thread cannot end a {mode}: it does not {mode}.")
        hold = holds[place]
        if hold.count > 1:
            hold.count -= 1
            return
        del holds[place]  # first, or a renewal that comes too late would take it for lost
        released = 0
        if not hold.is_lost:
            try:
                released = scripts.release(self._redis, self.key, hold.id)
            except Exception as error:
                log.warning("%s was not released and stays held for its lease: %s", self.key, error)
                return
            except BaseException:
                self._give_up(hold.id)
                raise
        if not released:
            hold.is_lost = True
            hold.check()


def _parties(entries: Any, now: int) -> tuple[Party, ...]:
    """Lua writes an empty list as `{}`."""
    found = []
    for entry in entries or ():
        if now <= entry["expires"] <= now + scripts.LONGEST_LEASE * 1000:
            owner, _, thread, _ = entry["id"].rsplit("/", 3)
            token = int(entry["token"]) if "token" in entry else None
            left = (entry["expires"] - now) / 1000
            found.append(Party(owner, int(thread), entry["mode"], token, left))
    return tuple(found)


class ReadLease(ReadGuard):
    """Reads while its ``with`` block runs."""

    __slots__ = ()

    @unbroken_start
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._lock.release_read()
        except LeaseLost:
            if error is None:
                raise
        except Inherited:
            return


class WriteLease(WriteGuard):
    """Writes while its ``with`` block runs, and yields the fence."""

    __slots__ = ()

    _lock: RedisReadWriteLock

    def __enter__(self) -> Fence:
        super().__enter__()
        try:
            return self._lock.fence()
        except BaseException:  # an interrupt
            self.__exit__(*sys.exc_info())
            raise

    @unbroken_start
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._lock.release_write()
        except LeaseLost:
            if error is None:
                raise
        except Inherited:
            return
