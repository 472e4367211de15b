"""`python -m bankkit doctor`: will the lessons run here, and if not, what helps?

It runs where nothing else does, so it imports the standard library only, and looks at every library
in a process of its own: an import may raise, hang or crash.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bankkit.runtime import shadowed_modules

IMPORT_SECONDS = 60
"""How long the import of all libraries may take; alone it takes two."""

_MODULES = {
    "grpcio": "grpc",
    "grpcio-status": "grpc_status.rpc_status",
    "grpcio-health-checking": "grpc_health.v1.health",
    "grpcio-reflection": "grpc_reflection.v1alpha.reflection",
    "protobuf": "google.protobuf.message",
    "jupyterlab": "",  # half of all the time, and nothing of ours imports it
}
"""What to import of a package, where that has another name than the package."""

_IMPORTS = """\
import sys
before = set(sys.modules)
import json, os
order = json.loads(sys.stdin.readline())
sys.path[:] = order["path"]
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a library prints is no answer
def tell(*what):
    print(json.dumps(what), file=answer, flush=True)
for package, module in order["modules"]:
    tell("import", package)
    try:
        __import__(module)
    except BaseException as error:
        tell("failed", package, type(error).__name__ + ": " + str(error))
    else:
        tell("fine", package)
tell("modules", *{name.partition(".")[0] for name in set(sys.modules) - before})
"""
"""For a process of its own: imports modules one by one, and tells how that went."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, whether that is fine, and what helps if not."""

    what: str
    found: str
    fine: bool
    remedy: str = ""


def examine() -> list[Finding]:
    """Looks at everything the lessons need; takes seconds at the most, raises nothing."""
    bank, lessons, tools = _required(), _required("lab"), _required("test")
    imports = _import(*bank, *lessons)
    for_the_bank = _packages("bank", bank, imports, "pip install bankkit")
    return [
        _python(),
        for_the_bank,
        _packages("lessons", lessons, imports, "pip install 'bankkit[lab]'"),
        _instructors(tools),
        _redis() if for_the_bank.fine else _redis_unknown(),
        _ports(),
        _folder("temporary files", tempfile.gettempdir, "set TMPDIR to a folder of yours"),
        _this_folder(imports.modules),
        Finding("place", _place(), True),
    ]


def why_not(error: Exception) -> str:
    """What to tell somebody for whom the bank's modules, or the lab's, could not be imported."""
    if hint := shadowed_modules.about_loaded_modules():
        return hint
    for requirements in (_required(), _required("lab")):
        if trouble := _trouble(requirements):
            return f"{trouble}. `python -m bankkit doctor` says what helps."
    said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
    return f"{said.rstrip('.')}. `python -m bankkit doctor` says more."


def report(findings: Iterable[Finding], encoding: str = "utf-8") -> str:
    """One line a finding if it is fine; else what was found, and an arrow with the remedy."""
    findings = list(findings)
    arrow = "→" if _has(encoding, "→") else "->"
    margin = " " * 22
    lines = []
    for finding in findings:
        said = [part for line in finding.found.splitlines() for part in _wrap(line)]
        lines.append(f"{'ok ' if finding.fine else 'NOT'}  {finding.what:<16} {said[0]}")
        lines.extend(margin + line for line in said[1:])
        if not finding.fine:
            lines.append(f"{margin}{arrow} {finding.remedy}")
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


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Requirement:
    """A package and which of its versions will do, as in `grpcio>=1.67.0`."""

    name: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}{self.wanted}"

    @property
    def installed(self) -> str:
        """Empty if it is not."""
        try:
            return metadata.version(self.name)
        except (metadata.PackageNotFoundError, KeyError, TypeError, OSError):  # half removed, too
            return ""

    def is_met(self) -> bool:
        """By the numbers of a release; whether it is a pre-release does not count."""
        installed = _numbers(self.installed)
        for sign, version in re.findall(r"(>=|<=|==|!=|~=|<|>)\s*([\w.]+)", self.wanted):
            limit = _numbers(version)
            met = {
                ">=": installed >= limit,
                "<=": installed <= limit,
                "==": installed == limit,
                "!=": installed != limit,
                "~=": limit <= installed < (*limit[:-2], limit[-2] + 1),
                "<": installed < limit,
                ">": installed > limit,
            }
            if not met[sign]:
                return False
        return True


def _numbers(version: str) -> tuple[int, ...]:
    """Four at least, so that 8.0 is 8.0.0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = tuple(map(int, found[0].split("."))) if found else ()
    return numbers + (0,) * (4 - len(numbers))


def _required(extra: str = "") -> list[_Requirement]:
    """What bankkit requires by itself, or beyond that for an extra."""
    found = []
    for line in _requirement_lines(extra):
        parsed = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?\s*([^;]*)", line)
        if parsed is None or "win32" in line.partition(";")[2]:
            continue
        found.append(_Requirement(parsed[1], parsed[3].strip(" ()")))
        found += [_Requirement(name.strip(), "") for name in (parsed[2] or "").split(",") if name]
    return found


def _requirement_lines(extra: str) -> Sequence[str]:
    """From the project file of a clone, which is newer than what was installed; else from there."""
    try:
        import tomllib

        file = Path(__file__).parents[2] / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        if project["name"] == "bankkit":
            lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
            return list(map(str, lines))
    except (OSError, ValueError, KeyError):
        pass
    try:
        every = metadata.requires("bankkit") or []
    except metadata.PackageNotFoundError:
        return []
    found = [re.search(r"""extra\s*==\s*["']([\w-]+)["']""", line) for line in every]
    return [line for line, at in zip(every, found, strict=True) if (at[1] if at else "") == extra]


@dataclass(slots=True)
class _Imports:
    """How the imports went."""

    failed: dict[str, str] = field(default_factory=dict)
    """By package: what was raised, or how the process ended."""
    modules: set[str] = field(default_factory=set)
    """The names, without dots, of all that was imported with it, Python's own included."""


def _import(*requirements: _Requirement) -> _Imports:
    names = [each.name for each in requirements if each.installed]
    wanted = [(name, _MODULES.get(name, name.replace("-", "_"))) for name in names]
    here = ("", str(_here()))
    path = sorted(sys.path, key=lambda entry: entry in here)  # the current folder comes last
    order = {"path": path, "modules": [pair for pair in wanted if pair[1]]}
    ending = ""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _IMPORTS],
            input=json.dumps(order) + "\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=IMPORT_SECONDS,
        )
        said, ending = done.stdout, f"its import ends Python (exit status {done.returncode})"
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        said = output if isinstance(output, str) else output.decode("utf-8", "replace")
        ending = f"its import takes more than {IMPORT_SECONDS} s"
    except OSError as error:
        return _Imports(
            modules=set(shadowed_modules.LIBRARIES), failed=dict.fromkeys(names[:1], str(error))
        )
    found = _Imports(modules=set(shadowed_modules.LIBRARIES))
    begun = ""
    for line in said.splitlines():
        try:
            what, *rest = json.loads(line)
        except ValueError:  # it was cut short
            continue
        begun = rest[0] if what == "import" else ""
        if what == "failed":
            found.failed[rest[0]] = rest[1]
        elif what == "modules":
            found.modules |= set(rest)
    if begun:
        found.failed[begun] = ending
    return found


def _packages(
    who: str, requirements: Sequence[_Requirement], imports: _Imports, remedy: str
) -> Finding:
    broken = {
        each.name: f"{each.name} {each.installed}: {_first_line(imports.failed[each.name])}"
        for each in requirements
        if each.name in imports.failed
    }
    trouble = _trouble(requirements, broken)
    if not trouble:
        said = ", ".join(f"{each.name} {each.installed}" for each in requirements)
        return Finding(f"for the {who}", said or "its requirements are not known", True)
    unmet = [str(each) for each in requirements if each.installed and not each.is_met()]
    if all(each.installed for each in requirements):
        options = "" if unmet else "--force-reinstall "
        remedy = f"pip install {options}{' '.join(map(shlex.quote, unmet or broken))}"
    return Finding(f"for the {who}", trouble, False, remedy)


def _trouble(requirements: Sequence[_Requirement], broken: Mapping[str, str] = {}) -> str:
    """What is missing, too old or broken; empty if nothing is."""
    missing = [each.name for each in requirements if not each.installed]
    unmet = [
        f"{each.name} {each.installed} (wanted: {each.wanted})"
        for each in requirements
        if each.installed and not each.is_met()
    ]
    parts = {"missing": missing, "too old or too new": unmet, "broken": list(broken.values())}
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def _first_line(text: str) -> str:
    return (text.strip() or "?").splitlines()[0][:200]


def _instructors(tools: Sequence[_Requirement]) -> Finding:
    """Nobody needs them to take a lesson."""
    found = [each for each in tools if each.name in ("nbval", "pytest")]
    missing = [each.name for each in found if not each.installed]
    said = ", ".join(f"{each.name} {each.installed}" for each in found if each.installed)
    if missing:
        names = " ".join(missing)
        said = f"not installed: {names} (only pytest --nbval needs it: pip install {names})"
    return Finding("for instructors", said or "not known", True)


def _redis() -> Finding:
    try:
        from bankkit import redis_backend
    except Exception as error:
        return Finding("Redis", f"not looked at: {error}", False, "see above")

    def start() -> str:
        with closing(redis_backend.open_redis()) as engine:
            return engine.description

    variable = redis_backend.VARIABLE
    own = f"correct {variable}, or unset it for a private Redis"
    return _attempt("Redis", start, own if os.environ.get(variable) else "do one of these")


def _redis_unknown() -> Finding:
    return Finding(
        "Redis", "not looked at: that needs the packages of the bank", False, "see above"
    )


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


def _this_folder(modules: Iterable[str]) -> Finding:
    """Where notebooks import from first, if they are here."""
    finding = _folder("this folder", os.getcwd, "copy the notebooks to a folder of yours")
    here = _here()
    if not finding.fine or here is None:
        return finding
    found = shadowed_modules.in_folder(here, set(modules) - {"bankkit"})
    if not found:
        return finding
    said = "\n".join(f"{path} hides the module of that name" for path in found)
    return Finding("this folder", said, False, "rename it" if len(found) == 1 else "rename them")


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


def _attempt(what: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, look(), True)
    except Exception as error:
        return Finding(what, str(error) or type(error).__name__, False, remedy)


def _place() -> str:
    if "BINDER_SERVICE_HOST" in os.environ or "BINDER_LAUNCH_HOST" in os.environ:
        return "Binder: what you change is gone when the session ends"
    return f"{platform.system()} on {platform.machine()}, not Binder"
