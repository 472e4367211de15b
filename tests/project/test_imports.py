"""No two files of the package import each other, neither directly nor in a circle of several."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support.paths import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "bankkit").rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports: at its top, in a function, or only for the type checker."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else f"{node.module}" for name in names}
    return found


def test_imports_form_no_circle() -> None:
    graph = {name: imported(path) & FILES.keys() - {name} for name, path in FILES.items()}
    assert "bankkit.lab.timelines.lanes" in graph["bankkit.lab.timelines.timeline"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
