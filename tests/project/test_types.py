"""The type checker finds no errors. It is a test so that it runs in parallel with the others."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytest.importorskip("mypy", reason="needs mypy: pip install -e '.[test]'")


def test_types() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mypy"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
