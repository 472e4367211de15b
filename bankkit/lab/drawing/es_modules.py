"""ES modules in several files, bundled into the one text that a widget takes.

A browser gets a widget's module as a text and has no address for files beside it. So the text holds
all of them, in one scope: imports must have the one form below, which is checked here, and no two
files may have a name in common, which `tests/lab/timelines/test_javascript.py` checks.
"""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{[\w\s,]+\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|function|class)", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entry: Path) -> str:
    """The text of a module and of all that it imports, each file once and after what it imports.

    A file imports with `import { a, b } from "./file.js";` and exports with `export` before a
    `const`, a `function` or a `class`; only `entry` has an `export default`. ValueError for
    anything else, and for files that import each other.
    """
    texts: dict[Path, str] = {}
    _add(entry.resolve(), texts, [])
    return "\n".join(texts.values())


def _add(path: Path, texts: dict[Path, str], importers: list[Path]) -> None:
    if path in importers:
        names = " → ".join(file.name for file in (*importers, path))
        raise ValueError(f"These files import each other: {names}.")
    if path in texts:
        return
    source = path.read_text(encoding="utf-8")
    for name in _IMPORT.findall(source):
        _add((path.parent / name).resolve(), texts, [*importers, path])
    text = _EXPORT.sub("", _IMPORT.sub("", source))
    for statement in _OTHER.findall(text):
        if importers or not statement.startswith("export default "):
            raise ValueError(f"{path.name} cannot be bundled because of this line: {statement}")
    texts[path] = text.strip() + "\n"
