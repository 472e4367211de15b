"""Lesson 09 quotes first_draft.py line by line, and the tests that it doubts overlook real bugs."""

import inspect
import re
from typing import Any

import nbformat
import pytest

from bankkit import lab
from bankkit.lab.course.checks import judge
from bankkit.lab.course.course import VerdictCard
from bankkit.locks import first_draft
from tests.support import answers
from tests.support.paths import NOTEBOOKS

CELLS = nbformat.read(NOTEBOOKS / "09_find_the_bug.ipynb", as_version=4).cells


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    """The names that the cells with the three broken locks define."""
    names: dict[str, Any] = {"lab": lab}
    for cell in CELLS:
        if re.search(
            r"^class (Mutex|Writers)|^def (three|crowd|acquire_in|two_looks)", cell.source, re.M
        ):
            exec(cell.source, names)
    return names


def test_its_line_numbers_are_those_of_the_file() -> None:
    lines = inspect.getsource(first_draft).splitlines()
    (shown,) = (cell.source for cell in CELLS if "```python" in cell.source)
    numbered = re.findall(r"^ *(\S.*?) +# (\d+)$", shown, re.M)
    assert len(numbered) == 13
    for code, number in numbered:
        assert lines[int(number) - 1].strip() == code


def test_what_its_authors_overlooked_is_found(lesson: dict[str, Any]) -> None:
    visits, crowd, tries = (
        lesson[name] for name in ("three_visits", "crowd", "two_looks_and_a_try")
    )
    assert lab.explore(visits, preemptions=1).verdict == "ok"
    assert lab.explore(visits, preemptions=2).verdict == "bug"
    assert lab.explore(crowd(1, 1)).verdict == "ok"
    assert lab.explore(crowd(2, 1)).verdict == lab.explore(crowd(1, 2)).verdict == "bug"
    assert lab.explore(tries, timeouts=0).verdict == "ok"
    assert lab.explore(tries).verdict == "bug"


@pytest.mark.parametrize("name", ["release_write", "Mutex", "WritersFirst", "acquire_in_time"])
def test_a_check_shows_the_schedule_by_the_lines_of_the_learner(name: str) -> None:
    exercise = lab.registry().exercise(f"09.{name}")
    wrong = answers.wrongs(exercise.id)[0]
    verdict = judge(exercise, exercise.load(wrong.source))
    assert wrong.expects in verdict.text
    assert re.search(r"^ *1 .*\w", verdict.shown, re.M)
    assert re.search(r"line\s\d+", verdict.shown)
    assert "lesson_09" not in verdict.shown
    assert verdict.shown in repr(VerdictCard(verdict))
