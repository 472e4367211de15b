"""`python -m bankkit doctor`: says whether the lessons will run here, and how to fix what is wrong.

It must run even if nothing else does. So it imports only the standard library, and it tries the
other libraries in a separate process: an import may raise, hang or crash.
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
"""How long the import of all libraries may take. On an idle machine it takes 2 s."""

_MODULES = {
    "grpcio": "grpc",
    "grpcio-status": "grpc_status.rpc_status",
    "grpcio-health-checking": "grpc_health.v1.health",
    "grpcio-reflection": "grpc_reflection.v1alpha.reflection",
    "protobuf": "google.protobuf.message",
    "jupyterlab": "",  # its import would take half of the time, and no code of ours needs it
}
"""The module to import for a package, if its name differs; empty for none."""

_IMPORTS = """\
import sys
before = set(sys.modules)
import json, os
order = json.loads(sys.stdin.readline())
sys.path[:] = order["path"]
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # a library may print to stdout
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
"""The program of the separate process: it imports modules one by one and reports each result."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what was found, whether it is fine, and if not, the fix."""

    what: str
    found: str
    fine: bool
    remedy: str = ""


def examine() -> list[Finding]:
    """Check everything that the lessons need. It takes a few seconds and raises nothing."""
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
        _folder(
            "temporary files", tempfile.gettempdir, "set TMPDIR to a folder that you can write to"
        ),
        _this_folder(imports.modules),
        Finding("place", _place(), True),
    ]


def why_not(error: Exception) -> str:
    """A message for an import error in the bank or the lab, with its cause and the next step."""
    if hint := shadowed_modules.about_loaded_modules():
        return hint
    for requirements in (_required(), _required("lab")):
        if trouble := _trouble(requirements):
            return f"{trouble}. Run `python -m bankkit doctor`: it shows the fix."
    message = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
    return f"{message.rstrip('.')}. Run `python -m bankkit doctor` to learn more."


def report(findings: Iterable[Finding], encoding: str = "utf-8") -> str:
    """The findings as text. The fix of a finding that is not fine follows it after an arrow."""
    findings = list(findings)
    arrow = "→" if _can_encode(encoding, "→") else "->"
    margin = " " * 22
    lines = []
    for finding in findings:
        found = [part for line in finding.found.splitlines() for part in _wrap(line)]
        lines.append(f"{'ok ' if finding.fine else 'NOT'}  {finding.what:<16} {found[0]}")
        lines.extend(margin + line for line in found[1:])
        if not finding.fine:
            lines.append(f"{margin}{arrow} {finding.remedy}")
    wrong = sum(not finding.fine for finding in findings)
    lines.append(
        "The lessons will run here."
        if not wrong
        else f"The lessons will not run here yet. Problems to fix, as the arrows say: {wrong}."
    )
    return "\n".join(lines)


def _wrap(line: str) -> list[str]:
    """Wrap a line that is too long. Others stay as they are: they may be commands in columns."""
    return textwrap.wrap(line, 98, break_long_words=False) if len(line) > 98 else [line]


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} at {sys.executable}"
    return Finding("Python", found, fine, "install Python 3.11 or newer")


def _can_encode(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Requirement:
    """A package and its accepted versions, as in `grpcio>=1.67.0`."""

    name: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}{self.wanted}"

    @property
    def installed(self) -> str:
        """The installed version; empty if there is none."""
        try:
            return metadata.version(self.name)
        except (metadata.PackageNotFoundError, KeyError, TypeError, OSError):  # or half removed
            return ""

    def is_met(self) -> bool:
        """Whether the installed version is accepted, by its release numbers only."""
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
    """The numbers of a version, at least four of them, so that 8.0 equals 8.0.0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = tuple(map(int, found[0].split("."))) if found else ()
    return numbers + (0,) * (4 - len(numbers))


def _required(extra: str = "") -> list[_Requirement]:
    """The requirements of bankkit, or those that an extra adds."""
    found = []
    for line in _requirement_lines(extra):
        parsed = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?\s*([^;]*)", line)
        if parsed is None or "win32" in line.partition(";")[2]:
            continue
        found.append(_Requirement(parsed[1], parsed[3].strip(" ()")))
        found += [_Requirement(name.strip(), "") for name in (parsed[2] or "").split(",") if name]
    return found


def _requirement_lines(extra: str) -> Sequence[str]:
    """Read them from a clone's project file, which may be newer; otherwise from the metadata."""
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
    """The results of the imports."""

    failed: dict[str, str] = field(default_factory=dict)
    """The exception, or the end of the process, by package."""
    modules: set[str] = field(default_factory=set)
    """The top-level names of all imported modules, including Python's own."""


def _import(*requirements: _Requirement) -> _Imports:
    names = [each.name for each in requirements if each.installed]
    wanted = [(name, _MODULES.get(name, name.replace("-", "_"))) for name in names]
    here = ("", str(_current_folder()))
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
        text, ending = done.stdout, f"its import ends Python (exit status {done.returncode})"
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output if isinstance(output, str) else output.decode("utf-8", "replace")
        ending = f"its import takes more than {IMPORT_SECONDS} s"
    except OSError as error:
        return _Imports(
            modules=set(shadowed_modules.LIBRARIES), failed=dict.fromkeys(names[:1], str(error))
        )
    found = _Imports(modules=set(shadowed_modules.LIBRARIES))
    started = ""
    for line in text.splitlines():
        try:
            what, *rest = json.loads(line)
        except ValueError:  # the line was cut off
            continue
        started = rest[0] if what == "import" else ""
        if what == "failed":
            found.failed[rest[0]] = rest[1]
        elif what == "modules":
            found.modules |= set(rest)
    if started:
        found.failed[started] = ending
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
        text = ", ".join(f"{each.name} {each.installed}" for each in requirements)
        return Finding(f"for the {who}", text or "its requirements are not known", True)
    unmet = [str(each) for each in requirements if each.installed and not each.is_met()]
    if all(each.installed for each in requirements):
        options = "" if unmet else "--force-reinstall "
        remedy = f"pip install {options}{' '.join(map(shlex.quote, unmet or broken))}"
    return Finding(f"for the {who}", trouble, False, remedy)


def _trouble(requirements: Sequence[_Requirement], broken: Mapping[str, str] = {}) -> str:
    """The missing, wrong and broken packages as text; empty if there are none."""
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
    """Check the instructors' tools. Always fine, because lessons do not need them."""
    found = [each for each in tools if each.name in ("nbval", "pytest")]
    missing = [each.name for each in found if not each.installed]
    text = ", ".join(f"{each.name} {each.installed}" for each in found if each.installed)
    if missing:
        names = " ".join(missing)
        text = f"not installed: {names} (only pytest --nbval needs it: pip install {names})"
    return Finding("for instructors", text or "not known", True)


def _redis() -> Finding:
    try:
        from bankkit import redis_backend
    except Exception as error:
        return Finding("Redis", f"not checked: {error}", False, "see above")

    def start() -> str:
        with closing(redis_backend.open_redis()) as engine:
            return engine.description

    variable = redis_backend.VARIABLE
    own = f"correct {variable}, or unset it for a private Redis"
    return _attempt("Redis", start, own if os.environ.get(variable) else "do one of these")


def _redis_unknown() -> Finding:
    return Finding("Redis", "not checked: this needs the packages of the bank", False, "see above")


def _ports() -> Finding:
    def call() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
        return "127.0.0.1 has free ports, and they accept connections"

    return _attempt("ports", call, "allow programs to listen on 127.0.0.1 and to connect to it")


def _folder(what: str, find: Callable[[], str], remedy: str) -> Finding:
    def write() -> str:
        folder = find()  # raises, for example, if the current folder was deleted
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".bankkit-"):
            return f"{folder} is writable"

    return _attempt(what, write, remedy)


def _this_folder(modules: Iterable[str]) -> Finding:
    """Check the current folder: notebooks in it import from it first."""
    finding = _folder(
        "this folder", os.getcwd, "copy the notebooks to a folder that you can write to"
    )
    here = _current_folder()
    if not finding.fine or here is None:
        return finding
    found = shadowed_modules.in_folder(here, set(modules) - {"bankkit"})
    if not found:
        return finding
    text = "\n".join(f"{path} hides the module of that name" for path in found)
    return Finding("this folder", text, False, "rename it" if len(found) == 1 else "rename them")


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # the folder was deleted
        return None


def _attempt(what: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, check(), True)
    except Exception as error:
        return Finding(what, str(error) or type(error).__name__, False, remedy)


def _place() -> str:
    if "BINDER_SERVICE_HOST" in os.environ or "BINDER_LAUNCH_HOST" in os.environ:
        return "Binder: your changes are lost when the session ends"
    return f"{platform.system()} on {platform.machine()}, not Binder"
