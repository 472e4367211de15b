"""The versions that this project requires, locks and pins, read from its files."""

import re
import tomllib
from functools import cache

import yaml
from packaging.requirements import Requirement

from tests.support.paths import ROOT

LOCK = ROOT / "requirements.lock"
ENVIRONMENT = ROOT / "environment.yml"

SUPPORTED = ("3.11", "3.12", "3.13", "3.14", "3.15")
EXTRAS = ("lab", "embedded", "test", "bench")
"""The extras that `make install` installs."""

BESIDE_LESSONS = ("hatchling", "nbval", "pytest")
"""Packages in environment.yml that the lessons do not need: for the installation and the tests."""

SYSTEMS = {
    "linux": {"os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    "darwin": {"os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    "win32": {"os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
}
"""The variables that markers of a requirement use, by `sys_platform`."""


def project() -> dict[str, object]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def required(*extras: str) -> list[Requirement]:
    """The requirements in pyproject.toml: those of bankkit, and of the given extras."""
    table = project()
    lines = list(table["dependencies"])  # type: ignore[call-overload]
    for extra in extras:
        lines += table["optional-dependencies"][extra]  # type: ignore[index]
    return [Requirement(line) for line in lines]


def requirements(*extras: str) -> dict[str, Requirement]:
    """The requirements by name, for a supported Python on Linux."""
    here = system(SUPPORTED[0], "linux")
    return {
        entry.name: entry
        for entry in required(*extras)
        if entry.marker is None or entry.marker.evaluate(here)
    }


def floors(*extras: str) -> dict[str, str]:
    """The oldest allowed version of each requirement that sets one; by name."""
    return {
        name: specifier.version
        for name, requirement in requirements(*extras).items()
        for specifier in requirement.specifier
        if specifier.operator in (">=", "==")
    }


def system(python: str, platform: str) -> dict[str, str]:
    """An environment for markers: the newest release of a Python such as 3.12, on a system."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.99",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": platform,
        **SYSTEMS[platform],
    }


@cache
def lock_entries() -> dict[Requirement, str]:
    """Each entry of the lock, with its text and hashes. A name may have several, by marker."""
    texts = re.split(r"^(?=\w)", LOCK.read_text(), flags=re.MULTILINE)[1:]
    return {Requirement(text.partition("\n")[0].rstrip(" \\")): text.rstrip() for text in texts}


@cache
def locked(python: str, platform: str) -> dict[str, str]:
    """The locked version of each package, by name, for a Python and a `sys_platform`.

    Raises ValueError if the lock has two versions of one name.
    """
    versions: dict[str, str] = {}
    for entry in lock_entries():
        if entry.marker is not None and not entry.marker.evaluate(system(python, platform)):
            continue
        if entry.name in versions:
            raise ValueError(f"the lock has two versions of {entry.name} for {python}, {platform}")
        (exact,) = entry.specifier
        versions[entry.name] = exact.version
    return versions


def environment_python() -> str:
    """The Python of environment.yml, such as 3.12."""
    (line,) = (entry for entry in _environment() if str(entry).startswith("python="))
    return str(line).removeprefix("python=")


def pins() -> dict[str, Requirement]:
    """The requirements in the `pip:` section of environment.yml, by name."""
    (section,) = (entry["pip"] for entry in _environment() if isinstance(entry, dict))
    return {parsed.name: parsed for parsed in map(Requirement, section)}


def _environment() -> list[str | dict[str, list[str]]]:
    entries: list[str | dict[str, list[str]]] = yaml.safe_load(ENVIRONMENT.read_text())[
        "dependencies"
    ]
    return entries
