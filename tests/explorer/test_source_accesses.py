"""A survey sees what each instruction does, as every Python compiles and traces it."""

import ast
import importlib.util
import sys
import warnings
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from bankkit import explorer
from bankkit.explorer.source.source_accesses import accesses
from tests.explorer.specimens import together


def module(path: Path, source: str) -> ModuleType:
    """A module with this source."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("return a == b", {"a": "WHOLE", "b": "WHOLE"}),
        ("return a in b", {"a": "NOTHING", "b": "TRUTH"}),
        ("a[b] = c", {"a": "NOTHING", "b": "NOTHING", "c": "NOTHING"}),
        ("d = a; return b + c", {"a": "NOTHING", "b": "ITEMS", "c": "ITEMS"}),
        ("return {a: b}, (b if b else c)", {"a": "NOTHING", "b": "TRUTH", "c": "NOTHING"}),
        ("return [e for d in a for e in d]", {"a": "ITEMS", "d": "ITEMS", "e": "NOTHING"}),
        ("return sum(d for d in a)", {"sum": "NOTHING", "a": "ITEMS", "d": "NOTHING"}),
        ("a.x = b", {"a": "NOTHING", "a.x": "NOTHING", "b": "NOTHING"}),
    ],
)
def test_every_variable_of_a_line_is_seen(tmp_path: Path, line: str, looks: dict[str, str]) -> None:
    """Each name is seen where it is used, with the strongest that the line does with it."""
    code = module(tmp_path / "lines.py", f"def f(a, b, c):\n    {line}\n").f.__code__
    codes = [code, *(each for each in code.co_consts if hasattr(each, "co_code"))]
    found: dict[str, str] = {}
    for each in (one for part in codes for seen in accesses(part).values() for one in seen):
        text = ast.unparse(each.node)
        if "(" not in text and "[" not in text:
            found[text] = max(found.get(text, ""), each.look.name, key=ORDER.index)
    assert found == looks


ORDER = ["", "NOTHING", "TRUTH", "ITEMS", "WHOLE"]


def test_no_instruction_of_a_long_function_is_missed(tmp_path: Path) -> None:
    """Its many names need longer instructions."""
    names = [f"g{number}" for number in range(300)]
    source = "".join(f"{each} = [0]\n" for each in names)
    source += "def f():\n    found = []\n"
    source += "".join(f"    found.append({each})\n" for each in names)
    made = module(tmp_path / "long.py", source)
    seen = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not made.f.__code__:
            return None
        frame.f_trace, frame.f_trace_opcodes = trace, True
        seen.add(frame.f_lasti)
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        made.f()
    finally:
        sys.settrace(before)
    assert accesses(made.f.__code__).keys() <= seen


def test_the_first_call_of_a_function_is_seen(tmp_path: Path) -> None:
    """Each call here is the first of its function."""
    source = "".join(f"def f{n}(items):\n    for _ in items: pass\n" for n in range(100))
    made = module(tmp_path / "first.py", source)
    functions = [value for name, value in vars(made).items() if name.startswith("f")]

    def scenario(threading: Any) -> None:
        items: list[int] = []
        lock = threading.Lock()

        def write() -> None:
            with lock:
                pass
            items.append(1)

        def read() -> None:
            with lock:
                pass
            functions.pop()(items)

        together(threading, write, read)

    assert explorer.explore(scenario).verdict == "unknown"


WARNED = """
class Counter:
    n = 0

    def add(self):
        self.n += 1
        text = "\\d"
        while True:
            try:
                pass
            finally:
                break


class Pair:
    def __init__(self):
        self.items = []

    def put(self):
        self.items.append(1)

    def look(self):
        for each in self.items:
            pass
"""


def test_source_that_python_warns_of_is_read(tmp_path: Path) -> None:
    """Python has warned when it imported the module. Here a warning is an error."""
    made = module(tmp_path / "warned.py", WARNED)

    def counts(threading: Any) -> None:
        counter = made.Counter()
        together(threading, counter.add, counter.add)
        assert counter.n == 2

    assert explorer.explore(counts, lines=[made.Counter]).verdict == "bug"

    def looks(threading: Any) -> None:
        pair, lock = made.Pair(), threading.Lock()

        def look() -> None:
            with lock:
                pass
            pair.look()

        def put() -> None:
            with lock:
                pass
            pair.put()

        together(threading, look, put)

    result = explorer.explore(looks)
    assert result.verdict == "unknown"
    assert any("warned.py" in each for each in result.doubts)
