"""`python -m bankkit grade`: finds which exercises a learner's copy of a lesson passes.

It runs the copy's code cells in a new kernel, in the copy's folder and with a new progress file.
The grade is what `lab.check` records in that file, so the copy gets the same checks as its author
got. If a cell raises, the cells below it still run.

The copy's author could write to that file, or replace `lab.check`. Nothing here prevents that: if
you grade for marks, read the cells, and run strangers' code in a container.
"""

import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from os import environ
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from bankkit import Bank, lab
from bankkit.lab.course.course import Record
from bankkit.lab.course.exercises import Lesson

CELL_SECONDS = 60
"""How long a cell may run. A check takes at most 10 s."""

INTERRUPT_SECONDS = 10
"""How long an interrupted cell may take to end."""

_QUOTED_ID = re.compile(r"""["']((\d\d)\.[A-Za-z_]\w*)["']""")


class NotRun(Exception):
    """A copy could not be run to its end. The message continues a sentence that names the copy."""


@dataclass(frozen=True)
class Copy:
    """A learner's copy of a lesson: its path, its lesson and its code cells."""

    path: Path
    lesson: Lesson
    cells: tuple[str, ...]


def read(path: Path) -> Copy:
    """Read a copy. ValueError if it cannot be read, or if it has no exercise of this course.

    Its lesson is the one whose exercises its cells name most often; its file name does not count.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # an older format is fine
            notebook = nbformat.read(path, as_version=4)
        cells = tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")
        quotes = Counter(found for cell in cells for found in set(_QUOTED_ID.findall(cell)))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # nbformat raises many types
        raise ValueError(f"{path} is not a notebook") from None
    lessons: Counter[str] = Counter()
    for (identifier, number), count in quotes.items():
        lesson = lab.registry().lesson(number)
        if lesson is not None and identifier in _ids(lesson):
            lessons[number] += count
    if not lessons:
        raise ValueError(f"{path} has no exercise of this course")
    lesson = lab.registry().lesson(lessons.most_common(1)[0][0])
    assert lesson is not None
    return Copy(path, lesson, cells)


def grade(
    copy: Copy, seconds: int = CELL_SECONDS, tell: Callable[[str], None] = lambda _: None
) -> list[Record]:
    """Run a copy, and return one record per exercise of the lesson, in the lesson's order.

    `tries` counts the different submissions that this run has checked: usually 1, and 0 for an
    unchanged stub. The learner's earlier tries are not in a notebook. `tell` gets a sentence for
    each cell that is interrupted after `seconds`. Raises NotRun if the kernel does not start, dies,
    or cannot be interrupted.
    """
    ids = _ids(copy.lesson)
    best = {each: Record(each, passed=False, tries=0) for each in ids}

    def interrupted(cell: Any, execute_reply: Any, **_: Any) -> None:
        if execute_reply["content"].get("ename") == CellTimeoutError.__name__:
            tell(f"{_name(cell)} ran for {seconds} s and was interrupted")

    cell = first = nbformat.v4.new_code_cell("import bankkit.lab")
    notebook = nbformat.v4.new_notebook(
        cells=[first, *(nbformat.v4.new_code_cell(source) for source in copy.cells)]
    )
    client = NotebookClient(
        notebook,
        kernel_name="python3",  # this Python, whatever kernel the copy names
        resources={"metadata": {"path": str(copy.path.resolve().parent)}},
        timeout=seconds,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": CellTimeoutError.__name__, "evalue": "", "traceback": []},
        iopub_timeout=INTERRUPT_SECONDS,
        raise_on_iopub_timeout=True,
        record_timing=False,
        on_cell_executed=interrupted,
    )
    with tempfile.TemporaryDirectory(prefix="bankkit-grade-") as folder:
        progress = Path(folder) / "progress.json"
        no_output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            with client.setup_kernel(
                env=environ | {"BANKKIT_PROGRESS": str(progress)}, **no_output
            ):
                client.execute_cell(first, 0)
                client.allow_errors = True
                for number, cell in enumerate(notebook.cells[1:], start=1):
                    client.execute_cell(cell, number)
                    # After each cell, because a later one may reset an exercise.
                    for record in lab.records(progress):
                        if record.exercise in ids:
                            best[record.exercise] = max(best[record.exercise], record, key=_rank)
        except CellExecutionError as failure:
            raise NotRun(
                f"could not be run: `import bankkit.lab` raised {failure.ename} in its folder"
            ) from None
        except DeadKernelError:
            raise NotRun(f"could not be run to its end: {_name(cell)} ended the kernel") from None
        except CellTimeoutError:
            raise NotRun(
                f"could not be run to its end: {_name(cell)} ran for {seconds} s, and could not be "
                "interrupted"
            ) from None
        except RuntimeError as error:  # the kernel did not start
            raise NotRun(f"could not be run: {error}") from None
    return list(best.values())


def main(paths: Iterable[Path]) -> int:
    """Grade copies and print one JSON object. Returns exit status 1 if a copy could not be run.

    Before it runs any copy, it raises ValueError if one is not a copy of a lesson, and
    RedisUnavailable if no bank can start, because then every learner would fail.
    """
    copies = [read(path) for path in paths]
    with Bank():
        pass
    grades: dict[str, list[dict[str, Any]] | None] = {}
    for copy in copies:

        def tell(sentence: str, name: object = copy.path) -> None:
            print(f"bankkit: {name}: {sentence}", file=sys.stderr, flush=True)

        try:
            grades[str(copy.path)] = [asdict(record) for record in grade(copy, tell=tell)]
        except NotRun as trouble:
            grades[str(copy.path)] = None
            tell(str(trouble))
    print(json.dumps(grades, indent=2, sort_keys=True))
    return 1 if None in grades.values() else 0


def _ids(lesson: Lesson) -> list[str]:
    return [each.id for each in lesson.exercises]


def _rank(record: Record) -> tuple[bool, int]:
    return record.passed, record.tries


def _name(cell: Any) -> str:
    """A cell by its first line; execution counts change with every run."""
    return f"the cell that begins with {cell.source.strip().splitlines()[0]!r}"
