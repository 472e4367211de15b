"""The stepper "You are the scheduler" in a real JupyterLab in a real browser without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import LONG_ENOUGH
from tests.browser.conftest import Desk
from tests.browser.jupyterlab import Notebook, changes, opened
from tests.browser.test_timeline import code, write

LOSE = """from bankkit import lab
lab.be_the_scheduler("lose 100")"""
WAIT = 'lab.be_the_scheduler("make both wait forever")'
PROVE = 'lab.be_the_scheduler("prove you cannot")'


@pytest.fixture(scope="module")
def notebook(desk: Desk) -> Iterator[Notebook]:
    write(desk.notebooks / "stepper.ipynb", code(LOSE), code(WAIT), code(PROVE))
    with opened(desk.page, "stepper.ipynb") as notebook:
        notebook.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:run-all-cells')",
        )
        yield notebook


class Shown:
    """A stepper on the page."""

    def __init__(self, notebook: Notebook, cell: str) -> None:
        self.page = notebook.page
        self.cell = notebook.cell(cell)
        self.root = self.cell.locator(".bankkit-stepper")
        self.until("data.ready === 'true'")
        self.status = self.root.locator(".bk-status")
        self.field = self.root.get_by_label("Schedule as text")

    def until(self, condition: str) -> None:
        """Wait until this condition on the stepper's `data` is true."""
        self.root.wait_for()
        self.page.wait_for_function(
            f"root => {{ const data = root.dataset; return {condition} }}",
            arg=self.root.element_handle(),
            timeout=LONG_ENOUGH,
        )

    def click(self, *names: str) -> None:
        """Click the step buttons of these threads, one after the other."""
        for name in names:
            steps = int(self.root.get_attribute("data-steps") or 0)
            self.root.get_by_role("button", name=f"Step {name}: ").click()
            self.until(f"data.steps === '{steps + 1}'")

    def shows(self, words: str) -> bool:
        """Whether this exact text is visible."""
        return self.root.get_by_text(words, exact=True).is_visible()

    def button(self, name: str) -> None:
        """Click the button with this name."""
        self.root.get_by_role("button", name=name).click()

    def marked(self, thread: str) -> str:
        """The line of a thread's code that is marked, without its number."""
        here = self.root.get_by_label(f"Code of {thread}").locator("[aria-current=step] code")
        return here.inner_text().strip()


def test_lose_100_with_clicks(notebook: Notebook) -> None:
    shown = Shown(notebook, "lose 100")
    assert shown.shows("$0 (0 cents)")
    assert shown.marked("alice") == "snapshot = self._read(account_id, request, generation)"
    shown.click("alice", "bob")
    assert (
        shown.marked("alice")
        == "return self._commit(snapshot, balance, request, fence, generation)"
    )

    shown.click("bob")
    shown.button("Undo")
    shown.until("data.steps === '2'")
    shown.button("Reset")
    shown.until("data.steps === '0'")
    assert shown.field.input_value() == "lose-100: "

    shown.click("alice", "bob", "alice", "bob")
    assert "✓ Goal reached: $100 is lost" in shown.status.inner_text()
    assert shown.shows("$100 (10000 cents)")
    assert shown.root.get_by_label("Thread alice").get_by_text("✓ has ended").is_visible()


def test_a_schedule_is_shared_and_replayed(notebook: Notebook, tmp_path: Path) -> None:
    shown = Shown(notebook, "lose 100")
    assert shown.field.input_value() == "lose-100: alice bob alice bob"
    with shown.page.expect_download() as download:
        shown.button("Save")
    saved = tmp_path / "lose-100.json"
    download.value.save_as(saved)
    assert len(json.loads(saved.read_text())["moves"]) == 4

    shown.field.fill("lose-100: alice bob*9")
    shown.button("Replay")
    shown.page.get_by_text("bob cannot step now; alice can.").first.wait_for()
    assert shown.root.get_attribute("data-steps") == "4", "the schedule has not changed"

    shown.button("Reset")
    shown.until("data.steps === '0'")
    shown.field.fill("lose-100: bob alice*2 bob")
    seen = changes(shown.root, "[root.dataset.steps, /Stop/.test(root.innerText)]")
    shown.field.press("Enter")
    shown.until("data.steps === '4' && data.verdict === 'reached'")
    shown.until("data.replaying === 'false'")
    assert {("1", True), ("2", True), ("3", True)} <= seen(), "the steps are replayed one by one"

    shown.button("Reset")
    shown.until("data.steps === '0'")
    shown.root.locator("input[type=file]").set_input_files(saved)
    shown.until("data.steps === '4' && data.verdict === 'reached'")


def test_make_both_wait_forever_with_the_keyboard(notebook: Notebook) -> None:
    shown = Shown(notebook, "make both wait")
    shown.root.focus()
    shown.page.keyboard.type("1111112")  # faster than the kernel answers
    shown.until("data.steps === '7'")
    shown.page.keyboard.press("Backspace")
    shown.until("data.steps === '6'")
    shown.page.keyboard.press("r")
    shown.until("data.steps === '0'")
    shown.page.keyboard.type("1111112221")
    shown.until("data.verdict === 'reached'")
    told = shown.status.inner_text()
    assert "no thread is left to wake it" in told
    assert "It took 10 steps with 1 preemption" in told
    assert shown.marked("auditor") == "self._changed.wait()"
    assert shown.root.get_by_text("∞ waits forever").count() == 2
    assert "Goal reached" in shown.root.get_by_role("status").inner_text(), (
        "screen readers announce it too"
    )
    shown.page.keyboard.press("1")
    shown.page.get_by_text("teller cannot go on now.").first.wait_for()
    assert shown.cell.locator(".jp-mod-active").count() == 0
    shown.page.keyboard.press("u")
    shown.until("data.steps === '9'")
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("Enter")
    shown.until("data.verdict === 'reached'")  # the first button in tab order is a step


def test_prove_you_cannot(notebook: Notebook) -> None:
    shown = Shown(notebook, "prove you cannot")
    shown.click("alice", "alice", "bob", "bob", "bob")
    assert shown.shows("alice writes; bob waits to write")
    assert shown.root.get_by_label("Thread bob").get_by_text("❚❚ waits").is_visible()
    assert shown.root.get_by_role("button", name="bob: acquire gate: timed out").is_visible()
    shown.button("Run every schedule (no bound)")
    shown.until("data.verdict === 'reached'")
    assert "every schedule with no bound ends well (191 schedules" in shown.status.inner_text()


def test_a_narrow_page_puts_the_threads_below_each_other(notebook: Notebook) -> None:
    shown = Shown(notebook, "prove you cannot")

    def tops() -> set[float]:
        boxes = [each.bounding_box() for each in shown.root.locator(".bk-column").all()]
        return {box["y"] for box in boxes if box}

    assert len(tops()) == 1
    shown.page.set_viewport_size({"width": 760, "height": 1000})
    try:
        shown.page.wait_for_function("() => document.body.clientWidth < 800")
        assert len(tops()) == 2
        wide = "root => root.scrollWidth > root.clientWidth"
        assert not shown.root.evaluate(wide)
    finally:
        shown.page.set_viewport_size({"width": 1200, "height": 1000})


def test_running_the_cell_again_starts_anew(notebook: Notebook) -> None:
    shown = Shown(notebook, "prove you cannot")
    shown.click("alice")
    notebook.run(shown.cell)
    shown.until("data.steps === '0' && data.verdict === 'open'")
    shown.click("bob")


def test_a_dead_kernel_is_reported(notebook: Notebook, desk: Desk) -> None:
    shown = Shown(notebook, "lose 100")
    notebook.page.evaluate("() => window.panel.sessionContext.session.kernel.restart()")
    shown.button("Reset")
    told = shown.page.get_by_text("The kernel does not answer.").first
    told.wait_for()
    desk.watched.errors.clear()  # JupyterLab's errors about the closed comm
