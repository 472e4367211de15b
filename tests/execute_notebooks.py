"""Executes the lessons top to bottom and stores their outputs: `make notebooks`.

    python -m tests.execute_notebooks [--redraw] [NOTEBOOK ...]

The result is the same on every machine and every supported Python: a second run changes no byte
outside the cells tagged `nbval-ignore-output`, and a diff shows the effect of a change to the code.
If a cell fails, the notebook is not changed.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
import nbformat.v4
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.support.paths import ROOT

CELL_TIMEOUT_SECONDS = 120

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
READABLE = {"image/png", "image/svg+xml", "text/html"}
"""The forms of a widget, other than text/plain, that a viewer without a kernel can show."""

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class BadNotebook(Exception):
    """An error in a notebook; the text tells its author what is wrong."""


def normalise(notebook: NotebookNode) -> None:
    """Removes, in place, everything that differs between runs, machines or Pythons. Idempotent."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    name_cells(notebook.cells)
    for cell in notebook.cells:
        # We keep the author's tags; the rest is the state of a front end.
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type == "code":
            cell.outputs = merge_streams(o for o in cell.outputs if not is_passing(o))
            for output in cell.outputs:
                if "data" in output:
                    output.data.pop(WIDGET_VIEW, None)


def is_passing(output: NotebookNode) -> bool:
    """Whether an output has only a live view and no text, such as a progress bar.

    A progress bar appears only on a slow machine. nbval does not compare it.
    """
    return "data" in output and set(output.data) <= {WIDGET_VIEW}


def name_cells(cells: Iterable[NotebookNode]) -> None:
    """Gives each cell without a unique id a new one, the same at every run."""
    taken: set[str] = set()
    for cell in cells:
        attempt = 0
        while cell.get("id", "") in taken | {""}:
            cell.id = hashlib.sha256(f"{attempt}{cell.source}".encode()).hexdigest()[:8]
            attempt += 1
        taken.add(cell.id)


def merge_streams(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Joins neighbouring outputs of one stream: where they are split depends on timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        stream = output.get("name")  # stdout or stderr; other outputs have no name
        if stream and merged and merged[-1].get("name") == stream:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def keep_pictures(new: NotebookNode, old: NotebookNode) -> None:
    """Restores each stored picture if its text says that the new one shows the same.

    Fonts and library versions change the bytes of a picture, but not its content. An edited cell
    gets its new picture.
    """
    before = {cell.get("id"): cell for cell in old.cells}
    for cell in new.cells:
        stored = before.get(cell.id)
        if cell.cell_type != "code" or stored is None or stored.source != cell.source:
            continue
        for output, was in zip(cell.outputs, stored.outputs, strict=False):
            drawn, kept = output.get("data", {}), was.get("data", {})
            pictured = "image/png" in drawn and "image/png" in kept
            if pictured and drawn.get("text/plain") == kept.get("text/plain"):
                drawn["image/png"] = kept["image/png"]
                output.metadata = was.metadata


def refuse_bare_widgets(notebook: NotebookNode) -> None:
    """Raises BadNotebook if a static viewer would show a widget as `VBox(children=...`."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET_VIEW in data and not is_passing(output) and not READABLE & data.keys():
                raise BadNotebook(
                    f"the widget of cell {cell.execution_count} has nothing to show without a"
                    " kernel: give it an image/png or a text/html"
                )


def refuse_empty_cells(notebook: NotebookNode) -> None:
    """Raises BadNotebook for an empty code cell: it gets no execution count, so 1..n has a gap."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and not cell.source.strip():
            raise BadNotebook(f"cell {number} is a code cell without code")


def to_bytes(notebook: NotebookNode) -> bytes:
    """The notebook as it is stored. Raises an error of nbformat if it is not valid."""
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook)
    return f"{text.rstrip()}\n".encode()


def read(path: Path) -> NotebookNode:
    """The notebook as stored; `nbformat.read` would give random ids to cells without one."""
    notebook: NotebookNode = nbformat.v4.reads(path.read_text())
    return notebook


def execute(path: Path, *, redraw: bool = False) -> bytes:
    """The notebook as it should be stored, run in a fresh kernel of this Python in its folder.

    Raises BadNotebook if a cell fails that is not tagged `raises-exception`.
    """
    old = read(path)
    notebook = read(path)
    name_cells(notebook.cells)
    refuse_empty_cells(notebook)
    with tempfile.TemporaryDirectory() as scratch:
        env = {k: v for k, v in os.environ.items() if k != "BANKKIT_REDIS_URL"}
        env["BANKKIT_PROGRESS"] = str(Path(scratch) / "progress.json")
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_SECONDS,
            kernel_name="python3",
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(path.parent)}},
            extra_arguments=["--log-level=ERROR"],
        )
        try:
            client.execute(env=env)
        except CellExecutionError as failure:
            raise BadNotebook(str(failure)) from failure
    refuse_bare_widgets(notebook)
    normalise(notebook)
    if not redraw:
        keep_pictures(notebook, old)
    return to_bytes(notebook)


def main(arguments: Sequence[str] | None = None) -> int:
    """Executes the notebooks and writes them. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Execute lessons and store their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of them")
    parser.add_argument(
        "--redraw", action="store_true", help="store new pictures also where their text is the same"
    )
    options = parser.parse_args(arguments)
    failed = False
    for path in options.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        try:
            content = execute(path.resolve(), redraw=options.redraw)
        except BadNotebook as trouble:
            print(f"{path.name}: {trouble}", file=sys.stderr)
            failed = True
            continue
        changed = content != path.read_bytes()
        if changed:
            path.write_bytes(content)
        print(f"{path.name}: {'stored' if changed else 'unchanged'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
