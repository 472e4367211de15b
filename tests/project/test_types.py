"""The type checker has nothing to say. It is a test so that others run beside it."""

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
