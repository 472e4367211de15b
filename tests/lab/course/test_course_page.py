"""The course page, notebooks/README.md, lists every lesson, exercise and term."""

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from bankkit import lab
from tests.support.paths import ROOT

NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
COURSE_PAGE = NOTEBOOKS / "README.md"
PAGE = COURSE_PAGE.read_text(encoding="utf-8")
FRONT_PAGE = ROOT / "README.md"

LINK = re.compile(r"\]\(([^()\s]+)\)")
FILE_NAMED = re.compile(r"`((?:bankkit|notebooks|proto|tests)/[\w./]*\w)`")
"""The path of a file in backquotes, without a link: `bankkit/store.py`."""

ROW = re.compile(r"^\| \[?(\d\d [^]|]+?)(?:]\(([^)]+)\))? \|(.*)\|$", re.M)

every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
every_page = pytest.mark.parametrize(
    "path", [FRONT_PAGE, COURSE_PAGE, *LESSONS], ids=lambda path: path.name
)


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def prose(path: Path) -> str:
    """The text of a page, without its code."""
    if path.suffix == ".ipynb":
        cells = read(path).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def section(title: str) -> str:
    """The text under a heading of the course page, up to the next heading of its level."""
    level, _ = title.split(" ", 1)
    match = re.search(rf"^{re.escape(title)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", PAGE, re.M | re.S)
    assert match, title
    return match[1]


def table(text: str) -> dict[str, tuple[str | None, int]]:
    """Number and title of each lesson in a table -> the file that it links to, and the minutes."""
    rows = {}
    for name, link, rest in ROW.findall(text):
        (minutes,) = re.findall(r"(?<=\|) ?(\d+) (?=\||$)", f"|{rest}")
        assert name not in rows, name
        rows[name] = (Path(link).name if link else None, int(minutes))
    return rows


def headers() -> dict[str, tuple[str, int]]:
    """Number and title of each stored lesson, from its first cell -> its file, and the minutes."""
    found = {}
    for path in LESSONS:
        text = prose(path)
        title = re.match(r"# (\d\d) · (.+)", text)
        minutes = re.search(r"^\*\*Minutes\*\* (\d+) · \*\*You need\*\* ", text, re.M)
        assert title, path.name
        assert minutes, path.name
        found[f"{title[1]} {title[2]}"] = (path.name, int(minutes[1]))
    return found


def as_github_does(heading: str) -> str:
    """The anchor of a heading on GitHub: https://docs.github.com, "Basic formatting syntax"."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def as_jupyterlab_does(heading: str) -> str:
    """The anchor of a heading in JupyterLab: `createHeaderId` in its package rendermime."""
    return heading.replace("`", "").strip().replace(" ", "-")


HEADINGS = re.findall(r"^#+ (.+)$", prose(COURSE_PAGE), re.M)
TERMS = re.findall(r"^### (.+)\n(.+(?:\n.+)*)", section("# Glossary"), re.M)


def test_the_map_has_every_lesson_with_its_minutes() -> None:
    assert table(section("# The course")) == headers()
    lessons = [f"{lesson.number} {lesson.title}" for lesson in lab.registry()]
    assert list(headers()) == lessons


def test_the_tables_elsewhere_have_them_too() -> None:
    assert table(FRONT_PAGE.read_text(encoding="utf-8")) == headers()
    first, *others = headers().items()
    name, (_, minutes) = first
    assert table(prose(LESSONS[0])) == {name: (None, minutes), **dict(others)}


def test_the_page_adds_up_the_minutes() -> None:
    total = sum(minutes for _, minutes in headers().values())
    assert f" {total} minutes alone" in section("## What to cut")


def test_every_exercise_is_told_with_its_wrong_answers() -> None:
    told = re.findall(r"^#### `(.+)` · (.+)$", section("## The exercises"), re.M)
    assert told == [(each.id, each.title) for each in lab.registry().exercises]
    for identifier, title in told:
        text = section(f"#### `{identifier}` · {title}")
        assert text.startswith("\n\nTests: "), identifier
        rows = re.findall(r"^\| (?!---|they write)", text, re.M)
        assert len(rows) >= 2, identifier
        assert len(re.findall(r"^Ask: .+\?", text, re.M)) == 1, identifier


def test_no_exercise_is_named_that_does_not_exist() -> None:
    named = set(re.findall(r"`(\d\d\.[A-Za-z_]+)`", PAGE))
    assert named == {each.id for each in lab.registry().exercises}


def test_every_term_that_a_lesson_links_is_explained_and_no_other() -> None:
    linked = {
        link.partition("#")[2]
        for path in LESSONS
        for link in LINK.findall(prose(path))
        if link.startswith("README.md#")
    }
    assert {as_github_does(term) for term, _ in TERMS} == linked


def test_terms_are_in_order_and_explained_in_one_sentence() -> None:
    terms = [term for term, _ in TERMS]
    assert terms == sorted(terms)
    for term, words in TERMS:
        assert re.fullmatch(r"[^.]*(?:`[^`]*`[^.]*)*\.", words), term


@every_page
def test_every_link_leads_somewhere(path: Path) -> None:
    """Every anchor must work on GitHub and in JupyterLab, which keeps a heading's capitals."""
    for link in LINK.findall(prose(path)):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), link
        if anchor:
            assert target == COURSE_PAGE, link
            assert [as_github_does(each) for each in HEADINGS].count(anchor) == 1, link
            assert [as_jupyterlab_does(each) for each in HEADINGS].count(anchor) == 1, link
    for name in FILE_NAMED.findall(prose(path)):
        assert (ROOT / name).exists(), name


def cuts() -> Iterator[tuple[Path, list[str]]]:
    """The sections that the page says may be skipped: the lesson, and their headings."""
    for number, cell in re.findall(r"^\| (\d\d) \| (\*.+) \|$", section("## What to cut"), re.M):
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        yield path, re.findall(r"\*([^*]+)\*", cell)


def cut(path: Path, titles: Iterable[str]) -> tuple[list[str], list[str]]:
    """The code cells of a lesson that remain, and those that go, if these sections are skipped."""
    stays: list[str] = []
    goes: list[str] = []
    missing, here = set(titles), stays
    for cell in read(path).cells:
        if cell.cell_type == "code":
            here.append(cell.source)
            continue
        for title in re.findall(r"^##+ (.+)$", cell.source, re.M):
            here = goes if title in titles else stays
            missing.discard(title)
    assert not missing, f"{path.name} has no section {missing}"
    return stays, goes


def names(cells: Iterable[str], context: type[ast.expr_context]) -> set[str]:
    """The names that cells read (`ast.Load`) or define (`ast.Store`), at any depth."""
    found = set()
    for node in chain.from_iterable(ast.walk(ast.parse(source)) for source in cells):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            found.add(node.id)
        elif context is ast.Store and isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif context is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif context is ast.Store and isinstance(node, ast.arg):
            found.add(node.arg)
    return found


@pytest.mark.parametrize(
    ("path", "titles"),
    [pytest.param(*each, id=f"{each[0].stem[:2]}-{each[1][0]}") for each in cuts()],
)
def test_what_may_be_skipped_defines_nothing_that_is_used_below(
    path: Path, titles: list[str]
) -> None:
    for first in range(len(titles)):
        stays, goes = cut(path, titles[first:])
        assert goes
        lost = names(goes, ast.Store) - names(stays, ast.Store)
        assert not lost & names(stays, ast.Load), titles[first:]
