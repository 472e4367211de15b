"""What the explorer finds in SCTBench's group CS: `python -m tests.benchmarks.sctbench`.

Each program has a bug. The table gives, for the default search and for each other strategy of
`explore`, how the failing schedule ends and after how many schedules and seconds it was found. Then
it gives the answer of the default search for the corrected program. `specimens.sctbench` says where
the programs are from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bankkit import explorer
from tests.explorer.specimens import Specimen
from tests.explorer.specimens.sctbench import SPECIMENS

DEFAULT = "default"


def strategies() -> list[str]:
    """The default search, and the names of all other strategies that `explore` has."""
    default = signature(explorer.explore).parameters["strategy"].default
    names = dict.fromkeys(_literals(get_type_hints(explorer.explore)["strategy"]))
    return [DEFAULT, *(name for name in names if name != default)]


def _literals(annotation: Any) -> Iterator[str]:
    """The texts in a `Literal`, which may be part of a union."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _literals(part)


def explored(scenario: Callable[[Any], object], strategy: str, seconds: float) -> explorer.Result:
    """What one strategy answers within so many seconds."""
    settings: dict[str, Any] = {} if strategy == DEFAULT else {"strategy": strategy}
    return explorer.explore(scenario, seconds=seconds, **settings)


def told(result: explorer.Result, bug: str) -> str:
    """An answer in the width of a column. `bug` is the kind that the program has."""
    verdict: str = result.verdict
    if result.bug is not None:
        verdict = "found" if result.bug.kind == bug else f"found: {result.bug.kind}"
    return f"{verdict} {result.schedules:,} in {result.seconds:.1f} s"


def row(specimen: Specimen, names: Sequence[str], seconds: float) -> tuple[list[str], bool]:
    """The cells of a program, and whether the default search answered right."""
    one = explorer.replay(specimen.broken, explorer.Schedule((), ()))
    cells = [specimen.name, str(len(one.schedule.threads)), specimen.kind]
    right = True
    for name in names:
        result = explored(specimen.broken, name, seconds)
        right = right and (name != DEFAULT or result.bug is not None)
        cells.append(told(result, specimen.kind))
    twin = explored(specimen.corrected, DEFAULT, seconds)
    cells.append(told(twin, ""))
    return cells, right and twin.bug is None


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table. The exit code is 1 if the default search misses a bug, or invents one."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sctbench")
    parser.add_argument("--seconds", type=float, default=15.0, help="per search (%(default)s)")
    parser.add_argument("--only", metavar="NAME", help="programs whose name contains this")
    parser.add_argument(
        "--strategy", action="append", choices=strategies(), help="one of them; all by default"
    )
    options = parser.parse_args(arguments)
    names = options.strategy or strategies()
    widths = [17, 7, 16, *[24] * len(names), 24]
    head = ["program", "threads", "bug", *names, "corrected, default"]
    print("verdict, schedules, seconds")
    print("  ".join(map(str.ljust, head, widths)).rstrip(), flush=True)
    wrong = []
    for specimen in SPECIMENS:
        if not options.only or options.only in specimen.name:
            cells, right = row(specimen, names, options.seconds)
            if not right:
                wrong.append(specimen.name)
            print("  ".join(map(str.ljust, cells, widths)).rstrip(), flush=True)
    if wrong and DEFAULT in names:
        print(f"the default search is wrong about: {', '.join(wrong)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
