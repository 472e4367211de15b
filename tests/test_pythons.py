"""The lessons and the contract on each supported Python that this machine has beside this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.venvs import ROOT, environment, requirements, venv

SUPPORTED = ("3.11", "3.12", "3.13")
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"

QUICK = ("tests/test_money.py", "tests/test_accounts.py", "tests/test_contract.py")
"""Beside the lessons: the rules, and every row of the status table."""

TOOLS = ("hypothesis", "nbval", "pytest")


def interpreter(version: str) -> str | None:
    """A Python of this version that runs: from PATH, else from pyenv, whose shims may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))
    for candidate in (f"python{version}", *installed):
        look = [candidate, "-c", "import sys, venv; print(*sys.version_info[:2], sep='.')"]
        try:
            found = subprocess.run(look, capture_output=True, text=True)
        except OSError:
            continue
        if found.stdout.strip() == version:
            return candidate
    return None


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version != THIS])
def test_lessons_and_contract_hold_on(version: str) -> None:
    base = interpreter(version)
    if base is None:
        pytest.skip(f"no Python {version} on this machine")
    every = requirements("lab", "embedded", "test")
    needed = requirements("lab", "embedded").keys() | set(TOOLS)
    python = venv(base, [str(every[name]) for name in sorted(needed)])
    done = subprocess.run(
        [python, "-m", "pytest", "--nbval", "--quiet", "notebooks", *QUICK],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
