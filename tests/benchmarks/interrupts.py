"""What an interrupt at any moment does to a lock that is used in a ``with`` block.

    python -m tests.benchmarks.interrupts

The main thread enters and leaves a block again and again until a signal comes, some microseconds
later, whose handler raises KeyboardInterrupt. Then another thread must have the lock at once, and
nothing else may be left of the first one's. `threading.Lock`, which is written in C, is the
control; Python 3.14 looks at signals before it enters the block, so that it is left taken there.
"Contended" are the locks that two more threads use at the same time. The last of the
locks is on a private Redis, without which it is left out.
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

PATIENCE = 2.0
"""Seconds in which a free lock is had on a busy machine. A lease on Redis ends after 3."""

Block = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Subject:
    """What is interrupted."""

    block: Block
    is_free: Callable[[], bool]
    """Whether the calling thread can have it, and nobody else has a part of it."""
    rival: Block | None = None
    """What two other threads do meanwhile."""
    longest: float = 250e-6
    """Seconds to the signal, at most."""


def plain() -> Subject:
    lock = threading.Lock()

    def is_free() -> bool:
        had = lock.acquire(blocking=False)
        if had:
            lock.release()
        return had

    return Subject(lambda: lock, is_free)


def is_free(lock: Lock) -> bool:
    if not lock.acquire_write(PATIENCE):
        return False
    lock.release_write()
    now = lock.statistics()
    return (now.readers, now.writer, now.waiting_readers, now.waiting_writers) == (0, None, 0, 0)


def of(lock: Lock, block: Block) -> Subject:
    return Subject(block, lambda: is_free(lock))


def contended(lock: Lock, block: Block) -> Subject:
    return Subject(block, lambda: is_free(lock), rival=lock.write)


def of_table() -> Subject:
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
    """The subjects that need a Redis; none if there is no redis-py, or no server."""
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
                # Not redis-py's pool: since Python 3.14 an interrupt leaves its mutex locked.
                link = stack.enter_context(closing(Link(client)))
                locks = stack.enter_context(closing(RedisLocks(link)))
                other = stack.enter_context(closing(RedisLocks(link)))  # as if of another process

                def nothing_is_left() -> bool:
                    return is_free(other("a")) and not locks._leases.holds

                return Subject(getattr(locks("a"), block), nothing_is_left, longest=2000e-6)

            found["RedisReadWriteLock, read"] = lambda: new("read")
            found["RedisReadWriteLock, write"] = lambda: new("write")
        yield found


def interrupt(block: Block, after: float, due: set[str]) -> None:
    """Enter and leave blocks until a signal comes while one is due."""
    due.add("signal")
    try:
        # Again later, for Python swallows what is raised within a `__del__`.
        signal.setitimer(signal.ITIMER_REAL, after, 0.1)
        while True:
            with block():
                pass
    except KeyboardInterrupt:
        due.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)


def left_taken(make: Callable[[], Subject], times: int, seed: int = 0) -> int:
    """How many of so many interrupts left something taken. For the main thread only."""
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
    if block is None:
        yield
        return
    stop = False

    def work() -> None:
        while not stop:
            with block():
                pass

    usual = sys.getswitchinterval()
    sys.setswitchinterval(10e-6)  # or they would hardly ever meet
    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop = True
        sys.setswitchinterval(usual)
        for thread in threads:
            thread.join(PATIENCE)  # it hangs if the lock was left taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=5_000, help="interrupts of each lock")
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
