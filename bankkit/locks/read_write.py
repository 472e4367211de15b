"""The read–write lock: many readers or one writer."""

import threading
from collections import deque
from typing import Any

from .guards import ReadGuard, WriteGuard
from .protocol import FOREVER, LockStatistics, seconds

POLICIES = ("fair", "readers", "writers")

_Waiter = tuple[int, Any]  # the ident of a thread, and the gate (a Lock) at which it waits


class ReadWriteLock:
    """Lets many threads read together, or one write alone.

    Use it where reads outnumber writes and a hold is long enough (a round trip to a database, not
    an addition) to be worth sharing. Who enters when both kinds wait is the policy's choice:

    ``fair`` (default)
        Phase-fair: reads and writes take turns. After a write all readers that wait at that moment
        enter together, after them the writer that waits longest. A reader that comes while a writer
        waits queues behind it, unless the readers let in by a write are still waking up: until the
        first of them runs, it joins them. So a reader waits for at most one read phase and one
        write, and a writer for the writers before it and one read phase each: nobody starves.
    ``readers``
        A reader enters whenever nobody writes. Readers that overlap without a gap starve writers.
    ``writers``
        A writer goes before every reader that waits. Writers without a gap starve readers.

    A thread that reads may read again, past a waiting writer too (otherwise it would wait for a
    writer that waits for it); it releases as often as it acquired.

    Raises RuntimeError at once, and changes nothing, if a thread releases what it does not hold,
    writes while it writes, writes while it reads (two readers that both want to upgrade would wait
    for each other), or reads while it writes.

    A thread that gives up, by its timeout or by KeyboardInterrupt, leaves the queue without a
    trace; if only it stood in the way of others, they enter at once.

    Everything is built from ``threading.Lock`` and ``threading.get_ident``, taken from the module
    given as ``threading``, so that a controlled scheduler can stand in for it.

    Sources: Courtois, Heymans and Parnas, "Concurrent control with readers and writers", CACM 14
    (1971), for the two preferences; Brandenburg and Anderson, "Spin-based reader-writer
    synchronization for multiprocessor real-time systems", Real-Time Systems 46 (2010), for
    phase-fairness.
    """

    # One mutex guards all state below and is never held while waiting. A thread that cannot enter
    # puts (its ident, a closed gate) into a queue and waits at the gate. Whoever lets it in takes
    # it out of the queue, records it as a holder and opens the gate, all under the mutex: the lock
    # is handed over, never up for grabs. Hence, whenever the mutex is free:
    #   - a waiter is in its queue, or it holds the lock and its gate is open;
    #   - if nobody holds the lock, nobody waits;
    #   - readers wait only while a writer holds or (unless the policy is "readers") waits;
    #   - a read phase is open only if it followed a write and none of its readers has run or left.
    # The open phase is worth having because a thread that ends a write and comes back to read would
    # else miss by microseconds the phase that it began, and idle through it and the next write.
    #
    # The four operations acquire and release the mutex by hand, because "with" would cost them
    # twice as much. A KeyboardInterrupt in the few bytecodes between is the price; in a wait, where
    # interrupts happen, it is taken care of.
    __slots__ = (
        "_get_ident",
        "_mutex",
        "_new_gate",
        "_opens_phases",
        "_phase_open",
        "_readers",
        "_readers_first",
        "_readers_pass",
        "_waiting_readers",
        "_waiting_writers",
        "_writer",
        "policy",
    )

    def __init__(self, policy: str = "fair", threading: Any = threading) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}.")
        self.policy = policy
        self._readers_pass = policy == "readers"  # past a waiting writer
        self._readers_first = policy != "writers"  # after a write
        self._opens_phases = (
            policy == "fair"
        )  # the read phase after a write, for who comes just then
        self._new_gate = threading.Lock
        self._get_ident = threading.get_ident
        self._mutex = threading.Lock()
        self._readers: dict[int, int] = {}  # ident -> how often it reads
        self._writer: int | None = None
        self._phase_open = False
        self._waiting_readers: deque[_Waiter] = deque()
        self._waiting_writers: deque[_Waiter] = deque()

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block. Raises LockTimeout on entering it, RuntimeError on misuse."""
        return ReadGuard(self, timeout)

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block. Raises LockTimeout on entering it, RuntimeError on misuse."""
        return WriteGuard(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read; False if that was not possible within ``timeout`` seconds."""
        limit = FOREVER if timeout is None else seconds(timeout)
        me = self._get_ident()
        waiter: _Waiter | None = None
        try:
            self._mutex.acquire()
            try:
                readers = self._readers
                if me in readers:
                    readers[me] += 1
                    return True
                if self._writer is None and (
                    not self._waiting_writers or self._readers_pass or self._phase_open
                ):
                    readers[me] = 1
                    return True
                if self._writer == me:
                    raise RuntimeError("This thread writes; it must release before it can read.")
                if limit == 0:
                    return False
                waiter = (me, self._closed_gate())
                self._waiting_readers.append(waiter)
            finally:
                self._mutex.release()
            if waiter[1].acquire(True, limit):
                # Set before this gate was opened: seen closed here, it has been closed by another.
                if self._phase_open:
                    with self._mutex:
                        self._phase_open = False
                return True
        except BaseException:
            # KeyboardInterrupt, most likely, and perhaps just after the gate was opened.
            if waiter and not self._withdraw(waiter, self._waiting_readers):
                self.release_read()
            raise
        return not self._withdraw(waiter, self._waiting_readers)

    def release_read(self) -> None:
        """End one read. Raises RuntimeError if this thread does not read."""
        me = self._get_ident()
        self._mutex.acquire()
        try:
            readers = self._readers
            if me not in readers:
                raise RuntimeError("This thread cannot end a read: it does not read.")
            if readers[me] > 1:
                readers[me] -= 1
                return
            del readers[me]
            self._phase_open = False
            if self._waiting_writers and not readers:
                self._admit_writer()
        finally:
            self._mutex.release()

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write; False if that was not possible within ``timeout`` seconds."""
        limit = FOREVER if timeout is None else seconds(timeout)
        me = self._get_ident()
        waiter: _Waiter | None = None
        try:
            self._mutex.acquire()
            try:
                if self._writer is None and not self._readers:
                    self._writer = me
                    return True
                if self._writer == me:
                    raise RuntimeError("This thread writes already; it cannot write again.")
                if me in self._readers:
                    raise RuntimeError(
                        "This thread reads; it must release before it can write (no upgrade)."
                    )
                if limit == 0:
                    return False
                waiter = (me, self._closed_gate())
                self._waiting_writers.append(waiter)
            finally:
                self._mutex.release()
            if waiter[1].acquire(True, limit):
                return True
        except BaseException:
            if waiter and not self._withdraw(waiter, self._waiting_writers):
                self.release_write()
            raise
        return not self._withdraw(waiter, self._waiting_writers)

    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""
        me = self._get_ident()
        self._mutex.acquire()
        try:
            if self._writer != me:
                raise RuntimeError("This thread cannot end a write: it does not write.")
            self._writer = None
            if self._waiting_readers and (self._readers_first or not self._waiting_writers):
                self._phase_open = self._opens_phases
                self._admit_readers()
            elif self._waiting_writers:
                self._admit_writer()
        finally:
            self._mutex.release()

    def statistics(self) -> LockStatistics:
        """Who holds the lock and how many wait for it, now."""
        with self._mutex:
            return LockStatistics(
                readers=len(self._readers),
                writer=self._writer,
                waiting_readers=len(self._waiting_readers),
                waiting_writers=len(self._waiting_writers),
                reader_idents=tuple(self._readers),
            )

    # Below, the caller holds the mutex, but for _withdraw, which takes it.

    def _closed_gate(self) -> Any:
        gate = self._new_gate()
        gate.acquire()
        return gate

    def _admit_readers(self) -> None:
        for ident, gate in self._waiting_readers:
            self._readers[ident] = 1
            gate.release()
        self._waiting_readers.clear()

    def _admit_writer(self) -> None:
        self._writer, gate = self._waiting_writers.popleft()
        gate.release()

    def _withdraw(self, waiter: _Waiter, queue: deque[_Waiter]) -> bool:
        """Leave the queue; False if it is too late for that, because the lock was handed over."""
        with self._mutex:
            if waiter not in queue:
                return False
            queue.remove(waiter)
            if self._writer is None and not self._waiting_writers:
                # Perhaps this writer alone kept readers from joining those that read now.
                self._admit_readers()
            return True
