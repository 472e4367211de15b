"""The read–write lock: the order of entry under each policy, and how waiters leave."""

import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bankkit.locks import POLICIES, LockStatistics, ReadWriteLock
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, Worker, workers

EACH_POLICY = pytest.mark.parametrize("policy", POLICIES)


def waits(lock: ReadWriteLock, readers: int, writers: int) -> None:
    """Return when exactly this many threads wait."""
    eventually(
        lambda: (
            (lock.statistics().waiting_readers, lock.statistics().waiting_writers)
            == (readers, writers)
        )
    )


@pytest.mark.parametrize("policy", ["", "Fair", "writer", None, 3])
def test_an_unknown_policy_is_refused_with_the_list_of_policies(policy: Any) -> None:
    with pytest.raises(ValueError, match="one of fair, readers, writers"):
        ReadWriteLock(policy)


@EACH_POLICY
def test_readers_are_inside_together(policy: str) -> None:
    lock, together = ReadWriteLock(policy), threading.Barrier(6)

    def read() -> int:
        with lock.read():
            return together.wait(PATIENCE)  # passes only if all six read at once

    with workers(6) as team:
        for done in [worker.ask(read) for worker in team]:
            done.result(PATIENCE)


@EACH_POLICY
def test_the_policy_decides_who_enters_after_a_write(policy: str) -> None:
    lock = ReadWriteLock(policy)
    with workers(5) as (first, w1, w2, r1, r2):
        first.do(lock.acquire_write)
        asked: dict[str, Future[bool]] = {}
        for name, worker, writers, readers in (
            ("w1", w1, 1, 0),
            ("r1", r1, 1, 1),
            ("w2", w2, 2, 1),
            ("r2", r2, 2, 2),
        ):
            call = lock.acquire_write if name.startswith("w") else lock.acquire_read
            asked[name] = worker.ask(call)
            waits(lock, readers, writers)

        # The release hands the lock over, so we can see at once who has it.
        order = []
        first.do(lock.release_write)
        while (now := lock.statistics()) != LockStatistics(0, None, 0, 0):
            if now.writer is not None:
                name, worker = ("w1", w1) if now.writer == w1.ident else ("w2", w2)
                assert asked[name].result(PATIENCE)
                order.append(name)
                worker.do(lock.release_write)
            else:
                assert set(now.reader_idents) == {r1.ident, r2.ident}
                order.append("r1 r2")
                for worker, name in ((r1, "r1"), (r2, "r2")):
                    assert asked[name].result(PATIENCE)
                    worker.do(lock.release_read)
        assert (
            order
            == {
                "fair": ["r1 r2", "w1", "w2"],
                "readers": ["r1 r2", "w1", "w2"],
                "writers": ["w1", "w2", "r1 r2"],
            }[policy]
        )


def test_fair_reads_and_writes_take_turns() -> None:
    lock = ReadWriteLock("fair")
    with workers(4) as (r1, r2, w1, w2):
        r1.do(lock.acquire_read)
        first, second = w1.ask(lock.acquire_write), None
        waits(lock, 0, 1)
        second = w2.ask(lock.acquire_write)
        waits(lock, 0, 2)
        late = r2.ask(lock.acquire_read)
        waits(lock, 1, 2)  # it queues, although only readers hold the lock
        r1.do(lock.release_read)
        assert first.result(PATIENCE)
        w1.do(lock.release_write)
        assert late.result(PATIENCE)  # before the second writer, which came earlier
        assert not second.done()
        assert r1.do(lock.acquire_read, 0) is False  # no reader joins while a writer waits
        r2.do(lock.release_read)
        assert second.result(PATIENCE)
        w2.do(lock.release_write)


@pytest.mark.parametrize(("policy", "starves"), [("readers", True), ("fair", False)])
def test_overlapping_readers_starve_a_writer(policy: str, starves: bool) -> None:
    lock, rounds = ReadWriteLock(policy), 100
    with workers(3) as (inside, outside, writer):
        inside.do(lock.acquire_read)
        granted = writer.ask(lock.acquire_write)
        waits(lock, 0, 1)
        reads = 0
        while reads < rounds and outside.do(lock.acquire_read, 0):
            inside.do(lock.release_read)
            inside, outside = outside, inside
            reads += 1
        assert reads == (rounds if starves else 0)
        assert not granted.done()
        inside.do(lock.release_read)
        assert granted.result(PATIENCE)
        writer.do(lock.release_write)


@pytest.mark.parametrize(("policy", "starves"), [("writers", True), ("fair", False)])
def test_writers_without_a_gap_starve_a_reader(policy: str, starves: bool) -> None:
    lock, rounds = ReadWriteLock(policy), 100
    with workers(3) as (inside, outside, reader):
        inside.do(lock.acquire_write)
        granted = reader.ask(lock.acquire_read)
        waits(lock, 1, 0)
        writes = 0
        next_write = outside.ask(lock.acquire_write)
        waits(lock, 1, 1)
        while writes < rounds:
            inside.do(lock.release_write)
            if lock.statistics().readers:
                break
            assert next_write.result(PATIENCE)
            inside, outside = outside, inside
            next_write = outside.ask(lock.acquire_write)
            waits(lock, 1, 1)
            writes += 1
        assert writes == (rounds if starves else 0)
        if starves:
            inside.do(lock.release_write)
            assert next_write.result(PATIENCE)
            outside.do(lock.release_write)
            assert granted.result(PATIENCE)
            reader.do(lock.release_read)
        else:
            assert granted.result(PATIENCE)
            reader.do(lock.release_read)
            assert next_write.result(PATIENCE)
            outside.do(lock.release_write)


@EACH_POLICY
def test_a_reader_reads_again_past_a_waiting_writer(policy: str) -> None:
    lock = ReadWriteLock(policy)
    with workers(2) as (reader, writer):
        reader.do(lock.acquire_read)
        granted = writer.ask(lock.acquire_write)
        waits(lock, 0, 1)
        assert reader.do(lock.acquire_read, 0)
        assert lock.statistics().readers == 1
        reader.do(lock.release_read)
        assert not granted.done()
        assert lock.statistics().waiting_writers == 1
        reader.do(lock.release_read)
        assert granted.result(PATIENCE)
        writer.do(lock.release_write)


@pytest.mark.parametrize("policy", ["fair", "writers"])
def test_readers_enter_as_soon_as_the_writer_before_them_gives_up(policy: str) -> None:
    threads = PatientThreads()
    lock = ReadWriteLock(policy, threading=threads)
    with workers(4) as (reader, w1, w2, behind):
        reader.do(lock.acquire_read)
        granted = [w1.ask(lock.acquire_write, 1.0)]
        waits(lock, 0, 1)
        granted.append(w2.ask(lock.acquire_write, 1.0))
        waits(lock, 0, 2)
        granted.append(behind.ask(lock.acquire_read))
        waits(lock, 1, 2)
        threads.expire(w1.ident)
        assert granted[0].result(PATIENCE) is False
        assert lock.statistics().waiting_readers == 1  # the other writer is still ahead of it
        threads.expire(w2.ident)
        assert granted[1].result(PATIENCE) is False
        assert granted[2].result(PATIENCE) is True
        assert lock.statistics().reader_idents == (reader.ident, behind.ident)
        reader.do(lock.release_read)
        behind.do(lock.release_read)


class PatientThreads(SimpleNamespace):
    """A `threading` in which the test, not the clock, ends a wait with a timeout."""

    def __init__(self) -> None:
        super().__init__(
            get_ident=threading.get_ident, Lock=lambda: PatientLock(self), RLock=threading.RLock
        )
        self.expired: set[int] = set()
        self.changed = threading.Condition()

    def expire(self, ident: int) -> None:
        """End this thread's present wait with a timeout, or its next one."""
        with self.changed:
            self.expired.add(ident)
            self.changed.notify_all()


class PatientLock:
    def __init__(self, threads: PatientThreads) -> None:
        self.threads = threads
        self.taken = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threading.get_ident()
        with self.threads.changed:
            while self.taken:
                if not blocking or (timeout >= 0 and me in self.threads.expired):
                    self.threads.expired.discard(me)
                    return False
                assert self.threads.changed.wait(PATIENCE), "hangs"
            self.taken = True
            return True

    def release(self) -> None:
        with self.threads.changed:
            assert self.taken
            self.taken = False
            self.threads.changed.notify_all()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


class SlowWakeups(SimpleNamespace):
    """A `threading` in which one thread calls `first` right after a successful wait."""

    def __init__(self, first: Callable[[], None]) -> None:
        super().__init__(
            get_ident=threading.get_ident, Lock=lambda: SlowLock(self), RLock=threading.RLock
        )
        self.first = first
        self.victim: int | None = None


class SlowLock:
    def __init__(self, threads: SlowWakeups) -> None:
        self.threads = threads
        self.lock = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        waited = self.lock.locked()
        had = self.lock.acquire(blocking, timeout)
        if waited and threading.get_ident() == self.threads.victim:
            self.threads.victim = None
            self.threads.first()
        return had

    def release(self) -> None:
        self.lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


@pytest.mark.parametrize(
    ("policy", "joins"), [("fair", True), ("readers", True), ("writers", False)]
)
def test_a_reader_that_arrives_before_the_admitted_readers_run_joins_them(
    policy: str, joins: bool
) -> None:
    awake = threading.Event()
    threads = SlowWakeups(first=lambda: None if awake.wait(PATIENCE) else pytest.fail("hangs"))
    lock = ReadWriteLock(policy, threading=threads)
    with workers(4) as (first, reader, writer, late):
        first.do(lock.acquire_write)
        threads.victim = reader.ident
        reading = reader.ask(lock.acquire_read)
        waits(lock, 1, 0)
        if policy == "writers":  # a waiting writer would be next, so it comes after the readers
            first.do(lock.release_write)
            writing = writer.ask(lock.acquire_write)
            waits(lock, 0, 1)
        else:
            writing = writer.ask(lock.acquire_write)
            waits(lock, 1, 1)
            first.do(lock.release_write)
        assert lock.statistics().reader_idents == (reader.ident,)
        assert late.do(lock.acquire_read, 0) is joins
        if joins:
            late.do(lock.release_read)
            # It has left, which closes the phase. Otherwise one thread could come back forever.
            assert late.do(lock.acquire_read, 0) is (policy == "readers")
            if policy == "readers":
                late.do(lock.release_read)
        awake.set()
        assert reading.result(PATIENCE)
        reader.do(lock.release_read)
        assert writing.result(PATIENCE)
        writer.do(lock.release_write)


@EACH_POLICY
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_interrupt_in_the_wait_leaves_the_queue(policy: str, kind: str) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread gets signals")
    lock = ReadWriteLock(policy)
    acquire = lock.acquire_read if kind == "read" else lock.acquire_write
    interrupted = threading.Event()

    def raise_once(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt(thread: int) -> None:
        waits(lock, int(kind == "read"), int(kind == "write"))
        while not interrupted.wait(0.01):  # a signal just before the wait would not end it
            signal.pthread_kill(thread, signal.SIGINT)

    with workers(2) as (holder, messenger):
        holder.do(lock.acquire_write)
        usual = signal.signal(signal.SIGINT, raise_once)
        try:
            sent = messenger.ask(interrupt, threading.get_ident())
            with pytest.raises(KeyboardInterrupt):
                acquire()
            sent.result(PATIENCE)
        finally:
            signal.signal(signal.SIGINT, usual)
        assert lock.statistics() == LockStatistics(0, holder.ident, 0, 0)
        holder.do(lock.release_write)
        assert lock.statistics() == LockStatistics(0, None, 0, 0)


@EACH_POLICY
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_interrupt_at_the_moment_of_entering_releases_the_lock(
    policy: str, kind: Literal["read", "write"]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    threads = SlowWakeups(first=interrupt)
    lock = ReadWriteLock(policy, threading=threads)
    with workers(3) as (holder, victim, behind):
        holder.do(lock.acquire_write)
        threads.victim = victim.ident
        acquire = lock.acquire_read if kind == "read" else lock.acquire_write
        interrupted = victim.ask(acquire)
        waits(lock, int(kind == "read"), int(kind == "write"))
        granted = behind.ask(acquire)
        waits(lock, 2 * int(kind == "read"), 2 * int(kind == "write"))
        holder.do(lock.release_write)
        with pytest.raises(KeyboardInterrupt):
            interrupted.result(PATIENCE)
        assert granted.result(PATIENCE)
        behind.do(lock.release_read if kind == "read" else lock.release_write)
        assert lock.statistics() == LockStatistics(0, None, 0, 0)


class Model:
    """The policies as a queue of waiting threads and a few rules."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.reads: Counter[int] = Counter()
        self.writer: int | None = None
        self.queue: list[tuple[str, int]] = []

    def waiting(self, kind: str) -> list[int]:
        return [thread for what, thread in self.queue if what == kind]

    def misused(self, kind: str, thread: int) -> bool:
        return self.writer == thread or (kind == "write" and self.reads[thread] > 0)

    def may_enter(self, kind: str, thread: int) -> bool:
        if self.writer is not None:
            return False
        if kind == "write":
            return not +self.reads
        return self.reads[thread] > 0 or self.policy == "readers" or not self.waiting("write")

    def enter(self, kind: str, thread: int) -> None:
        if kind == "write":
            self.writer = thread
        else:
            self.reads[thread] += 1

    def admit(self, kind: str) -> None:
        group = self.waiting(kind) if kind == "read" else self.waiting(kind)[:1]
        for thread in group:
            self.queue.remove((kind, thread))
            self.enter(kind, thread)

    def ask(self, kind: str, thread: int) -> bool:
        if self.may_enter(kind, thread):
            self.enter(kind, thread)
            return True
        self.queue.append((kind, thread))
        return False

    def release(self, kind: str, thread: int) -> None:
        if kind == "write":
            self.writer = None
            order = ("write", "read") if self.policy == "writers" else ("read", "write")
            self.admit(next((k for k in order if self.waiting(k)), "read"))
        else:
            self.reads[thread] -= 1
            if not +self.reads:
                self.admit("write")

    def give_up(self, thread: int) -> None:
        self.queue = [entry for entry in self.queue if entry[1] != thread]
        if self.writer is None and not self.waiting("write"):
            self.admit("read")


class AgainstTheModel(RuleBasedStateMachine):
    """Four threads do random operations; the lock agrees with the model after every step."""

    thread = st.integers(0, 3)
    kind = st.sampled_from(["read", "write"])

    @initialize(policy=st.sampled_from(POLICIES))
    def begin(self, policy: str) -> None:
        self.threads = PatientThreads()
        self.lock = ReadWriteLock(policy, threading=self.threads)
        self.model = Model(policy)
        self.team = [Worker() for _ in range(4)]
        self.asked: dict[int, Future[bool]] = {}

    def call(self, verb: str, kind: str, *args: Any) -> Any:
        return lambda: getattr(self.lock, f"{verb}_{kind}")(*args)

    @rule(thread=thread, kind=kind, trial=st.booleans())
    def acquire(self, thread: int, kind: str, trial: bool) -> None:
        if thread in self.asked:
            return
        worker = self.team[thread]
        if self.model.misused(kind, thread):
            with pytest.raises(RuntimeError):
                worker.do(self.call("acquire", kind, 0 if trial else None))
        elif trial:
            had = worker.do(self.call("acquire", kind, 0))
            assert had == self.model.may_enter(kind, thread)
            if had:
                self.model.enter(kind, thread)
        else:
            self.asked[thread] = worker.ask(self.call("acquire", kind, 3600.0))
            self.model.ask(kind, thread)
            self.settle()

    @rule(thread=thread, kind=kind)
    def release(self, thread: int, kind: str) -> None:
        if thread in self.asked:
            return
        worker = self.team[thread]
        if (self.model.writer == thread) if kind == "write" else (self.model.reads[thread] > 0):
            self.model.release(kind, thread)
            worker.do(self.call("release", kind))
            self.settle()
        else:
            with pytest.raises(RuntimeError):
                worker.do(self.call("release", kind))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def time_out(self, data: st.DataObject) -> None:
        thread = data.draw(st.sampled_from(sorted(self.asked)))
        self.model.give_up(thread)
        self.threads.expire(self.team[thread].ident)
        assert self.asked.pop(thread).result(PATIENCE) is False
        self.settle()

    def settle(self) -> None:
        """Threads that the model has admitted return from their calls; the others still wait."""
        waiting = {thread for _, thread in self.model.queue}
        for thread in [thread for thread in self.asked if thread not in waiting]:
            assert self.asked.pop(thread).result(PATIENCE) is True
        waits(self.lock, len(self.model.waiting("read")), len(self.model.waiting("write")))

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "lock"):
            return
        now, idents = self.lock.statistics(), [worker.ident for worker in self.team]
        assert set(now.reader_idents) == {idents[thread] for thread in +self.model.reads}
        assert now.readers == len(+self.model.reads)
        assert now.writer == (None if self.model.writer is None else idents[self.model.writer])
        assert now.waiting_readers == len(self.model.waiting("read"))
        assert now.waiting_writers == len(self.model.waiting("write"))
        assert not any(asked.done() for asked in self.asked.values())

    def teardown(self) -> None:
        if not hasattr(self, "lock"):
            return
        while +self.model.reads or self.model.writer is not None:
            if self.model.writer is not None:
                self.release(self.model.writer, "write")
            else:
                self.release(next(iter(+self.model.reads)), "read")
        assert self.lock.statistics() == LockStatistics(0, None, 0, 0)
        for worker in self.team:
            worker.dismiss()


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
