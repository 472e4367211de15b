"""Environments for tests that need other versions than the ones pytest runs on.

They are made on demand and kept in `.cache/venvs`, one for each Python and list of requirements.
"""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "venvs"

SUPPORTED = ("3.11", "3.12", "3.13")
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"

UNREACHABLE = re.compile(
    r"Retrying \(Retry\(|NewConnectionError|NameResolutionError|ConnectTimeout"
)
"""What pip says when it cannot reach a registry, and not when a version does not exist."""


def project() -> dict[str, object]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements(*extras: str) -> dict[str, Requirement]:
    """What bankkit requires by itself, and with the given extras; by name."""
    table = project()
    lines = list(table["dependencies"])  # type: ignore[call-overload]
    for extra in extras:
        lines += table["optional-dependencies"][extra]  # type: ignore[index]
    return {parsed.name: parsed for parsed in map(Requirement, lines)}


def floors(*extras: str) -> dict[str, str]:
    """The oldest allowed version of each requirement that sets one; by name."""
    return {
        name: specifier.version
        for name, requirement in requirements(*extras).items()
        for specifier in requirement.specifier
        if specifier.operator in (">=", "==")
    }


def pins() -> dict[str, Requirement]:
    """What the `pip:` section of environment.yml installs; by name."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (section,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return {parsed.name: parsed for parsed in map(Requirement, section)}


def venv(python: str, wanted: Sequence[str]) -> Path:
    """The Python of an environment with these requirements, built on `python` if not there yet.

    Tests that run at the same time and want the same one build it once.
    Skips the calling test when the registry cannot be reached; any other trouble fails it.
    """
    version = subprocess.check_output([python, "-VV"], text=True)
    key = hashlib.sha256("\n".join([version, *sorted(wanted)]).encode()).hexdigest()[:16]
    folder = CACHE / key
    executable = folder / "bin" / "python"
    complete = folder / "complete"
    with _alone(folder.with_suffix(".lock")):
        if complete.exists():
            return executable
        # The pip of this environment fills the other: it is newer than the one that would come
        # with an old Python, and twice as fast.
        subprocess.run([python, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
        install = ["--python", str(executable), "install", "--quiet", "--no-compile"]
        done = subprocess.run([*pip, *install, *wanted], capture_output=True, text=True)
        if done.returncode and UNREACHABLE.search(done.stderr + done.stdout):
            pytest.skip("needs a package registry, and none can be reached")
        assert done.returncode == 0, done.stderr
        complete.touch()
    return executable


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process is in here with the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        flock(file, LOCK_EX)
        yield


@cache
def other_pythons() -> dict[str, str]:
    """Where each other supported Python is that runs on this machine; by version."""
    others = (version for version in SUPPORTED if version != THIS)
    return {version: path for version in others if (path := _interpreter(version))}


def _interpreter(version: str) -> str | None:
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


def with_lessons(base: str) -> Path:
    """The Python of an environment on `base` with what the lessons and the tests of them need."""
    every = requirements("lab", "embedded", "test")
    needed = requirements("lab", "embedded").keys() | {"hypothesis", "nbval", "pytest"}
    return venv(base, [str(every[name]) for name in sorted(needed)])


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would tie a child to this Python."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in dropped} | changes
