"""A hundred races of each kind, each on a bank of its own: `python -m tests.benchmarks.races`.

A forced race without a lock must lose the update and name the pair that the recorded times prove.
A free race with a safe choice must not lose a cent.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator

from bankkit import lab
from bankkit.lab.racing.race_result import RaceResult
from bankkit.locks import POLICIES
from tests.benchmarks.progress import Progress
from tests.lab.racing.test_race import stale_pairs

SAFE = (("mutex", "fair"), *(("read-write", policy) for policy in POLICIES), ("atomic", "fair"))


def named_rightly(result: RaceResult) -> bool:
    """Whether the race lost $100 and names the pair that the recorded times prove."""
    named = {(each.overwritten.client, each.by.client) for each in result.lost_updates}
    return len(named) == 1 and named == stale_pairs(result.history) and result.lost == 100_00


def kept_safe(result: RaceResult) -> bool:
    """Whether the race of 8 writers and 5 rounds lost nothing."""
    return result.final == result.expected == 8 * 5 * 100_00 and not result.lost_updates


def kinds(races: int) -> Iterator[tuple[str, int]]:
    """Run the races of each kind, and yield its label and the number of correct races."""
    forced = (lab.race("none", mode="forced") for _ in range(races))
    yield "forced, none: lost, and the pair named rightly", good(named_rightly, forced, races)
    for concurrency, policy in SAFE:
        free = (
            lab.race(concurrency, writers=8, readers=2, rounds=5, policy=policy)
            for _ in range(races)
        )
        label = f"{concurrency}, {policy}" if concurrency == "read-write" else concurrency
        yield f"free, {label}: nothing lost", good(kept_safe, free, races)


def good(judge: Callable[[RaceResult], bool], results: Iterable[RaceResult], races: int) -> int:
    """How many results `judge` accepts, with a progress line."""
    count = 0
    with Progress("races", races) as progress:
        for number, result in enumerate(results, start=1):
            count += judge(result)
            progress.at(number)
    return count


def main() -> int:
    """Print the counts. Returns exit status 0 if all races were correct."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.races", description=__doc__)
    parser.add_argument("--races", type=int, default=100, help="races of each kind (%(default)s)")
    races = parser.parse_args().races
    whole = True
    for label, right in kinds(races):
        print(f"{label}: {right} of {races}", flush=True)
        whole = whole and right == races
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
