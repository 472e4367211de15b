"""Our read–write lock compared with three public ones, in one run.

    python -m tests.benchmarks.locks

The locks take turns in every round, so that a busy machine slows all of them alike. The output has
medians over the rounds, and medians of the ratios within each round. Each library is used in the
cheapest way that its documentation offers: readerwriterlock and rwlock with lock objects that each
thread makes once, fasteners with a new context manager each time, as with our lock.
"""

import argparse
import importlib.metadata
import importlib.util
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bankkit.locks import ReadWriteLock

THREADS = 8
READS = 0.9
HOLD = 0.001
"""Seconds for which the lock is held in the contended part."""

RIVALS = {"RWLockFair": "readerwriterlock", "fasteners": "fasteners", "rwlock": "rwlock"}
"""Name here -> distribution."""
INSTALL = "pip install readerwriterlock==1.0.10 fasteners==0.20 rwlock==0.0.7"

Step = Callable[[], object]


@dataclass(frozen=True)
class View:
    """A lock's methods as one thread uses them.

    ``reading`` and ``writing`` are context managers if ``reused``, else functions that make them.
    """

    acquire_read: Step
    release_read: Step
    acquire_write: Step
    release_write: Step
    reading: Any
    writing: Any
    reused: bool


def ours() -> Callable[[], View]:
    """The ReadWriteLock of bankkit."""
    lock = ReadWriteLock()
    return lambda: View(
        lock.acquire_read,
        lock.release_read,
        lock.acquire_write,
        lock.release_write,
        lock.read,
        lock.write,
        reused=False,
    )


def rwlock_fair() -> Callable[[], View]:
    """The RWLockFair of readerwriterlock."""
    from readerwriterlock.rwlock import RWLockFair

    lock = RWLockFair()

    def view() -> View:
        reader, writer = lock.gen_rlock(), lock.gen_wlock()
        return View(
            reader.acquire,
            reader.release,
            writer.acquire,
            writer.release,
            reader,
            writer,
            reused=True,
        )

    return view


def fasteners() -> Callable[[], View]:
    """The ReaderWriterLock of fasteners."""
    from fasteners import ReaderWriterLock

    lock = ReaderWriterLock()
    return lambda: View(
        lock.acquire_read_lock,
        lock.release_read_lock,
        lock.acquire_write_lock,
        lock.release_write_lock,
        lock.read_lock,
        lock.write_lock,
        reused=False,
    )


def rwlock() -> Callable[[], View]:
    """The RWLock of rwlock."""
    from rwlock import RWLock

    lock = RWLock()
    reader, writer = lock.reader_lock, lock.writer_lock
    return lambda: View(
        reader.acquire,
        reader.release,
        writer.acquire,
        writer.release,
        reader,
        writer,
        reused=True,
    )


LOCKS: dict[str, Callable[[], Callable[[], View]]] = {
    "bankkit": ours,
    "RWLockFair": rwlock_fair,
    "fasteners": fasteners,
    "rwlock": rwlock,
}


def seconds_of_pairs(acquire: Step, release: Step, times: int) -> float:
    """Seconds for `times` pairs of acquire and release."""
    begin = time.perf_counter()
    for _ in range(times):
        acquire()
        release()
    return time.perf_counter() - begin


def seconds_of_blocks(guard: Any, reused: bool, times: int) -> float:
    """Seconds for `times` empty `with` blocks."""
    begin = time.perf_counter()
    if reused:
        for _ in range(times):
            with guard:
                pass
    else:
        for _ in range(times):
            with guard():
                pass
    return time.perf_counter() - begin


def uncontended(rounds: int, times: int) -> dict[str, dict[str, list[float]]]:
    """Operation -> lock -> nanoseconds for one acquire and release, in each round."""
    views = {name: make()() for name, make in LOCKS.items()}
    runs: dict[str, Callable[[View], float]] = {
        "read": lambda v: seconds_of_pairs(v.acquire_read, v.release_read, times),
        "write": lambda v: seconds_of_pairs(v.acquire_write, v.release_write, times),
        "with read": lambda v: seconds_of_blocks(v.reading, v.reused, times),
        "with write": lambda v: seconds_of_blocks(v.writing, v.reused, times),
    }
    figures: dict[str, dict[str, list[float]]] = {run: {name: [] for name in LOCKS} for run in runs}
    for number in range(rounds):
        for run, measure in runs.items():
            for name in rotated(list(LOCKS), number):
                figures[run][name].append(measure(views[name]) / times * 1e9)
    return figures


@dataclass(frozen=True)
class Contended:
    """The result of one contended round."""

    operations: float
    """Operations per second, of all threads together."""
    write_share: float
    writer_wait: float
    """A writer's longest wait, in seconds."""


def contend(make: Callable[[], Callable[[], View]], seconds: float, seed: int) -> Contended:
    """Let the threads acquire the lock repeatedly, and hold it for ``HOLD``, for these seconds."""
    new_view = make()
    start = threading.Barrier(THREADS + 1)
    stop = threading.Event()
    reads, writes, waits = [0] * THREADS, [0] * THREADS, [0.0] * THREADS

    def work(number: int) -> None:
        view = new_view()
        choose = random.Random(seed * THREADS + number)
        start.wait()
        while not stop.is_set():
            if choose.random() < READS:
                with view.reading if view.reused else view.reading():
                    time.sleep(HOLD)
                reads[number] += 1
            else:
                asked = time.perf_counter()
                with view.writing if view.reused else view.writing():
                    waits[number] = max(waits[number], time.perf_counter() - asked)
                    time.sleep(HOLD)
                writes[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    stop.wait(seconds)
    operations = sum(reads) + sum(writes)
    elapsed = time.perf_counter() - begin
    share = sum(writes) / max(operations, 1)
    stop.set()
    for thread in threads:
        thread.join()
    return Contended(operations / elapsed, share, max(waits))


def contended(rounds: int, seconds: float) -> dict[str, list[Contended]]:
    """Lock -> the result of each round."""
    figures: dict[str, list[Contended]] = {name: [] for name in LOCKS}
    for number in range(rounds):
        for name in rotated(list(LOCKS), number):
            figures[name].append(contend(LOCKS[name], seconds, seed=number))
    return figures


def rotated(names: list[str], by: int) -> list[str]:
    """The names in a new order, so that another lock goes first in each round."""
    by %= len(names)
    return names[by:] + names[:by]


def verdict(text: str, met: bool) -> str:
    """A line that says whether a goal is met."""
    return f"  {'met    ' if met else 'NOT met'}  {text}"


def report_uncontended(figures: dict[str, dict[str, list[float]]]) -> None:
    """Print the table and the verdicts of the uncontended part."""
    print("1. Uncontended: one acquire and release, in ns (ours / it)")
    print(f"  {'':12}" + "".join(f"{name:>19}" for name in LOCKS))
    worst = dict.fromkeys(RIVALS, 0.0)
    for run, by_lock in figures.items():
        line = f"  {run:12}"
        for name, values in by_lock.items():
            line += f"{statistics.median(values):11.0f}"
            if name == "bankkit":
                line += 8 * " "
                continue
            ratio = statistics.median(
                mine / other for mine, other in zip(by_lock["bankkit"], values, strict=True)
            )
            worst[name] = max(worst[name], ratio)
            line += f" ({ratio:.2f}x)"
        print(line)
    for name in ("RWLockFair", "fasteners"):
        print(verdict(f"no slower than {name} (worst ratio {worst[name]:.2f})", worst[name] <= 1))


def report_contended(figures: dict[str, list[Contended]]) -> None:
    """Print the table and the verdicts of the contended part."""
    print(
        f"\n2. Contended: {THREADS} threads, {READS:.0%} reads, each holds the lock for"
        f" {HOLD * 1e3:.0f} ms"
    )
    print(
        f"  {'':12}{'ops/s':>8}{'ours / it':>11}{'writes':>8}"
        f"{'longest writer wait: median':>29}{'worst':>10}"
    )
    ratios = {}
    for name, rounds in figures.items():
        ratios[name] = statistics.median(
            mine.operations / other.operations
            for mine, other in zip(figures["bankkit"], rounds, strict=True)
        )
        waits = [it.writer_wait * 1e3 for it in rounds]
        print(
            f"  {name:12}{statistics.median(it.operations for it in rounds):8.0f}"
            f"{ratios[name]:11.2f}{statistics.median(it.write_share for it in rounds):8.1%}"
            f"{statistics.median(waits):26.1f} ms{max(waits):7.1f} ms"
        )
    least = min(ratios[name] for name in RIVALS)
    longest = max(it.writer_wait for it in figures["bankkit"]) * 1e3
    print(verdict(f"at least 0.95 of the best rival's throughput ({least:.2f})", least >= 0.95))
    print(verdict(f"no writer of ours waits longer than 20 ms ({longest:.1f} ms)", longest <= 20))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds per lock (%(default)s)")
    parser.add_argument(
        "--times", type=int, default=20_000, help="uncontended pairs per round (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of contention per round (%(default)s)"
    )
    options = parser.parse_args()
    if any(importlib.util.find_spec(package) is None for package in RIVALS.values()):
        sys.exit(f"The locks to compare with are missing. Install them with: {INSTALL}")
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in RIVALS.values())
    print(f"bankkit's ReadWriteLock compared with {versions}; Python {sys.version.split()[0]}\n")
    report_uncontended(uncontended(options.rounds, options.times))
    report_contended(contended(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
