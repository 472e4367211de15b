"""The read–write lock: many readers or one writer."""

import threading
from collections import deque
from typing import Any

from bankkit.runtime.pickling import Unique

from .guards import ReadGuard, WriteGuard
from .holders import Holder, threads_of
from .interrupts import give_back, unbroken_start
from .protocol import FOREVER, LockStatistics, seconds

POLICIES = ("fair", "readers", "writers")

_new = object.__new__  # calling a class that has an `__init__` takes 1.5 times as long
_Waiter = tuple[Holder, Any]  # a thread, and its gate: the Lock at which it waits


class ReadWriteLock(Unique):
    """Lets many threads read together, or one thread write alone.

    Use it where reads outnumber writes and threads hold the lock long enough to make sharing worth
    it (a round trip to a database, not an addition). If readers and writers wait, the policy
    decides which of them enter first:

    ``fair`` (default)
        Phase-fair: reads and writes take turns. After a write, all readers that wait at that moment
        enter together; after them, the writer that has waited longest. A reader that arrives while
        a writer waits queues behind it. There is one exception: a reader that arrives after a
        write, before the first of the admitted readers runs, joins them. So a reader waits for at
        most one read phase and one write, and a writer for the writers before it and one read phase
        each. No thread starves.
    ``readers``
        A reader enters whenever no thread writes. Readers that overlap without a gap starve
        writers.
    ``writers``
        A writer goes before every waiting reader. Writers without a gap starve readers.

    A thread that reads may read again, even while a writer waits: otherwise the reader would wait
    for a writer that waits for it. It must release as often as it acquired.

    Raises RuntimeError at once, and changes nothing, if a thread releases what it does not hold,
    writes while it writes, writes while it reads (two readers that both upgrade would wait for each
    other), or reads while it writes.

    A thread that times out or gets a KeyboardInterrupt leaves the queue without a trace. If it
    alone kept other threads waiting, they enter at once.

    The lock uses only ``Lock``, ``RLock`` and ``get_ident`` of the module given as ``threading``,
    so that a controlled scheduler can stand in for it.

    Sources: Courtois, Heymans and Parnas, "Concurrent control with readers and writers", CACM 14
    (1971), for the two preferences; Brandenburg and Anderson, "Spin-based reader-writer
    synchronization for multiprocessor real-time systems", Real-Time Systems 46 (2010), for
    phase-fairness.
    """

    # One mutex guards all state below. No thread holds it while it waits at a gate. A thread that
    # cannot enter puts (itself, a closed gate) into a queue and waits at the gate. The thread that
    # admits it removes it from the queue, records it as a holder and opens the gate, all under the
    # mutex: the lock is handed over, so that no third thread can take it in between. Hence,
    # whenever the mutex is free:
    #   - a waiter is in its queue, or it holds the lock and its gate is open;
    #   - if no thread holds the lock, no thread waits;
    #   - readers wait only while a writer holds or (unless the policy is "readers") waits;
    #   - a read phase is open only if it followed a write and none of its readers has run or left.
    # The open phase is for a thread that ends a write and then reads. Without it, this thread would
    # miss the phase that it began by microseconds, and wait for that phase and the next write.
    #
    # The four operations acquire and release the mutex by hand, because "with" would make them
    # take twice as long. An interrupt anywhere in them does no harm: see `interrupts`.
    __slots__ = (
        "_mutex",
        "_new_gate",
        "_opens_phases",
        "_phase_open",
        "_readers",
        "_readers_first",
        "_readers_pass",
        "_threads",
        "_waiting_readers",
        "_waiting_writers",
        "_writer",
        "policy",
    )

    def __init__(self, policy: str = "fair", threading: Any = threading) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}.")
        self.policy = policy
        self._readers_pass = policy == "readers"  # a reader passes waiting writers
        self._readers_first = policy != "writers"  # readers go first after a write
        self._opens_phases = policy == "fair"  # new readers may join the phase after a write
        self._new_gate = threading.Lock
        self._threads = threads_of(threading)
        self._mutex = threading.RLock()
        self._readers: dict[Holder, int] = {}  # thread → number of its reads
        self._writer: Holder | None = None
        self._phase_open = False
        self._waiting_readers: deque[_Waiter] = deque()
        self._waiting_writers: deque[_Waiter] = deque()

    def read(self, timeout: float | None = None) -> ReadGuard:
        """Read in a ``with`` block. Entering raises LockTimeout, or RuntimeError on misuse."""
        guard = _new(ReadGuard)
        guard._lock, guard._timeout = self, timeout
        return guard

    def write(self, timeout: float | None = None) -> WriteGuard:
        """Write in a ``with`` block. Entering raises LockTimeout, or RuntimeError on misuse."""
        guard = _new(WriteGuard)
        guard._lock, guard._timeout = self, timeout
        return guard

    def acquire_read(self, timeout: float | None = None) -> bool:
        """Begin to read. Returns False after ``timeout`` seconds without the lock."""
        limit = FOREVER if timeout is None else seconds(timeout)
        me = self._threads.me
        mutex = self._mutex
        entered = False
        waiter: _Waiter | None = None
        try:
            mutex.acquire()
            readers = self._readers
            if me in readers:
                readers[me] += 1
                entered = True
            elif self._writer is None and (
                not self._waiting_writers or self._readers_pass or self._phase_open
            ):
                readers[me] = 1
                entered = True
            elif self._writer is me:
                raise RuntimeError("This thread writes: it must release before it can read.")
            elif limit:
                waiter = (me, self._closed_gate())
                self._waiting_readers.append(waiter)
            mutex.release()
            if entered or waiter is None:
                return entered
            if not waiter[1].acquire(True, limit):
                return not self._withdraw(waiter, self._waiting_readers)
            with mutex:  # the phase was opened before this gate; the first reader closes it
                self._phase_open = False
            return True
        except BaseException:
            # This is most likely a KeyboardInterrupt. The gate may have been opened just before.
            give_back(mutex)
            if entered or (waiter and self._was_admitted(waiter, self._waiting_readers)):
                self.release_read()
            raise

    @unbroken_start
    def release_read(self) -> None:
        """End one read. Raises RuntimeError if this thread does not read."""
        me = self._threads.me
        mutex = self._mutex
        begun = False
        try:
            mutex.acquire()
            readers = self._readers
            if me not in readers:
                raise RuntimeError("This thread cannot end a read: it does not read.")
            begun = True
            if readers[me] > 1:
                readers[me] -= 1
            else:
                del readers[me]
                self._phase_open = False
                if self._waiting_writers and not readers:
                    self._admit_writer()
            mutex.release()
        except BaseException:
            give_back(mutex)
            if not begun and me in self._readers:
                with mutex:
                    self._end_read(me)
            raise

    def acquire_write(self, timeout: float | None = None) -> bool:
        """Begin to write. Returns False after ``timeout`` seconds without the lock."""
        limit = FOREVER if timeout is None else seconds(timeout)
        me = self._threads.me
        mutex = self._mutex
        entered = False
        waiter: _Waiter | None = None
        try:
            mutex.acquire()
            if self._writer is None and not self._readers:
                self._writer = me
                entered = True
                mutex.release()
                return True
            if self._writer is me:
                raise RuntimeError("This thread already writes: it cannot write again.")
            if me in self._readers:
                raise RuntimeError(
                    "This thread reads: it must release before it can write (no upgrade)."
                )
            if limit:
                waiter = (me, self._closed_gate())
                self._waiting_writers.append(waiter)
            mutex.release()
            if waiter is None:
                return False
            if waiter[1].acquire(True, limit):
                return True
            return not self._withdraw(waiter, self._waiting_writers)
        except BaseException:
            give_back(mutex)
            if entered or (waiter and self._was_admitted(waiter, self._waiting_writers)):
                self.release_write()
            raise

    @unbroken_start
    def release_write(self) -> None:
        """End the write. Raises RuntimeError if this thread does not write."""
        me = self._threads.me
        mutex = self._mutex
        try:
            mutex.acquire()
            if self._writer is not me:
                raise RuntimeError("This thread cannot end a write: it does not write.")
            self._writer = None
            if self._waiting_readers or self._waiting_writers:
                self._after_write()
            mutex.release()
        except BaseException:
            give_back(mutex)
            if self._writer is me:
                with mutex:
                    self._writer = None
                    self._after_write()
            raise

    def statistics(self) -> LockStatistics:
        """The present holders and the number of waiters."""
        _ = self._threads.me  # raises in a forked child, where the mutex may stay locked forever
        try:
            with self._mutex:
                writer = self._writer
                return LockStatistics(
                    readers=len(self._readers),
                    writer=writer.ident if writer else None,
                    waiting_readers=len(self._waiting_readers),
                    waiting_writers=len(self._waiting_writers),
                    reader_idents=tuple(reader.ident for reader in self._readers),
                )
        except BaseException:
            give_back(self._mutex)
            raise

    # The caller of the methods below holds the mutex. Only _withdraw and _was_admitted take it
    # themselves.

    @unbroken_start
    def _end_read(self, me: Holder) -> None:
        """Finish a `release_read` that was interrupted while it waited for the mutex."""
        readers = self._readers
        readers[me] -= 1
        if not readers[me]:
            del readers[me]
            self._phase_open = False
            if self._waiting_writers and not readers:
                self._admit_writer()

    @unbroken_start
    def _after_write(self) -> None:
        if self._waiting_readers and (self._readers_first or not self._waiting_writers):
            self._phase_open = self._opens_phases
            self._admit_readers()
        elif self._waiting_writers:
            self._admit_writer()

    def _closed_gate(self) -> Any:
        gate = self._new_gate()
        gate.acquire()
        return gate

    @unbroken_start
    def _admit_readers(self) -> None:
        waiting = self._waiting_readers
        try:
            while waiting:
                reader, gate = waiting[0]
                self._readers[reader] = 1
                del waiting[0]
                gate.release()
        except BaseException:
            while waiting:
                reader, gate = waiting[0]
                self._readers[reader] = 1
                del waiting[0]
                gate.release()
            raise

    @unbroken_start
    def _admit_writer(self) -> None:
        self._writer, gate = self._waiting_writers[0]
        del self._waiting_writers[0]
        gate.release()

    @unbroken_start
    def _withdraw(self, waiter: _Waiter, queue: deque[_Waiter]) -> bool:
        """Leave the queue. Returns False if the lock was already handed to this waiter."""
        with self._mutex:
            if waiter not in queue:
                return False
            try:
                queue.remove(waiter)
            finally:
                if self._writer is None and not self._waiting_writers:
                    # This writer alone may have kept waiting readers from joining the present ones.
                    self._admit_readers()
            return True

    @unbroken_start
    def _was_admitted(self, waiter: _Waiter, queue: deque[_Waiter]) -> bool:
        """Leave the queue after an interrupt. Returns True if the waiter already has the lock."""
        self._withdraw(waiter, queue)
        return waiter[0] is self._writer or waiter[0] in self._readers
