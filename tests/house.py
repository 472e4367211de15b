"""Draws the rooms of bankkit and their imports: `python -m tests.house [--write]`.

A *room* is a top-level package or module of bankkit; each package and module of `bankkit.lab` is a
separate room, such as `lab/course`. An arrow runs from a room to a room that it imports, at the top
of a file, in a function, or only for the type checker. An arrow that a longer path implies is left
out, so that the picture stays readable (the transitive reduction: Aho, Garey and Ullman, "The
transitive reduction of a directed graph", SIAM J. Comput. 1, 1972). Rooms that import each other
keep all the arrows between them.

With `--write`, the picture replaces the one in CONTRIBUTING.md; otherwise it is printed, with the
lines of code of each room.
"""

import argparse
import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.paths import ROOT

PACKAGE = ROOT / "bankkit"
PAGE = ROOT / "CONTRIBUTING.md"

OPENS, CLOSES = "<!-- house -->", "<!-- /house -->"
"""The markers in the page. The picture is between them."""

INNER = "lab"
"""The package whose packages and modules are separate rooms."""

NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}

Graph = Mapping[str, set[str]]
"""The rooms that each room imports."""


def room(module: str) -> str:
    """The room of a module: `lab/course` for `bankkit.lab.course.cards`.

    `__init__.py` of the package is the room `bankkit`. `__main__.py` belongs to the command line.
    """
    package, *parts = module.split(".")
    if not parts:
        return package
    if parts[0] == "__main__":
        return "cli"
    return "/".join(parts[:2] if parts[0] == INNER else parts[:1])


def modules(package: Path) -> dict[str, Path]:
    """The path of each module of a package, by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: Iterable[str]) -> Iterator[str]:
    """The modules among `known` that a module imports, at its top or in a function."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:  # a dot is this package, each further one the package around it
                above = package.split(".")
                base = ".".join(above[: len(above) + 1 - node.level])
                source = f"{base}.{source}" if source else base
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                if inner in known:
                    yield inner
                elif source in known:
                    yield source


def lines_of_code(path: Path) -> int:
    """The number of lines with code, without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(ast.Constant(str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def rooms(package: Path) -> tuple[Graph, dict[str, int]]:
    """The imports of each room, and its number of lines of code."""
    found = modules(package)
    graph: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, int] = defaultdict(int)
    for name, path in found.items():
        here = room(name)
        sizes[here] += lines_of_code(path)
        graph[here] |= {room(imported) for imported in imports(name, path, found)} - {here}
    return graph, sizes


def reachable(graph: Graph, start: str) -> set[str]:
    """The rooms that can be reached by one arrow or more."""
    found: set[str] = set()
    left = list(graph[start])
    while left:
        here = left.pop()
        if here not in found:
            found.add(here)
            left += graph[here]
    return found


def reduced(graph: Graph) -> Graph:
    """The graph without the arrows that a longer path implies; the same rooms can be reached."""
    leads = {here: reachable(graph, here) for here in graph}

    def implied(here: str, there: str) -> bool:
        if here in leads[there]:  # they import each other, and the picture must show that fault
            return False
        return any(
            there in leads[other] and here not in leads[other] and other not in leads[there]
            for other in graph[here] - {there}
        )

    return {
        here: {there for there in others if not implied(here, there)}
        for here, others in graph.items()
    }


def mermaid(graph: Graph) -> str:
    """The picture as mermaid text, which GitHub draws. The lowest layer is at the bottom."""

    def box(name: str) -> str:
        return f'{_id(name)}["{name}"]'

    inner = sorted(name for name in graph if name.partition("/")[0] == INNER)
    lines = ["graph TD"]
    lines += [f"    {box(name)}" for name in sorted(graph) if name not in inner]
    if inner:
        lines.append(f"    subgraph {INNER}_rooms [{INNER}]")
        lines += [f"        {box(name)}" for name in inner]
        lines.append("    end")
    lines += [
        f"    {_id(here)} --> {_id(there)}"
        for here in sorted(graph)
        for there in sorted(graph[here])
    ]
    return "\n".join(lines)


def _id(name: str) -> str:
    return f"room_{name.replace('/', '_')}"  # some plain words are keywords of mermaid


def picture(package: Path = PACKAGE) -> str:
    """The picture as it stands in the page: it changes only when an import between rooms does."""
    graph, _ = rooms(package)
    return f"```mermaid\n{mermaid(reduced(graph))}\n```"


def drawn(page: str) -> str:
    """The picture that a page shows. Raises ValueError for a page without the two markers."""
    return _split(page)[1].strip()


def redrawn(page: str, new: str) -> str:
    """The page with a new picture. Raises ValueError for a page without the two markers."""
    before, _, after = _split(page)
    return f"{before}{OPENS}\n{new}\n{CLOSES}{after}"


def _split(page: str) -> tuple[str, str, str]:
    if page.count(OPENS) != 1 or page.count(CLOSES) != 1 or page.index(OPENS) > page.index(CLOSES):
        raise ValueError(f"{PAGE.name} must have one line {OPENS} and, below it, one {CLOSES}.")
    before, _, rest = page.partition(OPENS)
    shown, _, after = rest.partition(CLOSES)
    return before, shown, after


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the picture, or writes it into the page."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.house", description="Draws the rooms of bankkit."
    )
    parser.add_argument("--write", action="store_true", help=f"put the picture into {PAGE.name}")
    if parser.parse_args(arguments).write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(redrawn(page, picture()), encoding="utf-8")
    else:
        print(picture())
        for name, lines in sorted(rooms(PACKAGE)[1].items()):
            print(f"{lines:6,} {name}")


if __name__ == "__main__":
    main()
