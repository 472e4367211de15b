"""Finds known bugs in real libraries: `python -m tests.benchmarks.library_bugs`.

Each bug was reported publicly. We install the last release with the bug and the first without it
into temporary folders, run one scenario on both, each in a process of its own, and print what the
explorer answers. It must find the reported fault in the old release, and no bug in the new one.
The exit code is 1 otherwise. `pairs` lists the bugs and their reports. A release that pip cannot
install, or that is too old for this Python, is reported and does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.library_bugs.pairs import PAIRS, Pair

ROOT = Path(__file__).parents[3]
GRACE = 60.0
"""Seconds that a process may need beside its search."""


class NotInstalled(Exception):
    """Pip could not install a release. The text says why."""


def install(folder: str, requirements: Sequence[str], *, built: bool) -> None:
    """Install into the folder. Raises `NotInstalled`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command += ["--quiet", "--target", folder]
    if built:  # with the setuptools that is here, and without C code
        command += ["--no-build-isolation", "--no-deps"]
    run = subprocess.run(
        [*command, *requirements],
        capture_output=True,
        text=True,
        env={**os.environ, "DISABLE_SQLALCHEMY_CEXT": "1"},
    )
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled(f"pip cannot install {requirements[0]}: {' '.join(lines)[:200]}")


def explored(pair: Pair, release: str, seconds: float) -> dict[str, Any]:
    """What the explorer answers with this release. Raises `NotInstalled`."""
    with tempfile.TemporaryDirectory() as folder:
        install(folder, [release, *pair.needs], built=pair.built)
        run = subprocess.run(
            [sys.executable, "-m", f"{__package__}.run_one", pair.name, pair.fault, str(seconds)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((folder, str(ROOT)))},
            timeout=seconds + GRACE,
        )
    if run.returncode:
        error = run.stderr.strip().rpartition("\n")[2]
        return {"verdict": "error", "told": error}
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])  # a library may print, too
    return answer


def is_right(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the fault was found in the old release, and nothing in the new one."""
    found = old["verdict"] == "bug" and old["is_the_fault"]
    return found and new["verdict"] in ("ok", "unknown")


def main(arguments: Sequence[str] | None = None) -> None:
    """Explore both releases of each pair, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.library_bugs")
    parser.add_argument("--only", metavar="NAME", help="pairs whose name contains this")
    parser.add_argument("--seconds", type=float, default=60.0, help="per search (%(default)s)")
    parser.add_argument("--show", action="store_true", help="print the failing schedules")
    options = parser.parse_args(arguments)
    wrong = 0
    for pair in PAIRS:
        if options.only and options.only not in pair.name:
            continue
        print(f"{pair.name}: {pair.report}", flush=True)
        answers = []
        for release in (pair.old, pair.new):
            try:
                answer = explored(pair, release, options.seconds)
            except NotInstalled as error:
                print(f"    {error}", flush=True)
                break
            answers.append(answer)
            ran = f" after {answer['schedules']:,} schedules" if "schedules" in answer else ""
            print(f"    {release:25} {answer['verdict']}{ran}: {answer['told']}", flush=True)
            if options.show:
                print(answer.get("shown", ""), flush=True)
        imported = all(answer["verdict"] != "not imported" for answer in answers)
        if len(answers) == 2 and imported and not is_right(*answers):
            wrong += 1
            print("    WRONG: this is not what the report says", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
