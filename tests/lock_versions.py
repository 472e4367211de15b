"""Locks the versions of everything that make installs, for every Python and system: `make upgrade`.

    python -m tests.lock_versions [--keep]

It writes two files that must agree. `requirements.lock` has one exact version of each package in
pyproject.toml, including the extras, and of all their dependencies, with the hash of each file on
PyPI. `environment.yml` has the same versions of the packages for the lessons, in the format of
conda. With `--keep`, a version changes only if pyproject.toml no longer allows it.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.venvs import environment, venv
from tests.support.versions import (
    BESIDE_LESSONS,
    ENVIRONMENT,
    EXTRAS,
    LOCK,
    SUPPORTED,
    environment_python,
    locked,
    requirements,
)

UV = "uv==0.13.9"


class Unreachable(ValueError):
    """PyPI or its mirror did not answer; the text is the error of uv."""


CONDA = {"linux": "linux", "darwin": "macos"}
"""The systems of environment.yml: `sys_platform`, and the name in uv."""

REACHING_PYPI = {
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX_URL",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
}
"""The settings of uv that we keep: how to reach PyPI or a mirror."""


def resolved(*arguments: str | Path, given: str | None = None) -> str:
    """The output of `uv pip compile`. `given` is its input if no argument names a file.

    The result depends only on PyPI: the user's wheels, other indexes and constraints are ignored.
    Raises ValueError with the error of uv, and `Unreachable` if PyPI does not answer.
    """
    uv = venv(sys.executable, [UV]).with_name("uv")
    environ = {
        name: value
        for name, value in environment().items()
        if not name.startswith("UV_") or name in REACHING_PYPI
    }
    if mirror := _mirror():
        environ.setdefault("UV_DEFAULT_INDEX", mirror)
    done = subprocess.run(
        [uv, "--no-config", "pip", "compile", "--quiet", "--no-annotate", *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environ,
    )
    if "error sending request" in done.stderr:
        raise Unreachable(done.stderr)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def _mirror() -> str:
    """The index that the user's pip uses in place of PyPI, if any."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    said = subprocess.run([*pip, "config", "get", "global.index-url"], capture_output=True)
    return os.environ.get("PIP_INDEX_URL") or said.stdout.decode().strip()


def write_lock(*, keep: bool = False) -> None:
    """Writes requirements.lock; with `keep`, versions that are still allowed stay."""
    resolved(
        *("--universal", "--python-version", SUPPORTED[0], "--generate-hashes"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *("--custom-compile-command", "make upgrade"),
        *([] if keep else ["--upgrade"]),
        *(f"--extra={extra}" for extra in EXTRAS),
        *("--output-file", LOCK, "pyproject.toml"),
    )


def write_environment() -> None:
    """Rewrites the `pip:` section, which is the end of the file."""
    every, python = requirements(*EXTRAS), environment_python()
    parts = {
        "the bank": sorted(requirements()),
        "the lessons": sorted(requirements("lab").keys() - requirements().keys()),
        "to install bankkit itself, and for pytest --nbval": sorted(BESIDE_LESSONS),
    }
    direct = [name for part in parts.values() for name in part]
    needed = {platform: _names_needed(direct, python, target) for platform, target in CONDA.items()}
    parts["what these need in turn"] = sorted(set().union(*needed.values()) - set(direct))
    lines = []
    for title, part in parts.items():
        lines.append(f"      # {title}")
        for name in part:
            systems = [platform for platform in CONDA if name in needed[platform]]
            extras = f"[{','.join(sorted(every[name].extras))}]" if name in direct else ""
            version = locked(python, systems[0])[name]
            marker = "" if len(systems) == len(CONDA) else f" ; sys_platform == '{systems[0]}'"
            lines.append(f"      - {name}{extras.replace('[]', '')}=={version}{marker}")
    head, section, _ = ENVIRONMENT.read_text().partition("  - pip:\n")
    ENVIRONMENT.write_text(head + section + "\n".join(lines) + "\n")


def _names_needed(direct: Sequence[str], python: str, target: str) -> set[str]:
    """The names of these requirements and of all their dependencies, on one system."""
    every = requirements(*EXTRAS)
    found = resolved(
        *("--python-version", python, "--python-platform", target, "--no-header"),
        *("--constraints", LOCK, "-"),
        given="\n".join(str(every[name]) for name in direct),
    )
    return set(re.findall(r"^([a-z0-9-]+)==", found, re.MULTILINE))


def main() -> None:
    """Writes both files; exits with an error if PyPI or uv fails."""
    parser = argparse.ArgumentParser(
        description="Lock the versions of everything that make installs."
    )
    parser.add_argument(
        "--keep", action="store_true", help="change only versions that are no longer allowed"
    )
    options = parser.parse_args()
    try:
        write_lock(keep=options.keep)
        write_environment()
    except ValueError as trouble:
        sys.exit(str(trouble))
    print("written: requirements.lock and environment.yml; `make install` installs them")


if __name__ == "__main__":
    main()
