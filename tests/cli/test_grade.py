"""`python -m bankkit grade`: a gradebook from learners' copies, whatever they contain."""

import json
from collections.abc import Mapping
from pathlib import Path

import nbformat
import nbformat.v4
import pytest
from nbformat import NotebookNode

from bankkit import lab
from bankkit.cli import grade as grading
from bankkit.cli.main import main
from tests.support import answers
from tests.support.paths import ROOT
from tests.support.processes import command, home, needs_proc
from tests.support.waiting import eventually

RIGHT = lab.registry().exercise("00.cents")
OTHER = "00.open_with"
WRONG = lab.registry().exercise("01.refusal")


@pytest.fixture(autouse=True)
def _bankkit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels find bankkit in any folder, even if it is not installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def lesson(number: str) -> NotebookNode:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def with_answers(notebook: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """The copy of a learner who replaced the stubs with these answers."""
    for identifier, answer in answers.items():
        stub = lab.registry().exercise(identifier).stub.strip()
        (cell,) = (each for each in notebook.cells if stub in each.source)
        cell.source = cell.source.replace(stub, answer.strip())
    return notebook


def save(path: Path, notebook: NotebookNode) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def copy(folder: Path, *cells: str) -> Path:
    """A copy with these cells, after one that passes the first exercise of lesson 00."""
    passed = f'from bankkit import lab\n{RIGHT.answer}\nlab.check("00.cents", cents)'
    sources = map(nbformat.v4.new_code_cell, [passed, *cells])
    return save(folder / "copy.ipynb", nbformat.v4.new_notebook(cells=list(sources)))


def passed(records: list[lab.Record]) -> dict[str, bool]:
    return {record.exercise: record.passed for record in records}


@needs_proc
def test_copies_in_any_folder_are_graded(tmp_path: Path) -> None:
    """One exercise is right, one is wrong, and two are unchanged."""
    first = with_answers(lesson("00"), {RIGHT.id: RIGHT.answer})
    wrong = answers.wrongs(WRONG.id)[0].source
    checked = f'from bankkit import lab\n{wrong}\nlab.check("{WRONG.id}", {WRONG.name})'
    second = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(checked)])
    second.metadata.kernelspec = {"name": "of-another-machine", "display_name": "Gone"}
    paths = [
        save(tmp_path / "zoë" / "my first bank.ipynb", first),
        save(tmp_path / "adam.ipynb", second),
    ]
    before = [path.read_bytes() for path in paths]
    learners = tmp_path / "progress.json"
    with home() as place:
        environ = place.environ | {"BANKKIT_PROGRESS": str(learners)}
        with command("grade", *map(str, paths), environ=environ) as grader:
            lines = list(iter(grader.line, ""))
            assert (grader.wait(), grader.errors()) == (0, "")
        eventually(place.is_empty)
    graded = {
        str(paths[1]): [
            {"exercise": "01.refusal", "passed": False, "tries": 1},
            {"exercise": "01.open_or_get", "passed": False, "tries": 0},
        ],
        str(paths[0]): [
            {"exercise": "00.cents", "passed": True, "tries": 1},
            {"exercise": "00.open_with", "passed": False, "tries": 0},
        ],
    }
    assert json.loads("\n".join(lines)) == graded
    assert lines == json.dumps(graded, indent=2, sort_keys=True).splitlines()
    assert [path.read_bytes() for path in paths] == before
    assert not learners.exists()


def test_neither_a_failing_cell_nor_a_reset_changes_the_grade(tmp_path: Path) -> None:
    path = copy(
        tmp_path,
        "1 / 0",
        "raise SystemExit",
        "input('Your name? ')",
        "this is no Python",
        f'lab.check("{RIGHT.id}", 7)',
        "lab.reset_progress()",
        'open("beside.txt", "w").close()',
    )
    records = grading.grade(grading.read(path))
    assert records == [lab.Record(RIGHT.id, True, 2), lab.Record(OTHER, False, 0)]
    assert (tmp_path / "beside.txt").exists(), "the copy ran in its own folder, to the end"


def test_an_endless_cell_is_interrupted(tmp_path: Path) -> None:
    again = 'lab.check("00.cents", 7)'
    path = copy(tmp_path, "\n# forever\nimport threading\nthreading.Event().wait()", again)
    said: list[str] = []
    records = grading.grade(grading.read(path), seconds=5, tell=said.append)
    assert records[0] == lab.Record(RIGHT.id, True, 2)
    assert said == ["the cell that begins with '# forever' ran for 5 s and was interrupted"]


STUBBORN = """\
import threading
while True:
    try:
        threading.Event().wait(60)
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (
            "import os; os._exit(3)",
            "could not be run to its end: the cell that begins with 'import os; os._exit(3)' "
            "ended the kernel",
        ),
        (
            STUBBORN,
            "could not be run to its end: the cell that begins with 'import threading' ran for "
            "5 s, and could not be interrupted",
        ),
    ],
    ids=["exits", "stubborn"],
)
def test_a_copy_that_cannot_be_run_is_reported(
    cell: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grading, "INTERRUPT_SECONDS", 1)
    with pytest.raises(grading.NotRun) as caught:
        grading.grade(grading.read(copy(tmp_path, cell)), seconds=5)
    assert str(caught.value) == why


def test_the_other_copies_are_still_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = copy(tmp_path / "bad", "import os\nos._exit(0)"), copy(tmp_path / "good")
    assert main(["grade", str(bad), str(good)]) == 1
    said = capsys.readouterr()
    grades = json.loads(said.out)
    assert grades[str(bad)] is None
    assert grades[str(good)][0] == {"exercise": RIGHT.id, "passed": True, "tries": 1}
    (line,) = said.err.splitlines()
    assert line.startswith(f"bankkit: {bad}: could not be run to its end: ")


def test_a_kernel_without_bankkit_fails_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel finds another module of that name, such as a `bankkit.py` in its folder."""
    (tmp_path / "bankkit.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    why = "could not be run: `import bankkit.lab` raised ModuleNotFoundError in its folder"
    with pytest.raises(grading.NotRun, match=why):
        grading.grade(grading.read(copy(tmp_path)))


def test_the_lesson_is_the_one_whose_exercises_are_named_most(tmp_path: Path) -> None:
    notebook = lesson("01")
    notebook.cells.append(nbformat.v4.new_code_cell('lab.exercise("00.cents")'))
    notebook.cells.append(nbformat.v4.new_markdown_cell('"00.cents" "00.open_with" ' * 9))
    notebook.cells.append(nbformat.v4.new_code_cell('"77.unknown", "01.unknown"'))
    assert grading.read(save(tmp_path / "00_mine.ipynb", notebook)).lesson.number == "01"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        ("print('hello')", "is not a notebook"),
        ("[]", "is not a notebook"),
        ('{"cells": 3}', "is not a notebook"),
        (b"\xff\xfe\x00", "is not a notebook"),
        (nbformat.writes(nbformat.v4.new_notebook()), "has no exercise of this course"),
    ],
)
def test_a_file_that_is_not_a_copy_of_a_lesson_is_refused(
    content: str | bytes | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = copy(tmp_path), tmp_path / "bad.ipynb"
    if content is not None:
        bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["grade", str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"bankkit: {bad} {why}\n")


def test_a_folder_and_a_missing_path_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grade", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"bankkit: {tmp_path} cannot be read: Is a directory\n"
    with pytest.raises(SystemExit, match="2"):
        main(["grade"])
    assert "NOTEBOOK" in capsys.readouterr().err


def test_nobody_fails_because_the_graders_machine_has_no_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BANKKIT_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["grade", str(copy(tmp_path))]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("bankkit: ")
    assert "127.0.0.1:1" in said.err
