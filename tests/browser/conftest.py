"""One browser, one JupyterLab and one page for all tests in this folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.browser.chromium import Watched, chromium, watch
from tests.browser.jupyterlab import server
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Desk(NamedTuple):
    """A learner's desk: JupyterLab in a browser, copies of all lessons, and a progress file."""

    watched: Watched
    notebooks: Path
    progress: Path

    @property
    def page(self) -> Page:
        """The page of JupyterLab."""
        return self.watched.page

    def kept(self) -> Any:
        """The content of the progress file."""
        return json.loads(self.progress.read_text())


class Room(NamedTuple):
    """A browser and a JupyterLab server, with the paths of their files."""

    browser: Browser
    url: str
    notebooks: Path
    progress: Path


@pytest.fixture(scope="package")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Start the browser and the server once for all tests."""
    folder = tmp_path_factory.mktemp("desk")
    progress = folder / "progress.json"
    notebooks = folder / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns(".*"))
    with (
        chromium() as browser,
        server(folder, notebooks, BANKKIT_PROGRESS=str(progress)) as url,
    ):
        yield Room(browser, url, notebooks, progress)


@pytest.fixture(scope="package")
def desk(room: Room) -> Iterator[Desk]:
    """Open JupyterLab in a page, and wait until it is ready."""
    watched = watch(room.browser, room.url, room.url.replace("http", "ws", 1))
    watched.page.goto(f"{room.url}lab")
    watched.page.wait_for_function("() => window.jupyterapp?.restored")
    watched.page.evaluate("() => window.jupyterapp.restored")
    yield Desk(watched, room.notebooks, room.progress)
    watched.page.close()


@pytest.fixture(autouse=True)
def _nothing_went_wrong(desk: Desk) -> Iterator[None]:
    """Fail the test during which an error or a foreign request occurred."""
    yield
    errors, strangers = list(desk.watched.errors), list(desk.watched.strangers)
    desk.watched.errors.clear()
    desk.watched.strangers.clear()
    desk.progress.unlink(missing_ok=True)
    assert errors == []
    assert strangers == []
