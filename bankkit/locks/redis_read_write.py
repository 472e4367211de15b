"""The read–write lock that many processes share, kept in Redis: many readers or one writer."""

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

from . import redis_handover as scripts
from .guards import ReadGuard, WriteGuard
from .holders import Holder, Inherited, threads_of
from .interrupts import unbroken_start
from .lua import Redis
from .protocol import FOREVER, Fence, LeaseLost, LockStatistics, seconds
from .redis_leases import Hold, Leases

log = logging.getLogger("bankkit")

Mode = Literal["read", "write"]

LEASE_SECONDS = 3.0
"""Seconds. The default lease: how long others wait for a holder that has died."""

LONGEST_BLOCK = 1.0
"""Seconds. A longer wait is split into parts, each shorter than a client's timeout."""


@dataclass(frozen=True, slots=True)
class Party:
    """A holder of a Redis lock, or a waiter."""

    owner: str
    thread: int
    """Ident of the thread, which is meaningful only in the owner's process."""
    mode: Mode
    token: int | None
    """The fencing token; None for a waiter."""
    seconds_left: float
    """Seconds until the lease or the place in the queue expires, unless it is renewed."""


@dataclass(frozen=True, slots=True)
class RedisLockStatistics(LockStatistics):
    """A consistent snapshot of a Redis lock, with the holders and waiters of all processes."""

    holders: tuple[Party, ...] = ()
    """The holders in the order they entered."""
    queue: tuple[Party, ...] = ()
    """The waiters in the order they arrived."""


def check_owner(owner: object) -> None:
    """Raises ValueError unless `owner` is a printable name without quotes or backslashes."""
    if not isinstance(owner, str) or set(owner) & set('"\\') or not owner.isprintable():
        raise ValueError(
            f"An owner must be a printable name without quotes or backslashes, not {owner!r}."
        )


class RedisLocks(Unique):
    """The Redis locks of one owner: call it with a key to get the lock of that key.

    ``redis`` is any object with ``execute_command(*command)`` that many threads may use, that sends
    each command once, and that waits more than a second for an answer. Its errors are passed on.
    Each waiter blocks a connection. redis-py's own client is good enough where nobody presses
    Interrupt: since Python 3.14 an interrupt may leave the mutex of its pool locked, and then every
    command hangs. The bank's ``Link`` has no such mutex.

    A thread holds a lock for ``lease`` seconds, and a daemon thread renews this lease until the
    lock is released. If the process dies or stops for too long, the lease runs out and the next
    waiter enters. With ``renew=False`` there is no daemon thread: every lease runs out, which shows
    what happens then.

    ``owner`` is a name that people read in ``statistics()``; it need not be unique. ``threading``
    is the module to build on, so that a controlled scheduler can stand in for it. Raises ValueError
    for a bad lease or owner.
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
                f"A lease must be from 0.01 s to {scripts.LONGEST_LEASE:g} s, not {lease!r} s."
            )
        self.lease = lease
        self.owner = f"process {os.getpid()}" if owner is None else owner
        check_owner(self.owner)
        self._redis = redis
        self._threads = threads_of(threading)
        self._leases = Leases(redis, lease, renew=renew, threading=threading, threads=self._threads)
        # The random suffix and the number distinguish two owners with one name, and two
        # acquisitions by one thread: a late command for an earlier one cannot affect a later one.
        self._instance = f"{self.owner}/{secrets.token_hex(4)}"
        self._number = itertools.count(1)
        self._milliseconds = str(round(lease * 1000))

    def __call__(self, key: str) -> RedisReadWriteLock:
        """The lock at this key; all owners that name the key share it.

        Raises ValueError if the key has braces that do not form a hash tag of Redis Cluster.
        """
        _ = self._threads.me  # raises in a forked child
        if not scripts.is_tagged(key) and set(key) & set("{}"):
            raise ValueError(
                f"Braces in a key must form a hash tag, as in 'bank:{{alice}}:lock', not {key!r}."
            )
        return RedisReadWriteLock(self, key)

    def close(self) -> None:
        """Stop renewing leases. Held locks can still be released; acquiring raises RuntimeError.

        Does nothing in a forked child.
        """
        self._leases.close()


class RedisReadWriteLock(Unique):
    """Lets many threads of any processes read together, or one thread write alone.

    Unlike a lock inside one process, this lock can be lost. A holder that stops for longer than the
    lease (a stopped process, a long pause of the machine) may find another holder inside when it
    continues. ``check`` and the release then raise ``LeaseLost``. But between a check and the next
    write the lease may run out. So the store must check the fencing token of the writer in the same
    step as the change: see ``STILL_HELD``.

    It is phase-fair like ``ReadWriteLock``. A reader that arrives while a writer waits queues
    behind it. After a write, all waiting readers enter together; after them, the writer that has
    waited longest. A waiter that has died loses its place after a lease. The lock is handed over:
    a script in `redis_handover` chooses the next holder and wakes it. If that message is lost, or a
    holder dies, a waiter finds out when it asks again, at the latest when the lease has run out.

    A thread that reads may read again; only its own process counts this. Raises RuntimeError at
    once, and changes nothing, if a thread releases what it does not hold, writes while it writes,
    writes while it reads, or reads while it writes.

    Errors of the Redis client pass through an acquire. A release that does not reach Redis is
    logged and raises nothing: the guarded work is done, and the lease will run out.

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
        """Read in a ``with`` block. Entering may raise LockTimeout, and leaving LeaseLost."""
        return ReadLease(self, timeout)

    def write(self, timeout: float | None = None) -> WriteLease:
        """Write in a ``with`` block, which yields the fence.

        Entering may raise LockTimeout, and leaving LeaseLost.
        """
        return WriteLease(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read. Returns False after ``timeout`` seconds without the lock.

        Raises LeaseLost if the thread already reads but has lost its lease.
        """
        place = (self.key, self._threads.me)
        hold = self._holds.get(place)
        if hold is None:
            return self._acquire("read", place, timeout)
        seconds(timeout)
        if hold.mode == "write":
            raise RuntimeError("This thread writes: it must release before it can read.")
        hold.check()
        hold.count += 1
        return True

    @unbroken_start
    def release_read(self) -> None:
        """End one read. Raises LeaseLost, or RuntimeError if this thread does not read."""
        self._release("read")

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write. Returns False after ``timeout`` seconds without the lock."""
        place = (self.key, self._threads.me)
        hold = self._holds.get(place)
        if hold is None:
            return self._acquire("write", place, timeout)
        seconds(timeout)
        if hold.mode == "write":
            raise RuntimeError("This thread already writes: it cannot write again.")
        raise RuntimeError("This thread reads: it must release before it can write (no upgrade).")

    @unbroken_start
    def release_write(self) -> None:
        """End the write. Raises LeaseLost, or RuntimeError if this thread does not write."""
        self._release("write")

    def fence(self) -> Fence:
        """The fence of this thread's write. Raises RuntimeError if it does not write."""
        hold = self._holds.get((self.key, self._threads.me))
        if hold is None or hold.mode != "write":
            raise RuntimeError("This thread has no fence: it does not write.")
        return Fence(self.key, hold.token)

    def check(self) -> None:
        """Raises LeaseLost if this thread's lease was lost, RuntimeError if it holds none.

        It reports what this process knows and does not ask Redis.
        """
        hold = self._holds.get((self.key, self._threads.me))
        if hold is None:
            raise RuntimeError("This thread does not hold the lock: there is nothing to check.")
        hold.check()

    def statistics(self) -> RedisLockStatistics:
        """The present holders and waiters of all processes."""
        _ = self._threads.me  # raises in a forked child
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
            self._holds.pop(place, None)  # first: the daemon thread must not renew it
            if not isinstance(error, Exception):  # most likely a KeyboardInterrupt
                self._give_up(id)
            # Otherwise Redis does not answer: the place in the queue, or the lease, will expire.
            raise

    def _wait(
        self, id: str, mode: Mode, asked: float, answer: Any, limit: float
    ) -> tuple[Any, float]:
        """Wait in the queue. Returns the token, or None after a timeout, and the lease's start.

        The start is the time of the latest request. A grant that arrives during the wait was made
        after that, so the lease never ends earlier than this process believes.
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
            # We round up, because 0 would block forever. We add 1 ms, because a lease ends only
            # after its last millisecond.
            block = math.ceil(min(left, longest, (answer + 1) / 1000) * 1000) / 1000
            message = None
            try:
                message = redis.execute_command("BLPOP", wake_list, str(block))
                failed = False
            except Exception:
                # Perhaps only this connection is lost, and a message with it: we ask Redis again.
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
        """Leave the queue or release the lock, after an interrupt before the outcome was known."""
        try:
            if scripts.leave(self._redis, self.key, id) is not None:
                scripts.release(self._redis, self.key, id)
        except Exception as error:
            log.warning("After an interrupt, %s was not released in Redis: %s", self.key, error)

    @unbroken_start
    def _release(self, mode: Mode) -> None:
        place = (self.key, self._threads.me)
        holds = self._holds
        # There is no call from here to the `del`: an interrupt would leave a hold that is renewed
        # forever.
        if place not in holds or holds[place].mode != mode:
            raise RuntimeError(f"This thread cannot end a {mode}: it does not {mode}.")
        hold = holds[place]
        if hold.count > 1:
            hold.count -= 1
            return
        del holds[place]  # first: a renewal that comes too late would mark it as lost
        released = 0
        if not hold.is_lost:
            try:
                released = scripts.release(self._redis, self.key, hold.id)
            except Exception as error:
                log.warning(
                    "%s was not released and stays held until its lease runs out: %s",
                    self.key,
                    error,
                )
                return
            except BaseException:
                self._give_up(hold.id)
                raise
        if not released:
            hold.is_lost = True
            hold.check()


def _parties(entries: Any, now: int) -> tuple[Party, ...]:
    """The entries that have not expired. Lua writes an empty list as `{}`."""
    found = []
    for entry in entries or ():
        if now <= entry["expires"] <= now + scripts.LONGEST_LEASE * 1000:
            owner, _, thread, _ = entry["id"].rsplit("/", 3)
            token = int(entry["token"]) if "token" in entry else None
            left = (entry["expires"] - now) / 1000
            found.append(Party(owner, int(thread), entry["mode"], token, left))
    return tuple(found)


class ReadLease(ReadGuard):
    """Holds a Redis lock for reading while its ``with`` block runs."""

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
    """Holds a Redis lock for writing while its ``with`` block runs, and yields the fence."""

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
