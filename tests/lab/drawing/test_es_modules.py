"""The modules of a widget arrive in the browser as one, and leave nothing behind in the kernel."""

import gc
import weakref
from pathlib import Path

import anywidget
import pytest

from bankkit.lab.drawing.es_modules import bundle
from bankkit.lab.schedules.stepper_widget import StepperWidget
from bankkit.lab.timelines.widget import TimelineWidget


def write(folder: Path, **files: str) -> Path:
    """Writes JavaScript files; returns the first."""
    for name, source in files.items():
        (folder / f"{name}.js").write_text(source)
    return folder / f"{next(iter(files))}.js"


def test_each_file_is_there_once_and_after_what_it_imports(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        top='import { left } from "./left.js";\nimport {\n  right,\n} from "./right.js";\n'
        "export default { left, right };\n",
        left='import { base } from "./base.js";\nexport const left = base;\n',
        right='import { base } from "./base.js";\nexport function right() {\n  return base;\n}\n',
        base="export const base = 1;\n",
    )
    assert bundle(entry) == (
        "const base = 1;\n\n"
        "const left = base;\n\n"
        "function right() {\n  return base;\n}\n\n"
        "export default { left, right };\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        'import all from "./other.js";',
        'import * as all from "./other.js";',
        'import { a as b } from "./other.js"; b();',
        'import "./other.js";',
        'export { a } from "./other.js";',
        "export let changing = 1;",
    ],
)
def test_what_cannot_be_bundled_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    entry = write(tmp_path, top=f"{line}\n", other="export const a = 1;\n")
    with pytest.raises(
        ValueError, match=r"^top\.js cannot be bundled because of this line: \w+port"
    ):
        bundle(entry)


def test_only_the_entry_has_a_default(tmp_path: Path) -> None:
    entry = write(
        tmp_path, top='import { a } from "./other.js";\n', other="export default { a: 1 };\n"
    )
    with pytest.raises(ValueError, match=r"other\.js cannot be bundled .* export default"):
        bundle(entry)


def test_files_that_import_each_other_are_refused(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        top='import { a } from "./a.js";\n',
        a='import { b } from "./b.js";\nexport const a = b;\n',
        b='import { a } from "./a.js";\nexport const b = a;\n',
    )
    with pytest.raises(ValueError, match=r"top\.js → a\.js → b\.js → a\.js"):
        bundle(entry)


@pytest.mark.parametrize("kind", [TimelineWidget, StepperWidget])
def test_a_closed_widget_is_freed(kind: type[anywidget.AnyWidget]) -> None:
    shown = kind()
    freed = weakref.ref(shown)
    shown.close()
    del shown
    gc.collect()
    assert freed() is None
