"""Virtual environments for tests that need other versions than those of this environment.

They are made on demand and kept in `.cache/venvs`, one for each Python and list of requirements.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT
from tests.support.versions import EXTRAS, SUPPORTED, requirements

CACHE = ROOT / ".cache" / "venvs"

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"

UNREACHABLE = re.compile(
    r"Retrying \(Retry\(|NewConnectionError|NameResolutionError|ConnectTimeout"
)
"""Texts that pip prints if it cannot reach a registry, but not if a version does not exist."""

NO_REGISTRY = "needs a package registry, and none can be reached: connect and try again"


def venv(python: str, wanted: Sequence[str]) -> Path:
    """The Python of an environment with the `wanted` packages; made with `python` if it is missing.

    `wanted` are entries of a requirements file. Either all or none have hashes; with hashes,
    nothing else is installed. If several tests need it at the same time, one of them builds it.
    Skips the calling test if the registry cannot be reached; any other error fails it.
    """
    version = subprocess.check_output([python, "-VV"], text=True)
    key = hashlib.sha256("\n".join([version, *sorted(wanted)]).encode()).hexdigest()[:16]
    folder = CACHE / key
    executable = folder / "bin" / "python"
    complete = folder / "complete"
    with _alone(folder.with_suffix(".lock")):
        if complete.exists():
            return executable
        # We use the pip of this environment: it is newer than the one that comes with an old
        # Python, and twice as fast.
        subprocess.run([python, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        listed = folder / "wanted.txt"
        listed.write_text("\n".join(wanted))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
        install = ["--python", str(executable), "install", "--quiet", "--requirement", str(listed)]
        done = subprocess.run([*pip, *install], capture_output=True, text=True)
        if done.returncode and UNREACHABLE.search(done.stderr + done.stdout):
            pytest.skip(NO_REGISTRY)
        assert done.returncode == 0, done.stderr
        complete.touch()
    return executable


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock on the file, so that other processes wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        flock(file, LOCK_EX)
        yield


@cache
def other_pythons() -> dict[str, str]:
    """The path of each supported Python on this machine except this one; by version."""
    others = (version for version in SUPPORTED if version != THIS)
    return {version: path for version in others if (path := _interpreter(version))}


def _interpreter(version: str) -> str | None:
    """The path of a working Python of this version: from PATH, or from pyenv if its shim fails."""
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


def pythons() -> dict[str, str]:
    """The path of each supported Python on this machine, including this one; by version."""
    every = {**other_pythons(), THIS: sys.executable}
    return {version: every[version] for version in SUPPORTED if version in every}


def for_lessons() -> list[Requirement]:
    """The requirements of the lessons and of the tests in `HELD`."""
    beside = {"hypothesis", "nbval", "packaging", "pytest", "pyyaml", "trustme"}
    every = requirements(*EXTRAS)
    return [every[name] for name in sorted(requirements("lab", "embedded").keys() | beside)]


def environment(**changes: str) -> dict[str, str]:
    """The environment variables of this process, except those that tie a child to this Python."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in dropped} | changes


HELD = (
    *("notebooks", "tests/bank/test_money.py", "tests/bank/test_accounts.py"),
    *("tests/bank/test_contract.py", "tests/lab/recording/test_linearization.py"),
    *("tests/redis_backend/test_private.py", "tests/redis_backend/test_url.py"),
    *("tests/redis_backend/test_user.py", "tests/locks/test_redis_lock.py"),
)
"""The tests that also run on other versions: the lessons, the contract, the rules, Redis."""


def assert_holds(python: Path, *paths: str, hide: Sequence[str] = ()) -> None:
    """Runs these tests with another Python, on a PATH without the programs named in `hide`."""
    runner = [str(python), "-m", "pytest", "--nbval", "--quiet", "-p", "tests.support.foreign_data"]
    command = [*runner, *paths]
    if hide:
        command = [str(ROOT / ".ci" / "without"), *hide, "--", *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
