"""A saved schedule says what it was made with, and a replay that fails says what has changed."""

import importlib.util
import json
import linecache
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bankkit.explorer import Diverged, Schedule, explore, replay

PROGRAM = """
def scenario(threading):
    counter = threading.shared(value=0)

    def add():
        counter.value += 1

    threading.together(add, add)
    assert counter.value == 2
"""

FIXED = PROGRAM.replace("    counter =", "    lock = threading.Lock()\n    counter =").replace(
    "        counter.value += 1", "        with lock:\n            counter.value += 1"
)


def scenario_in(file: Path, program: str = PROGRAM) -> Callable[[Any], object]:
    """The scenario of a program that is written to this file."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(program)
    linecache.checkcache(str(file))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(program, str(file), "exec"), module.__dict__)  # never from a stale pyc
    scenario: Callable[[Any], object] = module.scenario
    return scenario


def saved(file: Path) -> str:
    """The failing schedule of the program, as text."""
    bug = explore(scenario_in(file)).bug
    assert bug is not None
    return bug.schedule.to_json()


def refusal(scenario: Callable[[Any], object], text: str) -> str:
    with pytest.raises(Diverged) as caught:
        replay(scenario, Schedule.from_json(text))
    return str(caught.value)


def test_the_text_has_the_version_and_the_sources(tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    text = saved(file)
    data = json.loads(text)
    assert data["python"] == platform.python_version()
    assert list(data["sources"]) == [str(file)]
    file.write_text(FIXED)
    linecache.checkcache(str(file))
    again = Schedule.from_json(text)
    assert again.to_json() == text, "what was read is not made now"
    assert again == Schedule(again.moves, again.threads)


def test_a_changed_program_is_named(tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    text = saved(file)
    assert replay(scenario_in(file), Schedule.from_json(text)).kind == "failed assertion"
    told = refusal(scenario_in(file, FIXED), text)
    assert told.startswith("The scenario does not follow the schedule: step 1 of the schedule is")
    assert told.endswith(". Since the schedule was made, counter.py has changed.")


def test_a_program_in_another_folder_may_be_the_same(tmp_path: Path) -> None:
    text = saved(tmp_path / "here" / "counter.py")
    (tmp_path / "here" / "counter.py").unlink()
    there = tmp_path / "there" / "counter.py"
    linecache.clearcache()
    assert replay(scenario_in(there), Schedule.from_json(text)).kind == "failed assertion"
    assert refusal(scenario_in(there, FIXED), text).endswith("counter.py has changed.")


def test_another_python_is_named(tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    data = json.loads(saved(file))
    data["python"] = "3.9.1"
    text = json.dumps(data)
    assert replay(scenario_in(file), Schedule.from_json(text)).kind == "failed assertion"
    data["moves"][0]["does"] = "read counter.total"
    told = refusal(scenario_in(file), json.dumps(data))
    assert f"made, Python is {platform.python_version()} and no longer 3.9.1." in told
    assert "has changed" not in told
    data["python"] = platform.python_version()
    assert "Since" not in refusal(scenario_in(file), json.dumps(data))


def test_a_schedule_of_an_earlier_release_has_no_origin(tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    data = json.loads(saved(file))
    del data["python"], data["sources"]
    old = Schedule.from_json(json.dumps(data))
    assert old.origin is None
    assert replay(scenario_in(file), old).kind == "failed assertion"
    told = refusal(scenario_in(file, FIXED), json.dumps(data))
    assert "Since" not in told


@pytest.mark.parametrize("wrong", [{"python": 3}, {"sources": []}, {"sources": None}])
def test_a_bad_origin_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    data = {**json.loads(saved(tmp_path / "counter.py")), **wrong}
    with pytest.raises(ValueError, match="This is not a schedule"):
        Schedule.from_json(json.dumps(data))
