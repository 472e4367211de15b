"""The rooms of bankkit: what a room may import, what an import loads, and which names are used."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import bankkit
from tests.support.paths import ROOT


def fresh(code: str) -> str:
    """The output of this code in a new interpreter."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


PACKAGE = ROOT / "bankkit"

SOURCES = [path for path in PACKAGE.rglob("*.py") if "pb" not in path.parts]

OF_THREADING = {"Lock", "RLock", "Condition", "Semaphore", "Event", "Barrier", "Thread"}
"""The explorer's replacements have the same names as the classes of `threading`."""

LEARNERS_OWN = {"ReadWriteLock"}
"""Classes of the package that learners write themselves in a lesson."""

RETIRED = {
    *("act_out", "befell", "beyond", "crashing", "first_look", "inside", "lifeline", "line"),
    *("numbers", "places", "remembering", "rush_hour", "watched", "words"),
    *("Patience", "Rivals", "Seen"),
}
"""Names that we invented, and for which the field has better words."""


def test_a_room_imports_only_what_stands_below_it() -> None:
    """import-linter runs in a new process, because it sets up logging and silences our logger."""
    pytest.importorskip("importlinter", reason="needs import-linter: run make install")
    code = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports("pyproject.toml", no_cache=True))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "beside"),
    [("bankkit", set()), ("bankkit.locks", set()), ("bankkit.explorer", {"greenlet"})],
)
def test_what_an_import_loads(module: str, beside: set[str]) -> None:
    """In a new interpreter, the import loads no gRPC, Redis, widgets or pictures."""
    code = f"""
import sys
before = set(sys.modules)
import {module}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    loaded = set(fresh(code).split()) - sys.stdlib_module_names
    assert loaded == {"bankkit"} | beside


def test_the_lock_on_redis_is_imported_on_demand() -> None:
    code = """
import sys
from bankkit import locks
assert "redis" not in sys.modules
locks.RedisLocks
assert "redis" in sys.modules and "grpc" not in sys.modules
try:
    locks.NoSuchLock
except AttributeError as error:
    print(error)
"""
    assert fresh(code).strip() == "module 'bankkit.locks' has no attribute 'NoSuchLock'"


def test_without_redis_the_other_locks_work() -> None:
    code = """
import sys
sys.modules["redis"] = None
from bankkit.locks import ReadWriteLock
with ReadWriteLock().write():
    pass
try:
    from bankkit.locks import RedisLocks
except ImportError as error:
    print(error)
"""
    assert fresh(code).strip() == "RedisLocks needs the package redis: pip install redis"


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                homes[node.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    twice = {name: where for name, where in homes.items() if len(where) > 1}
    allowed = OF_THREADING | LEARNERS_OWN
    assert {name: where for name, where in twice.items() if name not in allowed} == {}


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def test_only_the_command_line_imports_the_front_door() -> None:
    """`import bankkit; bankkit.lab` is an import that the rules of layers do not see."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        room = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                rooms["bankkit"] |= {room for each in node.names if each.name == "bankkit"}
            elif isinstance(node, ast.ImportFrom) and node.module == "bankkit":
                for name in {each.name for each in node.names} & set(bankkit.__all__):
                    rooms[name].add(room)
    assert rooms.pop("bankkit") == {"cli"}
    assert set().union(*rooms.values()) == {"cli", "lab"}, "they stand above what it opens"


def test_the_explorer_imports_only_greenlet_anywhere() -> None:
    files = (PACKAGE / "explorer").rglob("*.py")
    names = {name.partition(".")[0] for path in files for name in imported(path)}
    assert names - sys.stdlib_module_names == {"bankkit", "greenlet"}


def test_the_room_of_histories_imports_only_the_standard_library() -> None:
    names = {name for path in (PACKAGE / "histories").glob("*.py") for name in imported(path)}
    others = {name for name in names if not name.startswith("bankkit.histories")}
    assert others
    assert others <= sys.stdlib_module_names | {"collections.abc"}


def names_of_modules() -> set[str]:
    """The names of all modules and folders."""
    parts = {part for path in SOURCES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    return {part for part in parts if not part.startswith("__")}


def test_no_module_or_public_name_is_retired() -> None:
    found = names_of_modules() & RETIRED
    for path in SOURCES:
        for node in ast.parse(path.read_bytes()).body:
            names = [getattr(node, "name", "")]
            if isinstance(node, ast.Assign):
                names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            found |= {f"{path.relative_to(ROOT)}: {name}" for name in names if name in RETIRED}
    assert found == set()


def test_every_error_that_the_front_door_names_is_behind_it() -> None:
    """A caller can catch what `Bank`, `Fleet` and `start` raise."""
    for thing in (bankkit.Bank, bankkit.Fleet, bankkit.start, bankkit.connect):
        told = re.findall(r"`([A-Z]\w+)`", (thing.__doc__ or "").partition("Raises")[2])
        for name in told:
            assert name in bankkit.__all__
            assert issubclass(getattr(bankkit, name), Exception)


def test_no_module_hides_one_of_the_standard_library() -> None:
    """In `bankkit` such a name does no harm, but a user may copy the file to another folder."""
    assert names_of_modules() & set(sys.stdlib_module_names) == set()
