"""The live timeline in a real JupyterLab in a real browser without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import nbformat.v4
import pytest

from tests.browser.conftest import Desk
from tests.browser.jupyterlab import Notebook, changes, opened
from tests.execute_notebooks import normalise

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

RACE = """from bankkit import lab
result = lab.race("none", mode="forced")"""
SHOW = "lab.timeline(result)"
PLAYING = "[root.dataset.playing, root.querySelector('.bk-play').innerText]"
IMPORTS = """from bankkit import lab
from tests.support.histories import paused"""
CRASH = "lab.timeline(paused(fencing=True))"


def write(path: Path, *cells: Any) -> None:
    notebook: Any = nbformat.v4.new_notebook(cells=list(cells))
    normalise(notebook)
    path.write_text(nbformat.writes(notebook))


def code(source: str, outputs: Any = ()) -> Any:
    made: Any = nbformat.v4.new_code_cell(source)
    made.outputs = [nbformat.from_dict(each) for each in outputs]
    return made


@pytest.fixture(scope="module")
def notebook(desk: Desk) -> Iterator[Notebook]:
    write(desk.notebooks / "race.ipynb", code(RACE), code(SHOW))
    with opened(desk.page, "race.ipynb") as notebook:
        notebook.run_all()
        yield notebook


@pytest.fixture
def page(notebook: Notebook) -> Page:
    return notebook.page


class Shown:
    """A timeline on the page, with the state in its `data` attributes."""

    def __init__(self, notebook: Notebook, cell: str = SHOW) -> None:
        self.root = notebook.cell(cell).locator(".bankkit-timeline")
        self.plot = self.root.locator(".bk-plot")
        self.slider = self.root.get_by_label("Time in the recording")
        self.root.wait_for()

    def data(self, name: str) -> int:
        """The value of a `data` attribute; 0 if it is missing."""
        return int(self.root.get_attribute(f"data-{name}") or 0)

    @property
    def at(self) -> int:
        """The time at the cursor, in nanoseconds."""
        return self.data("at")

    @property
    def frames(self) -> int:
        """The number of frames that it has drawn."""
        return self.data("frames")

    @property
    def length(self) -> int:
        """The length of the recording, in nanoseconds."""
        return self.data("length")

    @property
    def view(self) -> tuple[int, int]:
        """The visible range of time, in nanoseconds."""
        return self.data("view-start"), self.data("view-end")

    def until(self, condition: str) -> None:
        """Wait until this condition on the timeline's `data` is true."""
        self.root.page.wait_for_function(
            f"root => {{ const data = root.dataset; return {condition} }}",
            arg=self.root.element_handle(),
        )

    def press(self, *keys: str) -> None:
        """Press these keys one after the other, each after the last one's effect is drawn."""
        for key in keys:
            frames = self.frames
            self.plot.press(key)
            self.until(f"data.frames > {frames}")

    @property
    def said(self) -> str:
        """The text for screen readers."""
        return self.root.get_by_role("status").inner_text()

    @property
    def loss(self) -> Locator:
        """The mark of the lost update."""
        return self.root.get_by_text("✗ $100 lost", exact=True)

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a point, given as shares of the plot's width and height."""
        box = self.plot.bounding_box()
        assert box is not None
        self.root.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def tip(self, x: float, y: float) -> str:
        """The text of the tooltip at this point."""
        self.point(x, y)
        return self.root.locator(".bk-tip").inner_text()


@pytest.fixture
def shown(notebook: Notebook) -> Shown:
    """The timeline at its start, with everything in view."""
    shown = Shown(notebook)
    shown.plot.scroll_into_view_if_needed()
    shown.plot.focus()
    shown.press("Home", "0")
    return shown


def test_live_it_is_a_widget_and_not_the_picture(notebook: Notebook, shown: Shown) -> None:
    (live, words) = notebook.outputs()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} == set(
        live["data"]
    )
    cell = notebook.cell(SHOW)
    assert cell.locator("img").count() == 0
    assert words["data"]["text/plain"].removeprefix("In words: ") in cell.inner_text()


def test_it_is_played_and_the_balance_counts_along(shown: Shown) -> None:
    assert shown.at == 0
    assert not shown.loss.is_visible()
    shown.root.get_by_label("Speed").select_option("4")
    frames, seen = shown.frames, changes(shown.root, PLAYING)
    shown.root.get_by_role("button", name="Play").click()
    shown.until("data.playing === 'false' && data.at === data.length")
    assert seen() == {("true", "❚❚ Pause"), ("false", "▶ Play")}
    assert shown.frames > frames + 5
    assert shown.at == shown.length
    assert shown.loss.is_visible()
    assert "Balance $100, expected $200." in shown.said


def test_space_plays_and_pauses_and_no_key_reaches_jupyterlab(shown: Shown, page: Page) -> None:
    cells = page.locator(".jp-Notebook-cell").count()
    seen = changes(shown.root, PLAYING)
    shown.press(" ")
    assert ("true", "❚❚ Pause") in seen()
    shown.press(" ")
    shown.until("data.playing === 'false'")
    at = shown.at
    for key in ("0", "0", "x", "b", "d", "d"):  # of a notebook: restart, cut, insert, delete
        shown.plot.press(key)
    assert page.locator(".jp-Dialog").count() == 0
    assert page.locator(".jp-Notebook-cell").count() == cells
    assert shown.at == at


def test_it_is_scrubbed_with_the_keyboard_and_told(shown: Shown) -> None:
    shown.slider.press("End")
    shown.until("data.at === data.length")
    assert shown.loss.is_visible()
    shown.slider.press("Home")
    shown.until("data.at === '0'")
    assert not shown.loss.is_visible()
    told: list[str] = []
    while shown.at < shown.length and len(told) < 30:
        shown.press("]")
        told.append(shown.said)
    assert any("client 1 read $0" in each for each in told)
    assert any("lost: client" in each and "wrote $100 over it" in each for each in told)
    assert shown.loss.is_visible()
    shown.press("[")
    assert shown.at < shown.length


def test_pointed_at_it_tells_the_numbers(shown: Shown) -> None:
    told = [shown.tip(part / 20, 0.1) for part in range(2, 20)]
    lines = next(each for each in told if "writes" in each).splitlines()
    assert lines[0] == "client 1: Deposit"
    assert lines[1].startswith("writes for ")
    assert lines[2] == "read $0, wrote $100"
    assert shown.tip(0.12, 0.8).endswith("balance $0")
    # The last commit is close to the end; the exact distance depends on the machine.
    late = [shown.tip(1 - part / 200, 0.8) for part in range(1, 20)]
    assert any(each.endswith("balance $100\nexpected $200\n✗ $100 lost") for each in late)
    shown.root.page.mouse.move(0, 0)
    shown.root.locator(".bk-tip").wait_for(state="hidden")


def test_it_is_zoomed_and_panned(shown: Shown, page: Page) -> None:
    assert shown.view == (0, shown.length)
    shown.press("+", "+")
    start, end = shown.view
    assert end - start < shown.length / 2
    shown.press("ArrowRight")
    assert shown.view[0] == pytest.approx(start + (end - start) / 10, abs=2)
    shown.press("-", "-", "-")
    assert shown.view == (0, shown.length)

    def moves(act: Any) -> tuple[int, int]:
        frames = shown.frames
        act()
        shown.until(f"data.frames > {frames}")
        return shown.view

    shown.tip(0.5, 0.1)
    assert moves(lambda: page.mouse.wheel(0, -400))[1] < shown.length
    page.mouse.down()
    start, end = shown.view
    dragged = moves(lambda: shown.point(0.3, 0.1))
    page.mouse.up()
    assert dragged[0] > start
    assert dragged[1] - dragged[0] == pytest.approx(end - start, abs=2)


def test_run_again_it_leaves_nothing_behind(notebook: Notebook, shown: Shown, page: Page) -> None:
    old = shown.root.element_handle()
    notebook.run(notebook.cell(SHOW))
    page.wait_for_function("old => !old.isConnected", arg=old)
    again = Shown(notebook)
    again.until("data.frames > 0")
    assert page.locator(".bankkit-timeline").count() == 1
    frames = page.evaluate("old => old.dataset.frames", old)
    again.plot.focus()
    again.press("Home", " ", "]")
    assert page.evaluate("old => old.dataset.frames", old) == frames


def test_it_follows_the_theme(shown: Shown, page: Page) -> None:
    frames = shown.frames
    paper = "root => getComputedStyle(root).backgroundColor"
    assert shown.root.evaluate(paper) == "rgb(255, 255, 255)"
    switch_theme(page, "JupyterLab Dark")
    shown.until(f"data.frames > {frames}")
    assert shown.root.evaluate(paper) == "rgb(17, 17, 17)"
    switch_theme(page, "JupyterLab Light")


def switch_theme(page: Page, theme: str) -> None:
    """Switch the theme, and wait until JupyterLab's splash is gone.

    Two switches at once would both try to remove it.
    """
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.locator("#jupyterlab-splash").wait_for(state="detached")


def test_with_reduced_motion_single_frames_are_shown(shown: Shown, page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    shown.root.get_by_label("Speed").select_option("1")
    seen = page.evaluate(
        """root => new Promise(done => {
            const seen = new Set(), end = performance.now() + 1200;
            const look = () => {
                seen.add(root.dataset.at);
                performance.now() < end ? requestAnimationFrame(look) : done(seen.size);
            };
            root.querySelector('.bk-play').click();
            look();
        })""",
        shown.root.element_handle(),
    )
    shown.press(" ")
    page.emulate_media(reduced_motion="no-preference")
    assert 2 <= seen <= 4


@pytest.fixture(scope="module")
def crash(desk: Desk, notebook: Notebook) -> Iterator[Notebook]:
    write(desk.notebooks / "crash.ipynb", code(IMPORTS), code(CRASH))
    with opened(notebook.page, "crash.ipynb") as crash:
        crash.run_all()
        yield crash


@pytest.mark.elsewhere
def test_server_events_are_narrated_and_have_tooltips(crash: Notebook) -> None:
    shown = Shown(crash, CRASH)
    shown.plot.scroll_into_view_if_needed()
    shown.plot.focus()
    shown.press("Home", "0")
    signs = shown.root.locator(".bk-signs").inner_text()
    for words in ("holds the lock, halted", "goes on without it", "paused", "fenced off"):
        assert words in signs
    told: list[str] = []
    while shown.at < shown.length and len(told) < 40:
        shown.press("]")
        told.append(shown.said)
    order = ["server 1 is paused", "the lease of client 1 runs out", "server 1 goes on"]
    order.append("client 1 is fenced off")
    where = [next(n for n, each in enumerate(told) if words in each) for words in order]
    assert where == sorted(where)
    # The pointer follows each lane: two of clients, two of servers, and the balance.
    height = (shown.plot.bounding_box() or {"height": 0})["height"]
    lane = (height - 160) / 4 / height
    client = [shown.tip(part / 140, 0.5 * lane) for part in range(20, 140)]
    assert any(each.startswith("client 1: Deposit at server 1") for each in client)
    assert any("holds the lock, halted for" in each for each in client)
    assert any(each.startswith("the lease of client 1 runs out") for each in client)
    server = [shown.tip(part / 40, 2.5 * lane) for part in range(6, 40)]
    assert any(each.startswith("server 1 is paused") for each in server)
    assert any(each.startswith("server 1 runs") for each in server)


@pytest.fixture(scope="module")
def stored(desk: Desk, notebook: Notebook) -> Iterator[Notebook]:
    """The same notebook as it is committed: opened but not run."""
    write(desk.notebooks / "stored.ipynb", code(SHOW, notebook.outputs()))
    with opened(notebook.page, "stored.ipynb") as stored:
        yield stored


def test_stored_it_is_the_picture(stored: Notebook) -> None:
    cell = stored.cell(SHOW)
    image = cell.locator("img")
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") == 1600
    assert cell.locator(".bankkit-timeline").count() == 0
