"""Each committed lesson is as `make notebooks` stores it, and is readable without a kernel."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import nbformat.v4
import pytest
from nbformat import NotebookNode

from tests.execute_notebooks import (
    WIDGET_VIEW,
    BadNotebook,
    execute,
    keep_pictures,
    main,
    normalise,
    read,
    to_bytes,
)
from tests.support.paths import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINES_ON_A_SCREEN = 30

OF_ONE_MACHINE = re.compile(
    r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1?\]):\d+"
    r"|(?<![\w.>/])/(?:home|root|tmp|Users|var|private|work|mnt|workspace|srv|proc)/\w"
    r"|\b[A-Z]:\\\\?\w"
    r"|\bat 0x[0-9a-f]{6,}"
)
"""An address with its port, a path, the address of an object: these differ on other machines."""

every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: NotebookNode) -> Iterator[str]:
    """The texts of a cell's outputs, without pictures."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (v for k, v in output.get("data", {}).items() if not k.startswith("image/"))


@every_lesson
def test_cells_were_run_once_from_top_to_bottom(path: Path) -> None:
    """nbval does not compare a cell that has no execution count."""
    counts = [cell.execution_count for cell in code_cells(read(path))]
    assert counts == list(range(1, len(counts) + 1))


@every_lesson
def test_stored_as_make_notebooks_stores_it(path: Path) -> None:
    notebook = read(path)
    normalise(notebook)
    assert to_bytes(notebook) == path.read_bytes(), "run `make notebooks`"


def is_ignored(cell: NotebookNode) -> bool:
    """Whether nbval compares none of the cell's outputs."""
    tags = " ".join(cell.metadata.get("tags", []))
    return bool(
        re.search(r"nbval-(ignore-output|skip)", tags)
        or re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source)
    )


@every_lesson
def test_no_cell_failed(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert "error" not in [output.output_type for output in cell.outputs], cell.source


@every_lesson
def test_outputs_are_true_on_every_machine(path: Path) -> None:
    for cell in code_cells(read(path)):
        if is_ignored(cell):
            continue  # nbval ignores it because it describes this machine
        for text in texts(cell):
            assert not OF_ONE_MACHINE.search(str(text)), cell.source


@every_lesson
def test_cells_fit_a_screen_and_need_no_shell(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert len(cell.source.splitlines()) <= LINES_ON_A_SCREEN, cell.source
        assert not re.search(r"^\s*(!|%%(ba|z)?sh\b|%system\b)", cell.source, re.M), cell.source


@every_lesson
def test_no_two_dollar_signs_make_a_formula(path: Path) -> None:
    """Outside code, text between two dollar signs is typeset as TeX, even if they are escaped."""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            said = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
            assert said.count("$") < 2, cell.source


def test_nearly_every_cell_is_compared() -> None:
    cells = [cell for path in LESSONS for cell in code_cells(read(path))]
    assert sum(map(is_ignored, cells)) * 20 < len(cells)


# The promises of `make notebooks`.


def scratch(*cells: NotebookNode) -> NotebookNode:
    """A new notebook with these cells."""
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=list(cells))
    return notebook


def write(path: Path, notebook: NotebookNode) -> Path:
    """Writes the notebook, and returns the path."""
    path.write_text(nbformat.writes(notebook))
    return path


def code(source: str, *tags: str) -> NotebookNode:
    """A code cell with these tags."""
    metadata = {"tags": list(tags)} if tags else {}
    cell: NotebookNode = nbformat.v4.new_code_cell(source, metadata=metadata)
    return cell


PICTURE = """\
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
"""

WIDGET = """\
import ipywidgets
class Shown(ipywidgets.IntSlider):
    def _repr_mimebundle_(self, **kwargs):
        shown = {"text/html": "<p>7</p>", "text/plain": "seven"}
        return super()._repr_mimebundle_(**kwargs) | shown
Shown()
"""


def test_executed_twice_changes_no_byte(tmp_path: Path) -> None:
    path = write(
        tmp_path / "lesson.ipynb",
        scratch(
            nbformat.v4.new_markdown_cell("# A lesson"),
            code("import sys\nfor i in range(3):\n    print(i, flush=True)"),
            code(PICTURE),
            code(WIDGET),
            code("6 * 7"),
        ),
    )
    assert main([str(path)]) == 0
    once = path.read_bytes()
    assert main([str(path)]) == 0
    assert path.read_bytes() == once

    notebook = read(path)
    printed, drawn, widget, answer = code_cells(notebook)
    assert [cell.execution_count for cell in code_cells(notebook)] == [1, 2, 3, 4]
    assert [output.text for output in printed.outputs] == ["0\n1\n2\n"]
    assert "image/png" in drawn.outputs[0].data
    assert widget.outputs[0].data == {"text/html": "<p>7</p>", "text/plain": "seven"}
    assert answer.outputs[0].data == {"text/plain": "42"}
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert "iopub" not in once.decode()


def test_a_failing_cell_leaves_the_notebook_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "lesson.ipynb", scratch(code("1 / 0")))
    before = path.read_bytes()
    assert main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err

    path = write(tmp_path / "lesson.ipynb", scratch(code("1 / 0", "raises-exception")))
    assert main([str(path)]) == 0


def test_a_widget_with_nothing_to_show_is_refused(tmp_path: Path) -> None:
    cell = code("import ipywidgets\nipywidgets.VBox([ipywidgets.Label('x')])")
    with pytest.raises(BadNotebook, match="nothing to show without a kernel"):
        execute(write(tmp_path / "lesson.ipynb", scratch(cell)))


PROGRESS = """\
import bankkit.lab.drawing.progress_bar as progress_bar
progress_bar.PATIENCE_SECONDS = 0
with progress_bar.ProgressBar("racing", 7) as bar:
    bar.update(3)
print("done")
"""


def test_nothing_is_stored_of_a_progress_bar(tmp_path: Path) -> None:
    """A progress bar appears only on slow machines."""
    path = write(tmp_path / "lesson.ipynb", scratch(code(PROGRESS)))
    (cell,) = nbformat.reads(execute(path).decode(), as_version=4).cells
    assert [output.get("text") for output in cell.outputs] == ["done\n"]


def test_a_code_cell_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadNotebook, match="cell 1 is a code cell without code"):
        execute(write(tmp_path / "lesson.ipynb", scratch(code("1"), code(" \n"))))


def drawn(text: str, png: str) -> NotebookNode:
    """A cell whose output is a picture with this text."""
    cell = code("draw()")
    cell.id = "same"
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"text/plain": text, "image/png": png}),
    ]
    return cell


@pytest.mark.parametrize(
    ("text", "source", "stored"),
    [
        ("2 updates lost", "draw()", "old"),
        ("3 updates lost", "draw()", "new"),
        ("2 updates lost", "draw(wide=True)", "new"),
    ],
)
def test_a_picture_is_kept_while_its_text_and_cell_stay(
    text: str, source: str, stored: str
) -> None:
    old, new = scratch(drawn("2 updates lost", "old")), scratch(drawn(text, "new"))
    new.cells[0].source = source
    keep_pictures(new, old)
    assert new.cells[0].outputs[0].data["image/png"] == stored


def test_normalising_names_cells_and_forgets_the_machine() -> None:
    notebook = scratch(code("x"), code("x"), code("x"))
    for cell, name in zip(notebook.cells, ["kept", "kept", ""], strict=True):
        cell.id = name
    del notebook.cells[2]["id"]
    notebook.metadata.language_info = {"name": "python", "version": "3.11.7"}
    notebook.metadata.widgets = {"state": {}}
    notebook.cells[0].metadata = nbformat.from_dict(
        {"tags": ["hide"], "execution": {"iopub.status.busy": "now"}, "scrolled": True}
    )
    notebook.cells[0].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="a\n"),
        nbformat.v4.new_output("stream", name="stdout", text="b\n"),
        nbformat.v4.new_output("stream", name="stderr", text="c\n"),
        nbformat.v4.new_output(
            "display_data", {WIDGET_VIEW: {"model_id": "5f"}, "text/plain": "w"}
        ),
    ]
    again = copy.deepcopy(notebook)
    normalise(notebook)
    normalise(again)

    first, second, third = notebook.cells
    assert first.id == "kept"
    assert len({first.id, second.id, third.id}) == 3
    assert first.metadata == {"tags": ["hide"]}
    assert [output.get("text") for output in first.outputs] == ["a\nb\n", "c\n", None]
    assert first.outputs[2].data == {"text/plain": "w"}
    assert "widgets" not in notebook.metadata
    assert "version" not in notebook.metadata.language_info
    assert to_bytes(notebook) == to_bytes(again)
    normalise(again)
    assert to_bytes(notebook) == to_bytes(again)
