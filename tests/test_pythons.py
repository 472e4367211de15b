"""The lessons and the contract on each supported Python that this machine has beside this one."""

import subprocess

import pytest

from tests.venvs import ROOT, SUPPORTED, THIS, environment, other_pythons, with_lessons

QUICK = ("tests/test_money.py", "tests/test_accounts.py", "tests/test_contract.py")
"""Beside the lessons: the rules, and every row of the status table."""


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version != THIS])
def test_lessons_and_contract_hold_on(version: str) -> None:
    others = other_pythons()
    if version not in others:
        pytest.skip(f"no Python {version} on this machine")
    # On the newest of them the lessons meet a Redis of the user's own: see test_own_redis.py.
    lessons = [] if version == max(others) else ["notebooks"]
    done = subprocess.run(
        [with_lessons(others[version]), "-m", "pytest", "--nbval", "--quiet", *lessons, *QUICK],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
