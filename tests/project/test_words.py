"""A reader with ordinary English understands our sentences: the worst patterns do not come back.

Each pattern was common here once. A reader with ordinary English stumbles over it, and there is a
plain way to say the same. This is no judge of style: what it misses, a reviewer must see.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import NOTEBOOKS, ROOT

PATTERNS = {
    r"\bbef(all|alls|ell|allen)\b": "happen to",
    r"\bfor ever\b": "forever",
    r"\bamiss\b": "wrong",
    r"\bof one's own\b": "your own",
    r"\bsomebody else's\b": "name whose it is",
    r"\bthat (is|are) none\b": "say what is wrong with it: 'a bad argument'",
    r"(?<![?.,:;] )(?:^|[.:;] )Whoever [^?]*$": "'a thread that', 'a client that'",
    r"(?:^|[.:;] )Who (?!is it|does)[a-z]+s? [^?]*\.$": "'a thread that', 'the client that'",
    r"\bit is told\b": "it gets, it learns",
    r"\bto be had\b": "available",
    r"\bby the way that\b": "because",
}
"""A regular expression, and what to write instead."""

COMMENT = re.compile(r"(?:^|\s)#+ (.*)")
"""Takes a string with a # for a comment, too, but a tokenizer takes ten times as long."""

PAGES = [*ROOT.glob("*.md"), NOTEBOOKS / "README.md"]
SOURCES = [*(ROOT / "bankkit").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The prose in a file, a paragraph at a time, with the line that it begins on."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Expr(ast.Constant(str(prose))):
                    yield from paragraphs(node.lineno, prose)
        for number, line in enumerate(text.splitlines(), 1):
            if comment := COMMENT.search(line):
                yield number, comment[1]
    elif path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(text)["cells"]):
            if cell["cell_type"] == "markdown":
                yield from ((number, each) for _, each in paragraphs(0, "".join(cell["source"])))
    else:
        yield from paragraphs(1, text)


def paragraphs(line: int, text: str) -> Iterator[tuple[int, str]]:
    for block in re.split(r"\n\s*\n", text):
        yield line, " ".join(block.split())
        line += block.count("\n") + 2


@pytest.mark.parametrize("kind", ["pages", "lessons", "sources"])
def test_prose_is_plain(kind: str) -> None:
    files = {"pages": PAGES, "lessons": LESSONS, "sources": SOURCES}[kind]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0].strip()[:60]!r}: write {better}"
        for path in files
        if path != Path(__file__)
        for line, text in sentences(path)
        for pattern, better in PATTERNS.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "Whoever waits is woken.",
        "Who deposits must wait for others.",
        "A lock may hold some for ever.",
        "Something amiss? It says what.",
    ],
)
def test_a_hard_sentence_would_be_seen(text: str) -> None:
    assert any(re.search(pattern, text) for pattern in PATTERNS)
