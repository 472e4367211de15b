"""Whether an interrupt at a random moment leaves a lock taken that is used in a ``with`` block.

    python -m tests.benchmarks.interrupts

The main thread enters and leaves a block repeatedly until a signal arrives, some microseconds
later, whose handler raises KeyboardInterrupt. Then another thread must get the lock at once, and
the first thread must hold and wait for nothing. `threading.Lock`, which is written in C, is the
control. Python 3.14 checks for signals before it enters the block, and so leaves it taken.
"Contended" means that two more threads use the lock at the same time. The last two locks are on a
private Redis; they are skipped without redis-py or grpc.
"""

import argparse
import importlib.util
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from bankkit.locks import Lock, LockTable, Mutex, ReadWriteLock

PATIENCE = 20.0
"""Seconds for a free lock to be acquired, however busy the machine is."""

LEASE = 600.0
"""Seconds of a lease on Redis: a lock that an interrupt left taken is not free before that."""

Block = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Subject:
    """A lock under test, with the block that is interrupted."""

    block: Block
    is_free: Callable[[], bool]
    """Whether the calling thread can get the lock, and no other thread holds it or waits for it."""
    rival: Block | None = None
    """The block that two other threads enter repeatedly at the same time."""
    longest: float = 250e-6
    """The longest time until the signal, in seconds."""


def plain() -> Subject:
    """A `threading.Lock`."""
    lock = threading.Lock()

    def is_free() -> bool:
        acquired = lock.acquire(blocking=False)
        if acquired:
            lock.release()
        return acquired

    return Subject(lambda: lock, is_free)


def is_free(lock: Lock) -> bool:
    """Whether the lock can be acquired to write, and then has no holders or waiters."""
    if not lock.acquire_write(PATIENCE):
        return False
    lock.release_write()
    now = lock.statistics()
    return (now.readers, now.writer, now.waiting_readers, now.waiting_writers) == (0, None, 0, 0)


def of(lock: Lock, block: Block) -> Subject:
    """A lock that only the main thread uses."""
    return Subject(block, lambda: is_free(lock))


def contended(lock: Lock, block: Block) -> Subject:
    """A lock that two more threads acquire to write."""
    return Subject(block, lambda: is_free(lock), rival=lock.write)


def of_table() -> Subject:
    """A lock in a LockTable, which must forget the lock afterwards."""
    table = LockTable(lambda key: ReadWriteLock())

    def is_free() -> bool:
        try:
            with table.write("a", PATIENCE):
                pass
        except TimeoutError:
            return False
        return len(table) == 0

    return Subject(lambda: table.write("a"), is_free)


def subject(make: Callable[[], Lock], block: str, how: Callable[..., Subject] = of) -> Any:
    """A function that makes a subject of a new lock; `block` names the lock's method."""

    def new() -> Subject:
        lock = make()
        return how(lock, getattr(lock, block))

    return new


CONTROL = {"threading.Lock": plain}

SUBJECTS: dict[str, Callable[[], Subject]] = {
    "ReadWriteLock, read": subject(ReadWriteLock, "read"),
    "ReadWriteLock, write": subject(ReadWriteLock, "write"),
    "ReadWriteLock, read, contended": subject(ReadWriteLock, "read", contended),
    "ReadWriteLock, write, contended": subject(ReadWriteLock, "write", contended),
    "Mutex": subject(Mutex, "write"),
    "Mutex, contended": subject(Mutex, "write", contended),
    "LockTable": of_table,
}


@contextmanager
def on_redis() -> Iterator[dict[str, Callable[[], Subject]]]:
    """The subjects that need a Redis; empty without redis-py or grpc."""
    found: dict[str, Callable[[], Subject]] = {}
    with ExitStack() as stack:
        if importlib.util.find_spec("redis") and importlib.util.find_spec("grpc"):
            from bankkit.locks import RedisLocks
            from bankkit.redis_backend import PrivateRedis
            from bankkit.redis_backend.connection import Link, connect

            server = stack.enter_context(closing(PrivateRedis()))

            def new(block: str) -> Subject:
                client = stack.enter_context(connect(server.url))
                client.flushall()
                # We avoid redis-py's pool: since Python 3.14 an interrupt leaves its mutex locked.
                link = stack.enter_context(closing(Link(client)))
                locks = stack.enter_context(closing(RedisLocks(link, lease=LEASE)))
                other = stack.enter_context(
                    closing(RedisLocks(link, lease=LEASE))
                )  # stands for another process

                def nothing_is_left() -> bool:
                    return is_free(other("a")) and not locks._leases.holds

                return Subject(getattr(locks("a"), block), nothing_is_left, longest=2000e-6)

            found["RedisReadWriteLock, read"] = lambda: new("read")
            found["RedisReadWriteLock, write"] = lambda: new("write")
        yield found


def interrupt(block: Block, after: float, due: set[str]) -> None:
    """Enter and leave blocks until the signal's KeyboardInterrupt arrives."""
    due.add("signal")
    try:
        # The signal repeats, because Python swallows an exception in a `__del__`. It does so late:
        # a second interrupt while the first one gives a lock back would leave that lock taken.
        signal.setitimer(signal.ITIMER_REAL, after, 5.0)
        while True:
            with block():
                pass
    except KeyboardInterrupt:
        due.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)


def left_taken(make: Callable[[], Subject], times: int, seed: int = 0) -> int:
    """How many of `times` interrupts left the lock taken. Call it in the main thread only."""
    choose, taken = random.Random(seed), 0
    due: set[str] = set()

    def raise_interrupt(number: int, frame: FrameType | None) -> None:
        if due:
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, raise_interrupt)
    try:
        with ThreadPoolExecutor(1) as other:
            it = make()
            for _ in range(times):
                with rivals(it.rival):
                    interrupt(it.block, choose.uniform(10e-6, it.longest), due)
                free = other.submit(it.is_free).result()
                taken += not free
                if not free:
                    it = make()
    finally:
        signal.signal(signal.SIGALRM, usual)
    return taken


@contextmanager
def rivals(block: Block | None) -> Iterator[None]:
    """Let two threads enter and leave this block until the context ends."""
    if block is None:
        yield
        return
    stop = False

    def work() -> None:
        while not stop:
            with block():
                pass

    usual = sys.getswitchinterval()
    sys.setswitchinterval(10e-6)  # with the default, the threads hardly ever collide
    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop = True
        sys.setswitchinterval(usual)
        for thread in threads:
            thread.join(PATIENCE)  # the thread hangs if the lock was left taken


def main() -> None:
    """Print the counts. The exit status is 1 if one of our locks was left taken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--times", type=int, default=5_000, help="interrupts per lock (%(default)s)"
    )
    options = parser.parse_args()
    print(f"Left taken after {options.times} interrupts; Python {sys.version.split()[0]}")
    total = 0
    with on_redis() as more:
        for name, make in {**CONTROL, **SUBJECTS, **more}.items():
            taken = left_taken(make, options.times)
            total += taken * (name not in CONTROL)
            print(f"  {name:34}{taken:6}", flush=True)
    sys.exit(total > 0)


if __name__ == "__main__":
    main()
