"""`python -m bankkit doctor`: will the lessons run here, and if not, what helps?"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata

from bankkit import redis_server

_BANK = ("grpcio", "protobuf", "grpcio-status", "redis", "hiredis")
_LESSONS = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "matplotlib")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, whether that is fine, and what helps if not."""

    what: str
    found: str
    fine: bool
    remedy: str = ""


def examine() -> list[Finding]:
    """Looks at everything the lessons need; takes seconds at the most, raises nothing."""
    return [
        _python(),
        _packages("bank", _BANK, "pip install bankkit"),
        _packages("lessons", _LESSONS, "pip install 'bankkit[lab]'"),
        _redis(),
        _ports(),
        _folder("temporary files", tempfile.gettempdir, "set TMPDIR to a folder of yours"),
        _folder("this folder", os.getcwd, "copy the notebooks to a folder of yours"),
        Finding("place", _place(), True),
    ]


def report(findings: Iterable[Finding]) -> str:
    """One line a finding if it is fine; else what was found, and an arrow with the remedy."""
    findings = list(findings)
    margin = " " * 22
    lines = []
    for finding in findings:
        said = [part for line in finding.found.splitlines() for part in _wrap(line)]
        lines.append(f"{'ok ' if finding.fine else 'NOT'}  {finding.what:<16} {said[0]}")
        lines.extend(margin + line for line in said[1:])
        if not finding.fine:
            lines.append(f"{margin}→ {finding.remedy}")
    wrong = sum(not finding.fine for finding in findings)
    lines.append(
        "The lessons will run here."
        if not wrong
        else f"The lessons will not run here yet: {wrong} to mend, see the arrows."
    )
    return "\n".join(lines)


def _wrap(line: str) -> list[str]:
    """Only a line that is too long is touched: the others may be commands, set in columns."""
    return textwrap.wrap(line, 98, break_long_words=False) if len(line) > 98 else [line]


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} at {sys.executable}"
    return Finding("Python", found, fine, "install Python 3.11 or newer")


def _packages(who: str, names: Iterable[str], remedy: str) -> Finding:
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(f"for the {who}", f"missing: {', '.join(missing)}", False, remedy)
    return Finding(f"for the {who}", ", ".join(found), True)


def _redis() -> Finding:
    def start() -> str:
        with closing(redis_server.open_redis()) as engine:
            return engine.description

    variable = redis_server.VARIABLE
    own = f"correct {variable}, or unset it for a private Redis"
    return _attempt("Redis", start, own if os.environ.get(variable) else "do one of these")


def _ports() -> Finding:
    def call() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
        return "127.0.0.1 has free ports, and they can be reached"

    return _attempt("ports", call, "allow programs to listen on 127.0.0.1 and to call it")


def _folder(what: str, find: Callable[[], str], remedy: str) -> Finding:
    def write() -> str:
        folder = find()  # raises where there is none: the current one may have been deleted
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".bankkit-"):
            return f"{folder} can be written"

    return _attempt(what, write, remedy)


def _attempt(what: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, look(), True)
    except (OSError, RuntimeError, ValueError) as error:
        return Finding(what, str(error) or type(error).__name__, False, remedy)


def _place() -> str:
    if "BINDER_SERVICE_HOST" in os.environ or "BINDER_LAUNCH_HOST" in os.environ:
        return "Binder: what you change is gone when the session ends"
    return f"{platform.system()} on {platform.machine()}, not Binder"
