"""How fast the explorer is: `python -m tests.benchmarks.explorer`.

The rate is in schedules per second, for one reader and one writer on the bank's read–write lock. It
is measured without reduction: the search runs every schedule, repeatedly. If interleave-test is
installed (Python 3.12 or newer), each round also measures it, with the same program and lock.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from bankkit import lab
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound
from bankkit.locks import FirstDraftLock, ReadWriteLock
from tests.explorer import parallel_scenarios

Program = Callable[[Any], None]


def program(readers: int, writers: int, policy: str = "fair") -> Program:
    """A scenario in which each thread reads or writes once."""

    def scenario(threading: Any) -> None:
        is_draft = policy == "first-draft"
        make = FirstDraftLock if is_draft else partial(ReadWriteLock, policy)
        lock: Any = make(threading=threading)

        def read() -> None:
            with lock.read():
                pass

        def write() -> None:
            with lock.write():
                pass

        threads = [threading.Thread(target=read) for _ in range(readers)]
        threads += [threading.Thread(target=write) for _ in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return scenario


def our_rate(seconds: float) -> float:
    """Our schedules per second, without reduction."""
    with (
        closing(Scheduler(limit=10_000)) as scheduler,
        Laboratory(program(1, 1), scheduler=scheduler) as laboratory,
    ):
        limits = Limits(10**9, time.monotonic() + 3600)
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            assert laboratory.find(DepthFirst(scheduler, Bound()), limits) is None
    return limits.ran / elapsed


def their_rate(seconds: float, *, only_primitives: bool) -> float:
    """interleave-test's schedules per second, with its default of a switch at every bytecode.

    With `only_primitives`, it switches only where we do.
    """
    import threading

    import interleave_test

    def model() -> None:
        program(1, 1)(threading)  # interleave_test patches this module while it runs

    settings: dict[str, Any] = {"include": ["/nowhere"]} if only_primitives else {}
    ran = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        result = interleave_test.explore(model, strategy="dfs", iterations=50, **settings)
        ran += result.schedules_run
    return ran / elapsed


def compare(rounds: int, seconds: float) -> None:
    """Print our rate, and interleave-test's with the ratio if that is installed."""
    print("1 reader, 1 writer, no reduction: schedules per second, median (each round)")
    if importlib.util.find_spec("interleave_test") is None:
        rates = [our_rate(seconds) for _ in range(rounds)]
        print(f"bankkit                              {_spread(rates)}")
        print("no ratio: interleave-test is not installed (it needs Python 3.12 or newer)")
        return
    found = [
        (
            our_rate(seconds),
            their_rate(seconds, only_primitives=True),
            their_rate(seconds, only_primitives=False),
        )
        for _ in range(rounds)
    ]
    print(f"bankkit                              {_spread([ours for ours, _, _ in found])}")
    for which, where in ((1, "only at primitives"), (2, "at every bytecode, its default")):
        print(f"interleave-test, switching {where}")
        print(f"                                     {_spread([each[which] for each in found])}")
        print(f"  ratio                              {_spread([e[0] / e[which] for e in found])}")


def _spread(figures: Sequence[float], digits: int = 0) -> str:
    each = " ".join(f"{figure:,.{digits}f}" for figure in sorted(figures))
    return f"{statistics.median(figures):,.{digits}f}  ({each})"


def exhaust(seconds: float) -> None:
    """Print the schedules and the time that each bound takes; a search ends after `seconds`."""
    print("\n2 readers, 2 writers, without and with reduction")
    for preemptions in (1, 2, 3, 4, None):
        row = []
        for reduction in (False, True):
            result = lab.explore(
                program(2, 2, "writers"),
                preemptions=preemptions, reduction=reduction, seconds=seconds,
                strategy="exhaustive",
            )  # fmt: skip
            row.append(
                f"{result.schedules:>9,} schedules {result.seconds:6.2f} s {result.verdict:8}"
            )
        print(f"{result.bound!s:23} {'  '.join(row)}", flush=True)
    result = lab.explore(program(1, 1), reduction=False)
    print(f"\n1 reader, 1 writer, no bound, no reduction: {result}")


def deepen(seconds: float) -> None:
    """Print what the default search costs, as a ratio to the one search that ends first."""
    print("\nThe default search: schedules, and how many times those of a search without a bound")
    for readers, writers in ((1, 1), (1, 2), (2, 2)):
        scenario = program(readers, writers, "writers")
        default = lab.explore(scenario, seconds=seconds)
        once = lab.explore(scenario, strategy="exhaustive", seconds=seconds)
        print(
            f"{readers} readers, {writers} writers: {default.schedules:>8,} schedules "
            f"{default.schedules / once.schedules:5.2f} x  {default.verdict}  {default.coverage}"
        )


def draw(rounds: int) -> None:
    """Print how many random schedules each strategy needs for the first draft's lost wakeup."""
    print("\n2 readers, 1 writer, first draft: schedules until the bug, by seed")
    for strategy in ("pct", "pos", "surw", "random"):
        needed = [
            lab.explore(
                program(2, 1, "first-draft"), strategy=strategy, seed=seed, schedules=10_000
            ).schedules
            for seed in range(rounds)
        ]
        print(f"{strategy:8} {_spread(needed)}")


def share_work(rounds: int) -> None:
    """Print the time of one worker as a multiple of that of two, which search the same."""
    print("\n2 workers: how many times faster than 1, median (each round)")
    for name, (scenario, options) in WORK.items():
        ratios = []
        for _ in range(rounds):
            one, two = (
                lab.explore(scenario, workers=workers, **options).seconds for workers in (1, 2)
            )
            ratios.append(one / two)
        print(f"{name:40} {_spread(ratios, 2)}", flush=True)


WORK: dict[str, tuple[Program, dict[str, Any]]] = {
    "every schedule, 3 preemptions": (
        parallel_scenarios.readers_and_writers, {"preemptions": 3, "reduction": False},
    ),
    "one of each trace, 2 preemptions": (parallel_scenarios.large, {"preemptions": 2}),
    "10,000 random schedules": (
        parallel_scenarios.readers_and_writers, {"strategy": "pos", "schedules": 10_000},
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all measurements from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.explorer")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="per round (%(default)s)")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds per search")
    options = parser.parse_args(arguments)
    compare(options.rounds, options.seconds)
    exhaust(options.patience)
    deepen(options.patience)
    draw(options.rounds)
    share_work(options.rounds)


if __name__ == "__main__":
    main()
