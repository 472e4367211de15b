"""Runs explorers on the same small programs: `python -m tests.benchmarks.compare_explorers`.

It installs frontrun and interleave-test from PyPI into a temporary environment, with the newest
Python that it finds, because interleave-test needs 3.12. Each explorer runs in a process of its
own, and is used as its README says, with at most two preemptions where it has such a bound:

- bankkit: `patch=` and, if it says so, `lines=` with the module of the programs;
- frontrun: `frontrun.explore` under its command `frontrun`, with its defaults, and with its virtual
  clock, which finds a deadlock without waiting for a timeout;
- interleave-test: `strategy="dfs"`, which is exhaustive, at lines and at bytecodes; and random
  schedules at bytecodes, which are its default.

For each program it prints what the explorer says, after how many schedules and seconds. Then come
schedules per second of processor time, which depend less than seconds on what else the machine
does. They are counted on correct programs, without a bound, and without reduction in bankkit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from subprocess import PIPE
from typing import Any

from tests.benchmarks import compared_programs, other_explorers
from tests.benchmarks.compared_programs import PROGRAMS, Program

ROOT = Path(__file__).parents[2]
PYTHONS = ("python3.14", "python3.13", "python3.12", "python3")
REQUIREMENTS = {
    "bankkit": "greenlet>=3.1",
    "frontrun": "frontrun==0.7.0",
    "interleave-test": "interleave-test==0.1.0",
}
"""What pip installs for each explorer."""
PREEMPTIONS = 2
UNBOUNDED = 1000
RATED = ("ordered forks", "while", "corrected draft")
"""The programs whose schedules are counted per second."""
RATING_SECONDS = 2.0
PATIENCE = 10
"""So many times longer may the measurement take, if the explorer waits."""

Attempt = Callable[[Program], str]
"""What an explorer says about a program."""
Search = Callable[[Program], object]
"""A search that ends after a while, without a bound, and without reduction if that is possible."""


def model(program: Program, threading: Any) -> None:
    """The program as a function that asserts, for the explorers that take one."""
    state = program.setup()
    threads = [threading.Thread(target=worker, args=(state,)) for worker in program.workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert program.holds(state)


class Pace:
    """Counts schedules and their processor time: each begins when the program's state is made.

    So what an explorer does before the first schedule and after the last does not count.
    """

    def __init__(self, program: Program) -> None:
        self.program = replace(program, setup=self._setup)
        self.ran = 0
        self.spent = 0.0
        self._make = program.setup
        self._last: float | None = None

    def _setup(self) -> Any:
        now = time.process_time()
        if self._last is not None:
            self.ran += 1
            self.spent += now - self._last
        self._last = now
        return self._make()

    def over(self, search: Search, seconds: float) -> str:
        """Schedules per second of processor time, over searches that are repeated so long."""
        until = time.monotonic() + PATIENCE * seconds
        while self.spent < seconds and time.monotonic() < until:
            self._last = None
            search(self.program)
        return f"{self.ran / self.spent:,.0f}" if self.ran else "too few, so no"


# bankkit.


def ours(program: Program, *, lines: bool, **settings: Any) -> Any:
    """The result of bankkit's explorer."""
    from bankkit import explorer
    from bankkit.locks import first_draft

    return explorer.explore(
        partial(model, program),
        patch=[compared_programs, other_explorers, first_draft],
        lines=[compared_programs, other_explorers.Corrected, first_draft] if lines else (),
        **settings,
    )


def our_answer(program: Program, *, lines: bool, **settings: Any) -> str:
    """What bankkit's explorer says."""
    result = ours(program, lines=lines, **settings)
    said = result.bug.kind if result.bug is not None else result.verdict
    return f"{said}, {result.schedules:,}, {result.seconds:.1f} s"


# interleave-test.


def theirs(program: Program, **settings: Any) -> Any:
    """The result of interleave-test."""
    tool: Any = import_module("interleave_test")
    # It patches the module `threading` while it runs.
    return tool.explore(partial(model, program, threading), raise_on_failure=False, **settings)


def interleave_answer(program: Program, **settings: Any) -> str:
    """What interleave-test says."""
    started = time.perf_counter()
    result = theirs(program, **settings)
    said = "no failure"
    if result.failure is not None:
        said = result.failure.kind
    elif result.exhausted:
        said = "ok"
    return f"{said}, {result.schedules_run:,}, {time.perf_counter() - started:.1f} s"


# frontrun.


def frontrun_result(program: Program, **settings: Any) -> Any:
    """The result of frontrun."""
    tool: Any = import_module("frontrun")
    return tool.explore(
        setup=program.setup, workers=list(program.workers), invariant=program.holds, **settings
    )


def frontrun_answer(program: Program, **settings: Any) -> str:
    """What frontrun says."""
    started = time.perf_counter()
    try:
        result = frontrun_result(program, **settings)
        said = {True: "ok", False: "failure", None: "inconclusive"}[result.property_holds]
        said = f"{said}, {result.num_explored:,}"
    except Exception as error:  # what a worker raises ends the search
        said = f"{type(error).__name__}, number not told"
    return f"{said}, {time.perf_counter() - started:.1f} s"


def explorers(name: str, most: int, seconds: float) -> Iterator[tuple[str, Attempt, Search]]:
    """The settings of an explorer, for its answers and for its pace."""
    if name == "bankkit":
        for label, lines in (("at primitives", False), ("lines=", True)):
            yield (
                f"bankkit, {label}",
                partial(our_answer, lines=lines, preemptions=PREEMPTIONS, seconds=seconds),
                partial(ours, lines=lines, reduction=False, seconds=RATING_SECONDS),
            )
    elif name == "interleave-test":
        # Without what this file does in the main thread, it is faster.
        rated: dict[str, Any] = {"exclude": [__file__], "iterations": 500}
        for granularity in ("line", "opcode"):
            dfs: dict[str, Any] = {"strategy": "dfs", "granularity": granularity}
            yield (
                f"interleave-test, dfs at {granularity}s",
                partial(interleave_answer, iterations=most, max_preemptions=PREEMPTIONS, **dfs),
                partial(theirs, max_preemptions=UNBOUNDED, **dfs, **rated),
            )
        yield (
            "interleave-test, random at opcodes",
            partial(interleave_answer, iterations=most, seed=0),
            partial(theirs, seed=0, **rated),
        )
    else:
        rated = {"preemption_bound": None, "total_timeout": RATING_SECONDS}
        clocks: dict[str, dict[str, Any]] = {"": {}, ", clock='virtual'": {"clock": "virtual"}}
        for label, settings in clocks.items():
            yield (
                f"frontrun{label}",
                partial(frontrun_answer, total_timeout=seconds, **settings),
                partial(frontrun_result, **settings, **rated),
            )


def run(name: str, most: int, seconds: float, only: str) -> None:
    """Print the rows of one explorer; it must be installed here."""
    for label, attempt, search in explorers(name, most, seconds):
        print(label)
        for program in PROGRAMS:
            if only in program.name:
                expected = "has a bug" if program.has_bug else "is correct"
                print(f"    {program.name:16} {expected:10}  {attempt(program)}", flush=True)
        for program in PROGRAMS:
            if program.name in RATED and only in program.name:
                rate = Pace(program).over(search, RATING_SECONDS)
                print(f"    {program.name:16} {rate} schedules per CPU second", flush=True)


# The environment.


def works(python: str) -> bool:
    """Whether a command is a Python that can make environments."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", "import ensurepip, venv"], stderr=PIPE).returncode == 0


def environment(python: str, folder: str) -> Iterator[str]:
    """Make a virtual environment; yield the explorers that pip could install."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    for name, requirement in REQUIREMENTS.items():
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        done = subprocess.run([*pip, requirement], capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            print(f"{name}: unavailable: {' '.join(errors)[:300]}", flush=True)
        else:
            yield name


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the explorers, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare_explorers")
    parser.add_argument("--python", help="the Python to use (the newest of 3.12 to 3.14)")
    parser.add_argument("--most", type=int, default=2000, help="schedules of interleave-test")
    parser.add_argument("--seconds", type=float, default=20.0, help="per search (%(default)s)")
    parser.add_argument("--only", default="", metavar="NAME", help="programs with this name")
    parser.add_argument("--tool", choices=REQUIREMENTS, help="only this one, installed here")
    options = parser.parse_args(arguments)
    if options.tool:
        run(options.tool, options.most, options.seconds, options.only)
        return
    python = options.python or next(filter(works, PYTHONS))
    with tempfile.TemporaryDirectory() as folder:
        for name in environment(python, folder):
            command = [f"{folder}/bin/python", "-m", "tests.benchmarks.compare_explorers"]
            if name == "frontrun":  # its command also watches sockets
                command = [f"{folder}/bin/frontrun", "python", *command[1:]]
            command += ["--tool", name, "--only", options.only]
            command += ["--most", str(options.most), "--seconds", str(options.seconds)]
            path = os.pathsep.join((f"{folder}/bin", os.environ["PATH"]))
            variables = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
            done = subprocess.run(command, cwd=ROOT, env=variables)
            if done.returncode:
                print(f"{name}: ended with exit code {done.returncode}", flush=True)


if __name__ == "__main__":
    main()
