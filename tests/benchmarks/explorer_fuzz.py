"""Compares the explorer's searches on random programs: `python -m tests.benchmarks.explorer_fuzz`.

Each program runs under all schedules, and under the schedules of each reduction, without a bound
and with several, at once and in parts. All of them must end in the same ways. It stops at the first
program that differs, prints the smallest such program and fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.support.outcomes import disagreement, disagreement_of_parts, shrunk
from tests.support.random_programs import program


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the searches, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.explorer_fuzz")
    parser.add_argument("--programs", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=1_000, help="the first seed (%(default)s)")
    parser.add_argument(
        "--schedules", type=int, default=500, help="the most of one search (%(default)s)"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    for number in range(options.programs):
        seed = options.first + number
        for compare in (disagreement, disagreement_of_parts):
            differs = compare(program(seed), options.schedules)
            if differs:
                smallest = shrunk(program(seed), options.schedules, compare)
                print(f"program {seed}: {differs}\nthe smallest like it: {smallest}")
                print(compare(smallest, options.schedules))
                sys.exit(1)
        if (number + 1) % 1000 == 0:
            print(
                f"{number + 1:,} programs agree after {time.monotonic() - started:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
