"""The Redis read–write lock compared with two PINGs and with two public Redis locks, in one run.

    python -m tests.benchmarks.redis_lock

Part 1 acquires and releases a lock without contention. Two PINGs over the same kind of connection
are the least that two operations on Redis can cost. The candidates take turns in short blocks, so
that a busy machine slows all of them alike. The output has medians over the blocks, and medians of
the ratios within a turn.

Part 2 hands a lock over to a waiter in another process. It measures from just before the release to
just after the acquire, on the clock that both processes share. The locks take turns here too.
"""

import argparse
import importlib.metadata
import importlib.util
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.lock import Lock as RedisPyLock
from redis.retry import Retry

from bankkit.locks import RedisLocks
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import Link, connect

PATIENCE = 10.0
"""The longest time to hold a lock or to wait for it, in seconds."""

INSTALL = "pip install python-redis-lock==4.0.1"

Step = Callable[[], object]


class Plain(Protocol):
    """A lock as part 2 uses it."""

    def acquire(self) -> object:
        """Wait for the lock."""

    def release(self) -> object:
        """Release the lock."""


class Ours:
    """The write side of our lock."""

    def __init__(self, url: str, key: str) -> None:
        self.lock = RedisLocks(Link(connect(url)), lease=PATIENCE)(key)

    def acquire(self) -> object:
        """Acquire the lock to write."""
        return self.lock.acquire_write(PATIENCE)

    def release(self) -> object:
        """Release the lock after a write."""
        self.lock.release_write()
        return None


def redis_py(url: str, key: str) -> Plain:
    """The lock of redis-py."""
    return RedisPyLock(plain_client(url), f"redis-py:{key}", timeout=PATIENCE)


def python_redis_lock(url: str, key: str) -> Plain:
    """The lock of python-redis-lock."""
    import redis_lock

    lock: Plain = redis_lock.Lock(plain_client(url), key, expire=int(PATIENCE))
    return lock


def plain_client(url: str) -> redis.Redis:
    """A client with redis-py's defaults, except that it sends each command only once."""
    return redis.Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))


LOCKS: dict[str, Callable[[str, str], Plain]] = {
    "bankkit": Ours,
    "redis-py": redis_py,
    "python-redis-lock": python_redis_lock,
}


def seconds_of(step: Step, times: int) -> float:
    """Seconds for one step, as the mean of `times`."""
    begin = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - begin) / times


def uncontended(url: str, rounds: int, times: int) -> tuple[dict[str, list[float]], list[str]]:
    """Name → seconds for one pair in each turn; and the kinds of connection."""
    clients: dict[str, Any] = {"Link": Link(connect(url)), "redis.Redis": connect(url)}
    steps: dict[str, Step] = {}
    with ExitStack() as stack:
        for name, client in clients.items():
            locks = RedisLocks(client)
            stack.callback(locks.close)
            lock = locks(f"bench:{{{name}}}:lock")

            def ping(client: Any = client) -> None:
                client.execute_command("PING")
                client.execute_command("PING")

            def write(lock: Any = lock) -> None:
                lock.acquire_write(PATIENCE)
                lock.release_write()

            def read(lock: Any = lock) -> None:
                lock.acquire_read(PATIENCE)
                lock.release_read()

            steps |= {f"{name}: PING, PING": ping, f"{name}: write": write, f"{name}: read": read}
        for name in ("redis-py", "python-redis-lock"):
            rival = LOCKS[name](url, "alone")

            def pair(rival: Plain = rival) -> None:
                rival.acquire()
                rival.release()

            steps[name] = pair
        figures: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            seconds_of(step, times)  # connects, and loads the scripts into Redis
        for number in range(rounds):
            for name in rotated(list(steps), number):
                figures[name].append(seconds_of(steps[name], times))
    return figures, list(clients)


def hand_over(url: str, rounds: int, seed: int = 1) -> dict[str, list[float]]:
    """Lock → seconds from release to acquire, in each round."""
    figures: dict[str, list[float]] = {name: [] for name in LOCKS}
    choose = random.Random(seed)
    command = [sys.executable, "-m", "tests.benchmarks.redis_lock", "--waiter", url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as waiter:
        assert waiter.stdin is not None
        assert waiter.stdout is not None
        locks = {name: make(url, "shared") for name, make in LOCKS.items()}
        for number in range(rounds):
            for name in rotated(list(locks), number):
                lock = locks[name]
                assert lock.acquire() is not False
                print(name, file=waiter.stdin, flush=True)
                waiter.stdout.readline()  # the waiter is about to wait
                # Long enough for the waiter to block; random, so that no lock that polls every
                # 100 ms is favoured.
                time.sleep(0.05 + choose.random() * 0.1)
                released = time.monotonic()
                lock.release()
                figures[name].append(float(waiter.stdout.readline()) - released)
        waiter.stdin.close()
    return figures


def wait(url: str) -> None:
    """The other process: wait for each lock that stdin names, and print the time of the acquire."""
    locks = {name: make(url, "shared") for name, make in LOCKS.items()}
    for line in sys.stdin:
        lock = locks[line.strip()]
        print("waits", flush=True)
        assert lock.acquire() is not False
        print(time.monotonic(), flush=True)
        lock.release()


def rotated(names: list[str], by: int) -> list[str]:
    """The names in a new order, so that another one goes first in each turn."""
    by %= len(names)
    return names[by:] + names[:by]


def ratio(figures: dict[str, list[float]], name: str, base: str) -> float:
    """The median ratio of `name` to `base` within a turn."""
    return statistics.median(
        mine / other for mine, other in zip(figures[name], figures[base], strict=True)
    )


def verdict(text: str, met: bool) -> str:
    """A line that says whether a goal is met."""
    return f"  {'met    ' if met else 'NOT met'}  {text}"


def report_uncontended(figures: dict[str, list[float]], clients: list[str]) -> None:
    """Print the table and the verdicts of part 1."""
    print("1. Uncontended: one acquire and release, in µs")
    for name, values in figures.items():
        line = f"  {name:24}{statistics.median(values) * 1e6:8.0f}"
        client = name.partition(":")[0]
        if client in clients and not name.endswith("PING"):
            line += f"   {ratio(figures, name, f'{client}: PING, PING'):.2f}x two PINGs"
        elif client not in clients:
            line += f"   ours, on redis.Redis: {ratio(figures, 'redis.Redis: write', name):.2f}x it"
        print(line)
    for client in clients:
        worst = max(
            ratio(figures, f"{client}: {mode}", f"{client}: PING, PING")
            for mode in ("read", "write")
        )
        print(verdict(f"at most twice two PINGs on {client} ({worst:.2f}x)", worst <= 2))


def report_hand_over(figures: dict[str, list[float]]) -> None:
    """Print the table and the verdict of part 2."""
    print("\n2. Hand-over to a waiter in another process, in ms")
    print(f"  {'':20}{'median':>9}{'worst':>9}{'ours / it':>12}")
    for name, values in figures.items():
        print(
            f"  {name:20}{statistics.median(values) * 1e3:9.2f}{max(values) * 1e3:9.2f}"
            f"{ratio(figures, 'bankkit', name):12.3f}"
        )
    median = statistics.median(figures["bankkit"]) * 1e3
    print(verdict(f"2 ms or less ({median:.2f} ms)", median <= 2))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--turns", type=int, default=100, help="turns of the uncontended part (%(default)s)"
    )
    parser.add_argument("--times", type=int, default=100, help="pairs per turn (%(default)s)")
    parser.add_argument("--rounds", type=int, default=40, help="hand-overs per lock (%(default)s)")
    parser.add_argument("--waiter", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("redis_lock") is None:
        sys.exit(f"The lock to compare with is missing. Install it with: {INSTALL}")
    if options.waiter:
        wait(options.waiter)
        return
    with closing(PrivateRedis()) as server:
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("redis", "python-redis-lock")
        )
        print(f"{server.description}; {versions}; Python {sys.version.split()[0]}\n")
        report_uncontended(*uncontended(server.url, options.turns, options.times))
        report_hand_over(hand_over(server.url, options.rounds))


if __name__ == "__main__":
    main()
