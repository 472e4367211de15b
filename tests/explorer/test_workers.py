"""Several processes search a scenario with the verdict of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bankkit.explorer import Bound, Stuck, explore, explored
from bankkit.explorer.parallel import team, together
from bankkit.explorer.parallel.messages import ELSEWHERE, Report
from bankkit.explorer.running.laboratory import Limits
from bankkit.explorer.running.settings import Settings, Subject
from tests.explorer import parallel_scenarios as scenarios
from tests.explorer.test_strategies import All, Alternating
from tests.support.paths import ROOT


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell the scenarios which process is that of the test."""
    monkeypatch.setenv("EXPLORER_TEST_PID", str(os.getpid()))


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    yield
    left = [each for each in threading.enumerate() if "_receive" in each.name]
    for each in left:
        each.join(10)
    assert not any(each.is_alive() for each in left)


TWO: list[tuple[Any, dict[str, Any]]] = [
    (scenarios.increments, {"preemptions": 1}),
    (scenarios.loses_four, {}),
]
MORE: list[tuple[Any, dict[str, Any]]] = [
    (scenarios.readers_and_writers, {"preemptions": 2}),
    (scenarios.readers_and_writers, {"preemptions": 1, "reduction": False}),
    (scenarios.readers_and_writers, {"preemptions": 1}),
    (scenarios.increments, {"strategy": "delay", "delays": 2}),
    (scenarios.increments, {"strategy": "pct", "schedules": 100}),
    (scenarios.increments, {}),
    (scenarios.increments, {"strategy": "exhaustive"}),
    (scenarios.loses_four, {"preemptions": 2}),
    (scenarios.loses_four, {"strategy": "surw"}),
    (scenarios.loses_four, {"strategy": Alternating, "schedules": 100}),
    (scenarios.large, {"schedules": 400}),
    (scenarios.answer, {}),
    (scenarios.unseen, {"preemptions": 3}),
    (scenarios.unseen, {"preemptions": 0}),
]


def same_verdict(scenario: Any, options: dict[str, Any]) -> None:
    one, two = (explore(scenario, workers=workers, **options) for workers in (1, 2))
    assert (one.verdict, one.bound, one.limit) == (two.verdict, two.bound, two.limit)
    assert bool(one.unreduced) == bool(two.unreduced)
    if one.bug is not None and two.bug is not None:
        assert one.bug.kind == two.bug.kind
        assert one.bug.schedule.preemptions == two.bug.schedule.preemptions
    elif one.verdict == "ok":
        assert one.exhausted == two.exhausted
        assert two.schedules <= 1.3 * one.schedules + 50
    elif "strategy" in options:
        assert one.random == two.random


@pytest.mark.parametrize(("scenario", "options"), TWO)
def test_two_processes_have_the_verdict_of_one(scenario: Any, options: dict[str, Any]) -> None:
    same_verdict(scenario, options)


@pytest.mark.elsewhere
@pytest.mark.parametrize(("scenario", "options"), MORE)
def test_they_have_it_for_every_strategy(scenario: Any, options: dict[str, Any]) -> None:
    same_verdict(scenario, options)


@pytest.mark.elsewhere
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("options", [{}, {"preemptions": 3}, {"strategy": "pct"}])
def test_a_process_that_dies_leaves_no_ok(options: dict[str, Any]) -> None:
    result = explore(scenarios.dies, workers=2, **options)
    assert result.verdict == "unknown"
    assert "of 2 died (exit status -9)" in result.limit


@pytest.mark.elsewhere
@pytest.mark.usefixtures("elsewhere")
def test_an_error_in_another_process_is_raised_here() -> None:
    with pytest.raises(Stuck, match="parallel_scenarios"):
        explore(scenarios.real_wait, workers=2, preemptions=3)
    with pytest.raises(RuntimeError, match="Odd"):
        explore(scenarios.fails_elsewhere, workers=2)


def test_a_scenario_that_cannot_be_imported_is_refused() -> None:
    """Before any process starts."""

    def local(threading: Any) -> None:
        pass

    for scenario in (local, lambda threading: None):
        with pytest.raises(ValueError, match=ELSEWHERE) as caught:
            explore(scenario, workers=2)
        assert str(caught.value).count(". ") == 0


def test_a_scenario_of_a_notebook_is_refused() -> None:
    code = (
        "from bankkit.explorer import explore\n"
        "def scenario(threading): pass\n"
        "try: explore(scenario, workers=2)\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        f"{ELSEWHERE}: move scenario from __main__, which may be a notebook, to a module.\n"
    )


def test_what_cannot_be_divided_is_refused() -> None:
    for options, words in (
        ({"strategy": "delay"}, "needs a number of delays"),
        ({"strategy": All}, "exhaustive strategy of your own"),
    ):
        with pytest.raises(ValueError, match=words):
            explore(scenarios.increments, workers=2, **options)
    with pytest.raises(ValueError, match="one worker"):
        explored(workers=2)


@pytest.mark.elsewhere
def test_the_time_limit_holds() -> None:
    """The start of the processes counts."""
    started = time.monotonic()
    result = explore(scenarios.slow, workers=2, seconds=3.0)
    assert result.verdict == "unknown"
    assert result.limit == "the time limit was reached"
    assert time.monotonic() - started < 15


INTERRUPTED = """
from bankkit.explorer import explore
from tests.explorer import parallel_scenarios as scenarios
if __name__ == "__main__":
    print("begins", flush=True)
    explore(scenarios.slow, workers=2)
"""


@pytest.mark.elsewhere
@pytest.mark.parametrize("after", [0.0, 1.5])
def test_ctrl_c_ends_all_processes(after: float, tmp_path: Any) -> None:
    """They share our stderr, so its end says that all of them have ended."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(after)  # anywhere in the search
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.count("KeyboardInterrupt") == 1, errors


@pytest.mark.elsewhere
def test_the_processes_end_with_the_one_that_started_them(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "a line of the scenario" in process.stderr.readline()  # a worker is at work
    process.kill()
    process.communicate(timeout=60)  # the workers have closed it, too


def test_the_bound_is_that_of_the_settings() -> None:
    """A search that one process ends while it divides it needs no others."""
    result = explore(scenarios.answer, workers=2, preemptions=0)
    assert (result.verdict, result.bound, result.schedules) == ("ok", Bound(0), 2)


def test_processes_that_saw_different_steps_do_not_reduce() -> None:
    """Each compares only what it has seen itself, so their notes are compared in the end."""
    settings = Settings(preemptions=1, workers=2)
    joint = together._Joint(Subject(scenarios.increments), settings, Limits(10, 0.0))
    seen: dict[int, int] = {}
    assert not joint._is_over(Report(seen={7: 1, 8: 1}), "prefixes", seen)
    assert not joint._is_over(Report(seen={8: 1, 9: 2}), "prefixes", seen)
    assert joint._is_over(Report(seen={9: 3}), "prefixes", seen)
    assert joint._done.unreduced == together.DISAGREE


@pytest.mark.parametrize("seed", ["random", "7"])
def test_the_processes_order_a_set_of_texts_alike(
    seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And like this process if it was started with a seed."""
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    monkeypatch.setattr(
        team, "_START", "import os, pickle, sys; sys.stdin.close(); "
        "sys.stdout.buffer.write(pickle.dumps((hash('a text'), os.environ['PYTHONHASHSEED'])))"
    )  # fmt: skip
    with team.Team([b"", b""]) as processes:
        told: list[Any] = [report for _, report in (processes.next(30) for _ in range(4)) if report]
    assert len(told) == 2
    assert len(set(told)) == 1
    assert told[0][1] == {"random": "0"}.get(seed, seed)
