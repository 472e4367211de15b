"""The command `explore`: its exit status, its words, and a schedule that it saves and replays."""

import subprocess
import sys
from pathlib import Path

import pytest

from bankkit.cli.main import main
from tests.support.paths import ROOT

SCENARIOS = """
def add(threading, locked):
    counter = threading.shared(value=0)
    lock = threading.Lock()

    def work():
        if locked:
            with lock:
                counter.value += 1
        else:
            counter.value += 1

    threading.together(work, work)
    assert counter.value == 2


def broken(threading):
    add(threading, False)


def right(threading):
    add(threading, True)


class Scenarios:
    @staticmethod
    def right(threading):
        add(threading, True)


def needs_more(threading, more): ...

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenarios_of_mine.py"
    path.write_text(SCENARIOS)
    return path


def test_ok_bug_and_unknown_have_each_their_status(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", f"{file}:right"]) == 0
    assert capsys.readouterr().out.startswith("ok: every schedule")
    assert main(["explore", f"{file}:Scenarios.right", "--preemptions=1"]) == 0
    assert main(["explore", f"{file}:broken", "--preemptions=1"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "failed assertion" in told
    assert "comes after step 4 (work: write counter.value), all ends well" in told
    assert main(["explore", f"{file}:right", "--schedules=1"]) == 3
    assert "limit of 1 schedule was" in capsys.readouterr().out
    assert main(["explore", f"{file}:broken", "--strategy=pct", "--seed=1"]) == 1


def test_a_schedule_is_saved_and_replayed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "found.json"
    assert main(["explore", f"{file}:broken", "--save", str(saved)]) == 1
    capsys.readouterr()
    assert main(["explore", f"{file}:broken", "--replay", str(saved)]) == 1
    assert capsys.readouterr().out.startswith("failed assertion")
    assert main(["explore", f"{file}:right", "--replay", str(saved)]) == 3
    assert "does not follow the schedule" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{file}:missing"], "has no missing"),
        (["{file}:number"], "is not a function"),
        (["{file}:needs_more"], "more"),
        (["{file}.py:right"], "There is no file"),
        (["no_such_module:right"], "There is no module no_such_module"),
        (["{file}:right", "--patch", "no_such_module"], "There is no module no_such_module"),
        (["{file}:right", "--replay", "{file}"], "is not a schedule"),
        (["{file}:right", "--replay", "{file}.json"], "No such file"),
    ],
)
def test_a_bad_argument_is_a_sentence(
    file: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", *(each.format(file=file) for each in arguments)]) in (1, 2)
    captured = capsys.readouterr()
    assert reason in captured.err + captured.out


def test_in_a_shell_a_module_of_the_current_folder_is_found(file: Path) -> None:
    command = [sys.executable, "-m", "bankkit", "explore", "scenarios_of_mine:broken"]
    done = subprocess.run(
        [*command, "--lines", "scenarios_of_mine:add"], cwd=file.parent,
        env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "scenarios_of_mine.py:" in done.stdout
