"""Which exercises a learner's copy of a lesson passes, for a gradebook: `python -m bankkit grade`.

The copy's code cells are run in a fresh kernel, in the copy's folder and with a progress file of
their own; what `lab.check` noted there is the grade. So the copy is judged by the same checks as
its author was. A cell may raise: what is below it is run all the same.

The copy's author could write that file, or put something else in the place of `lab.check`. Nothing
here guards against it: who grades for marks reads the cells, and runs what a stranger wrote in a
container.
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
"""How long a cell may run. A check takes ten at most."""

OBEY_SECONDS = 10
"""How long an interrupted cell may take to end."""

_QUOTED_ID = re.compile(r"""["']((\d\d)\.[A-Za-z_]\w*)["']""")


class NotRun(Exception):
    """Why a copy could not be run to its end, as the rest of a sentence that names it."""


@dataclass(frozen=True)
class Copy:
    """A learner's copy of a lesson: where it lies, which lesson it is, and its code cells."""

    path: Path
    lesson: Lesson
    cells: tuple[str, ...]


def read(path: Path) -> Copy:
    """A copy, under whatever name. ValueError if it cannot be read, or is of no lesson.

    The exercises that its cells name tell which lesson it is of.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # an older format is good enough
            notebook = nbformat.read(path, as_version=4)
        cells = tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")
        quoted = Counter(found for cell in cells for found in set(_QUOTED_ID.findall(cell)))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # nbformat has many ways to say it
        raise ValueError(f"{path} is no notebook") from None
    lessons: Counter[str] = Counter()
    for (identifier, number), count in quoted.items():
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
    """One record for each exercise of the lesson, in the lesson's order.

    `tries` counts the different submissions that this run has checked: 1 for most, 0 for what was
    left untouched. What the learner tried before is not in a notebook. `tell` gets a sentence for
    each cell that was interrupted after so many seconds. NotRun if the kernel does not start, dies,
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
        kernel_name="python3",  # of this Python, whatever the copy names
        resources={"metadata": {"path": str(copy.path.resolve().parent)}},
        timeout=seconds,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": CellTimeoutError.__name__, "evalue": "", "traceback": []},
        iopub_timeout=OBEY_SECONDS,
        raise_on_iopub_timeout=True,
        record_timing=False,
        on_cell_executed=interrupted,
    )
    with tempfile.TemporaryDirectory(prefix="bankkit-grade-") as folder:
        progress = Path(folder) / "progress.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            with client.setup_kernel(env=environ | {"BANKKIT_PROGRESS": str(progress)}, **quiet):
                client.execute_cell(first, 0)
                client.allow_errors = True
                for number, cell in enumerate(notebook.cells[1:], start=1):
                    client.execute_cell(cell, number)
                    # After each: a cell below may reset what was passed above.
                    for record in lab.records(progress):
                        if record.exercise in ids:
                            best[record.exercise] = max(best[record.exercise], record, key=_merit)
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
        except RuntimeError as error:  # the kernel did not come up
            raise NotRun(f"could not be run: {error}") from None
    return list(best.values())


def main(paths: Iterable[Path]) -> int:
    """Grade copies and print one JSON object. Exit status 1 if one could not be run.

    ValueError before any is run if one is no copy of a lesson; RedisUnavailable where no bank can
    be started, because every learner would be told to have failed.
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


def _merit(record: Record) -> tuple[bool, int]:
    return record.passed, record.tries


def _name(cell: Any) -> str:
    """A cell as its reader finds it again: counts change with every run."""
    return f"the cell that begins with {cell.source.strip().splitlines()[0]!r}"
