"""`@explored` makes a scenario a test, for any runner; the pytest plugin saves what failed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bankkit.explorer import BrokenSchedule, NotExplored, explored
from tests.support.paths import ROOT


def two_additions(threading: Any, locked: bool) -> None:
    counter = threading.shared(value=0)
    lock = threading.Lock()

    def add() -> None:
        if locked:
            with lock:
                counter.value += 1
        else:
            counter.value += 1

    threading.together(add, add)
    assert counter.value == 2


def test_a_scenario_without_a_bug_passes_whatever_form_the_decorator_has() -> None:
    explored(two_additions)(locked=True)
    explored(preemptions=2)(two_additions)(True)


def test_a_bug_is_an_assertion_with_its_table_and_its_cause() -> None:
    with pytest.raises(BrokenSchedule, match=r"bug after .*failed assertion") as caught:
        explored(preemptions=1)(two_additions)(locked=False)
    assert "read counter.value" in str(caught.value)
    assert isinstance(caught.value.__cause__, AssertionError)
    assert caught.value.outcome.kind == "failed assertion"


def test_a_search_that_did_not_end_does_not_pass() -> None:
    with pytest.raises(NotExplored, match="the limit of 1 schedule was reached"):
        explored(schedules=1)(two_additions)(locked=True)


def test_a_random_search_passes_if_it_finds_nothing() -> None:
    explored(strategy="pct", schedules=20)(two_additions)(locked=True)
    with pytest.raises(BrokenSchedule):
        explored(strategy="pct", schedules=200)(two_additions)(locked=False)


def test_what_cannot_be_explored_is_refused_at_the_decorator() -> None:
    with pytest.raises(TypeError, match="needs a parameter named threading"):
        explored(lambda: None)
    with pytest.raises(TypeError, match="preemtions"):
        explored(preemtions=2)

    async def scenario(threading: Any) -> None: ...

    with pytest.raises(TypeError, match="must be a plain function"):
        explored(scenario)


# --- Under pytest --------------------------------------------------------------------------------

FILE = """
import pytest
from bankkit.explorer import explored

@pytest.fixture
def start():
    return 40

class TestCounter:
    @pytest.mark.parametrize("safe", [True, False])
    @explored(preemptions=1)
    def test_two_additions(self, threading, start, safe):
        counter = threading.shared(value=start)
        lock = threading.Lock()
        def add():
            if safe:
                lock.acquire()
            counter.value += 1
            if safe:
                lock.release()
        threading.together(add, add)
        assert counter.value == start + 2

def test_another():
    pass
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugins = ["-p", "pytest_bankkit", "-p", "no:nbval", "-p", "no:anyio"]
    command = [sys.executable, "-m", "pytest", *plugins, "--rootdir=.", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip


def test_a_failure_says_how_to_replay_it_and_the_replay_fails_in_the_same_way(
    tmp_path: Path,
) -> None:
    file = tmp_path / "deep" / "test_counter.py"
    file.parent.mkdir()
    file.write_text(FILE)
    first = run(tmp_path, "deep")
    assert first.returncode == 1, first.stdout + first.stderr
    assert "1 failed, 2 passed" in first.stdout
    assert "assert 41 == (40 + 2)" in first.stdout, "pytest's own words for the assertion"
    assert "read counter.value" in first.stdout, "the table"
    assert "If step 2 (add-2: read counter.value) comes after step 4" in first.stdout, "the why"
    (line,) = re.findall(r"replay it with: pytest (.*)", first.stdout)
    test, option, saved = line.replace("'", "").split(" ")
    assert test == "deep/test_counter.py::TestCounter::test_two_additions[False]"
    assert json.loads((tmp_path / saved).read_text())["moves"]

    again = run(tmp_path, option, saved)
    assert "1 failed, 2 deselected" in again.stdout, again.stdout + again.stderr
    assert "assert 41 == (40 + 2)" in again.stdout

    file.write_text(FILE.replace("if safe:", "if True:"))
    fixed = run(tmp_path, option, saved)
    assert fixed.returncode == 1
    assert "The scenario does not follow the schedule" in fixed.stdout


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("bad.json", "is not a saved schedule"),
        pytest.param("gone.json", "No such file", marks=pytest.mark.elsewhere),
    ],
)
def test_a_file_without_a_schedule_is_refused(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "bad.json").write_text("{}")
    refused = run(tmp_path, "--replay", path)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert reason in refused.stderr


def test_the_plugin_loads_nothing_of_bankkit(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\ndef test(): assert not {'bankkit', 'greenlet', 'grpc'} & set(sys.modules)"
    )
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
