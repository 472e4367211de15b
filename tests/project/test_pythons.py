"""The lessons, the contract and Redis on every other Python on this machine."""

import subprocess

import pytest

from tests.support.paths import ROOT
from tests.support.venvs import HELD, THIS, assert_holds, environment, other_pythons, venv
from tests.support.versions import SUPPORTED, environment_python, lock_entries, pins

pytestmark = pytest.mark.elsewhere


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version != THIS])
def test_the_lock_holds_on(version: str) -> None:
    # rwlock has no wheel, and is needed only for benchmarks.
    wanted = [text for entry, text in lock_entries().items() if entry.name != "rwlock"]
    assert_holds(venv(python(version), wanted), *HELD)


def test_environment_yml_holds() -> None:
    """With only the pinned packages, the lessons pass, and no test file fails at its imports."""
    executable = venv(python(environment_python()), [str(pin) for pin in pins().values()])
    assert_holds(executable, *HELD)
    collected = subprocess.run(
        [executable, "-m", "pytest", "--nbval", "--collect-only", "--quiet"],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
    assert "needs hypothesis, which is not installed here: pip install" in collected.stdout


def python(version: str) -> str:
    """The path of this Python. Skips the test if this machine has none."""
    if version not in other_pythons():
        pytest.skip(
            f"no Python {version} here: `apt install python{version}-venv` where Debian has it,"
            f" or `pyenv install {version}`"
        )
    return other_pythons()[version]
