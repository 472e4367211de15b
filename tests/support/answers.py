"""Reads the wrong answers in `tests/wrongs/` and the unusual right ones in `tests/rights/`.

The answers to exercise 03.to_cents are in `lesson_03/to_cents.py` of each folder, one cell each.
The files use the percent format: editors show its cells and run them one by one.

    # %% Cuts the fraction off
    # expects: a cent is gone
    def to_cents(dollars):
        return int(dollars * 100)

The title says what is special about the answer. `# expects:` gives a part of the message that the
check must give for it; a right answer has no such line. The code below is a learner's cell.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

WRONGS = ROOT / "tests" / "wrongs"
RIGHTS = ROOT / "tests" / "rights"

_TITLE = re.compile(r"^# %%(.*)\n", re.MULTILINE)
_EXPECTS = re.compile(r"# expects:(.*)\n")


@dataclass(frozen=True)
class Answer:
    """An answer to an exercise that a learner might write."""

    exercise: str
    """The exercise's id."""
    title: str
    source: str
    """Python text that defines the name the id ends in."""
    expects: str = ""
    """A part of the message for a wrong answer."""

    def __str__(self) -> str:
        return f"{self.exercise} {self.title}"


def wrongs(exercise: str) -> tuple[Answer, ...]:
    """The wrong answers to the exercise with this id, in the order of their file."""
    return tuple(_read(WRONGS, exercise))


def rights(exercise: str) -> tuple[Answer, ...]:
    """The unusual right answers to the exercise with this id, in the order of their file."""
    return tuple(_read(RIGHTS, exercise))


def answered(folder: Path) -> set[str]:
    """The ids of the exercises for which there is a file in `WRONGS` or `RIGHTS`."""
    return {f"{path.parent.name[-2:]}.{path.stem}" for path in folder.rglob("*.py")}


def _read(folder: Path, exercise: str) -> Iterator[Answer]:
    number, _, name = exercise.partition(".")
    path = folder / f"lesson_{number}" / f"{name}.py"
    if path.is_file():
        yield from parse(path.read_text(), exercise, wrong=folder == WRONGS)


def parse(text: str, exercise: str, *, wrong: bool) -> Iterator[Answer]:
    """The answers in the text of a file. Raises ValueError that names a malformed cell."""
    above, *cells = _TITLE.split(text)
    if above.strip():
        raise ValueError(f"{exercise}: {above.splitlines()[0]!r} stands above the first '# %%'")
    for title, cell in zip(cells[::2], cells[1::2], strict=True):
        expects = _EXPECTS.match(cell)
        source = cell[expects.end() :] if expects else cell
        answer = Answer(
            exercise, title.strip(), source.strip() + "\n", expects[1].strip() if expects else ""
        )
        if not answer.title:
            raise ValueError(f"{exercise}: after a '# %%' nothing says what is special about it")
        if wrong and not answer.expects:
            raise ValueError(f"{answer}: the line after the title must begin with '# expects:'")
        if not wrong and expects:
            raise ValueError(f"{answer}: a right answer expects no sentence")
        name = exercise.partition(".")[2]
        defined = [each for statement in ast.parse(source).body for each in names_of(statement)]
        if defined.count(name) != 1:
            raise ValueError(f"{answer}: it must define {name} once")
        yield answer


def names_of(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (each.id for each in statement.targets if isinstance(each, ast.Name))
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (each.asname or each.name for each in statement.names)
