"""Settings for the tests in this folder: a bank gets a private Redis unless a test chooses another.

Lessons are not in this folder: `pytest --nbval notebooks` runs them on the Redis of
`BANKKIT_REDIS_URL`, if that is set.
"""

import ast
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from bankkit.redis_backend import PrivateRedis
from tests.support.paths import ROOT
from tests.support.processes import Home, home
from tests.support.shares import share

os.environ.pop("BANKKIT_REDIS_URL", None)

EXTRA = {
    *("cryptography", "fasteners", "hypothesis", "nbclient", "nbconvert", "packaging"),
    *("readerwriterlock", "trustme", "yaml"),
}
"""Packages that test files import, but that the bank and its lessons do not need."""

MISSING = {name for name in EXTRA if importlib.util.find_spec(name) is None}


@cache
def imports(path: Path) -> frozenset[str]:
    """The packages that a test file imports at its top, directly or through a module of `tests`."""
    found: set[str] = set()
    for name in _imported(path):
        own = (ROOT / name.replace(".", "/")).with_suffix(".py")
        found |= imports(own) if own.is_file() and own != path else {name.partition(".")[0]}
    return frozenset(found)


def _imported(path: Path) -> Iterator[str]:
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Import):
            yield from (each.name for each in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            yield from (f"{statement.module}.{each.name}" for each in statement.names)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most cases of some tests to `make test-all`, before pytest looks at the markers."""
    share(items)


class Wanting(pytest.Module):
    """A test file that cannot be imported here, because a package is missing."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """Skips the file, and names the missing packages."""
        names = " and ".join(sorted(imports(self.path) & MISSING))
        pytest.skip(
            f"needs {names}, which is not installed here: pip install -e '.[lab,test,bench]'",
            allow_module_level=True,
        )


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Wanting | None:
    """Replaces a file that imports a missing package by one that is skipped."""
    if MISSING and imports(module_path) & MISSING:
        return Wanting.from_parent(parent, path=module_path)
    return None


# Fixtures that several files use.


@pytest.fixture
def place() -> Iterator[Home]:
    """The home of the processes that a test starts."""
    with home() as place:
        yield place


@pytest.fixture
def here(place: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of the processes that a test starts, and of this process."""
    monkeypatch.setenv("TMPDIR", str(place.folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a Redis that the tests of one file share."""
    with closing(PrivateRedis()) as server:
        yield server.url
