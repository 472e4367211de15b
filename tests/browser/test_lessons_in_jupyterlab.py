"""Lessons run in a real JupyterLab in a real browser without a network, with clicks and typing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bankkit import lab
from tests.browser.chromium import watch
from tests.browser.conftest import Desk
from tests.browser.jupyterlab import Notebook, opened
from tests.support import answers
from tests.support.paths import ROOT

FIRST_LESSON, *LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
"""The first lesson tests the cards. Other tests have notebooks for the timeline and stepper."""


def assert_ran(desk: Desk, notebook: Notebook) -> None:
    counts = notebook.counts()
    failed = [each for each in notebook.outputs() if each["output_type"] == "error"]
    assert failed == []
    assert counts == list(range(1, len(counts) + 1))
    text = desk.page.locator(".jp-NotebookPanel").inner_text()
    assert "Error displaying widget" not in text
    images = desk.page.locator(".jp-NotebookPanel img")
    broken = images.evaluate_all("all => all.filter(image => !image.naturalWidth).length")
    assert broken == 0


@pytest.mark.elsewhere
@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_from_top_to_bottom(desk: Desk, name: str) -> None:
    with opened(desk.page, name) as notebook:
        notebook.run_all()
        assert_ran(desk, notebook)


@pytest.fixture(scope="module")
def first_lesson(desk: Desk) -> Iterator[Notebook]:
    """Lesson 00, open and run."""
    with opened(desk.page, FIRST_LESSON) as notebook:
        notebook.run_all()
        yield notebook


def test_the_first_lesson_runs_from_top_to_bottom(desk: Desk, first_lesson: Notebook) -> None:
    assert_ran(desk, first_lesson)


def test_a_prediction_is_clicked_and_kept(desk: Desk, first_lesson: Notebook) -> None:
    prediction = lab.registry().prediction("00.ten_dollars")
    label = prediction.labels()[prediction.expects].replace("`", "")
    asked = first_lesson.cell(f'lab.predict("{prediction.id}")')
    keep = asked.get_by_role("button", name="Keep my prediction")
    assert keep.is_disabled(), "no option is chosen yet"
    asked.get_by_text(label, exact=True).click()
    keep.click()
    asked.get_by_text(f"Your prediction is kept: {label}").wait_for()
    assert desk.kept()["predictions"][prediction.id]["choice"] == prediction.expects

    told = first_lesson.cell(f'lab.reveal("{prediction.id}"')
    first_lesson.run(told)
    told.get_by_text("As you predicted").wait_for()


def test_an_exercise_is_solved_by_typing_and_clicking(desk: Desk, first_lesson: Notebook) -> None:
    exercise = lab.registry().exercise("00.cents")
    task = first_lesson.cell(f'lab.exercise("{exercise.id}")')
    code = first_lesson.cell(f'lab.check("{exercise.id}"')
    code.get_by_text("Nothing yet").wait_for()

    def write(source: str) -> None:
        """Replace the cell's first line, which is the stub, and run the cell."""
        code.locator(".cm-line").first.click()
        desk.page.keyboard.press("Home")
        desk.page.keyboard.press("Shift+End")
        desk.page.keyboard.type(source.strip())
        desk.page.keyboard.press("Shift+Enter")

    wrong = answers.wrongs(exercise.id)[0]
    write(wrong.source)
    code.get_by_text("Not yet").wait_for()
    assert wrong.expects in code.locator(".jp-OutputArea").inner_text()
    task.get_by_text("1 try so far").wait_for()

    assert not task.get_by_text(exercise.hints[0]).is_visible()
    task.get_by_role("button", name="Hint").click()
    task.get_by_text(exercise.hints[0]).wait_for()
    task.get_by_role("button", name="Show answer").click()
    task.get_by_text("not open yet").wait_for()

    write(exercise.answer)
    code.get_by_text("✓ Right").wait_for()
    task.get_by_text("✓ Passed after 2 tries.").wait_for()
    assert desk.kept()["exercises"][exercise.id]["passed"] is True


def test_errors_and_foreign_requests_are_recorded(desk: Desk) -> None:
    """Otherwise every test above would pass in spite of errors."""
    browser = desk.page.context.browser
    assert browser is not None
    watched = watch(browser, "http://127.0.0.1:1/")
    watched.page.set_content(
        """<img src="https://example.org/one.png"> <img src="http://93.184.215.14/two.png">
        <script>console.error("logged"); setTimeout(() => { throw new Error("thrown") })</script>"""
    )
    watched.page.wait_for_function("() => [...document.images].every(image => image.complete)")
    assert watched.strangers == ["https://example.org/one.png", "http://93.184.215.14/two.png"]
    assert {"logged", "thrown"} < set(watched.errors)
    assert sum("net::ERR_NAME_NOT_RESOLVED" in error for error in watched.errors) == 2
    watched.page.close()
