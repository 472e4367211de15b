"""A stored lesson shows its pictures and texts without a kernel: on GitHub, nbviewer, or paper.

The tests use nbconvert in place of such viewers, without a kernel and without a network.
"""

from __future__ import annotations

import base64
import io
import re
import socket
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image

from tests.browser.chromium import chromium, watch
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EACH_KIND = ("00", "07", "09")
"""Lessons with cards, timelines and schedules: each kind of output that lessons have."""
WITHOUT_PICTURES = {"01_create_account.ipynb"}

OF_A_WIDGET = re.compile(
    r"\w\(children=|Error displaying widget|Loading widget|application/vnd\.|\bmodel_id\b"
    r"|<Figure size| object at 0x"
)
"""Texts that viewers show if no readable output was stored."""

every_lesson = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.name.startswith(EACH_KIND) else pytest.mark.elsewhere)
        for path in LESSONS
    ],
    ids=lambda path: path.name,
)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise OSError("a static viewer asked for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@cache
def page(path: Path) -> str:
    """The lesson as an HTML page without external scripts."""
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="lab", mathjax_url="", require_js_url=""
    )
    return str(exporter.from_filename(str(path))[0])


class Shown(HTMLParser):
    """The visible parts of a page: its text, and the sources of its pictures."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self._parts: list[str] = []
        self._hidden = 0
        self.feed(source)

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Notes a picture, or the start of a hidden part."""
        self._hidden += tag in ("script", "style", "title")
        if tag == "img":
            self.pictures.append(dict(attributes).get("src") or "")

    def handle_endtag(self, tag: str) -> None:
        """Notes the end of a hidden part."""
        self._hidden -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        """Keeps visible text."""
        if not self._hidden:
            self._parts.append(data)


def words(text: str) -> str:
    """The text without white space, which differs between viewers."""
    return "".join(text.split())


def stored(path: Path, mime: str) -> list[str]:
    """The lesson's outputs of one MIME type."""
    notebook: Any = nbformat.read(path, as_version=4)
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [output.data[mime] for output in outputs if mime in output.get("data", {})]


@pytest.mark.one_in(3)
@every_lesson
def test_its_pictures_are_shown(path: Path) -> None:
    pictures = Shown(page(path)).pictures
    assert len(pictures) == len(stored(path, "image/png"))
    assert pictures or path.name in WITHOUT_PICTURES
    for picture in pictures:
        kind, _, content = picture.partition(",")
        assert kind == "data:image/png;base64"
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        darkest, lightest = image.convert("L").getextrema()
        assert darkest != lightest, "it is empty"


@every_lesson
def test_its_cards_are_told_and_no_widget_is_left(path: Path) -> None:
    shown = Shown(page(path))
    assert not OF_A_WIDGET.search(shown.text), OF_A_WIDGET.findall(shown.text)
    cards = stored(path, "text/html")
    assert cards
    for card in cards:
        assert words(Shown(card).text) in words(shown.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that the tests of this file share."""
    with chromium() as browser:
        yield browser


@pytest.mark.one_in(3)
@every_lesson
def test_a_browser_without_a_network_shows_it(path: Path, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "lesson.html"
    file.write_text(page(path))
    watched = watch(browser, file.as_uri())
    watched.page.goto(file.as_uri())
    broken = watched.page.locator("img").evaluate_all(
        "all => all.filter(image => !image.checkVisibility() || !image.naturalWidth).length"
    )
    cards = watched.page.locator(".jp-OutputArea-output[data-mime-type='text/html']")
    shown = cards.evaluate_all(
        "all => all.filter(card => card.checkVisibility()).map(card => card.innerText)"
    )
    watched.page.close()
    assert broken == 0
    assert [words(text) for text in shown] == [
        words(Shown(card).text) for card in stored(path, "text/html")
    ]
    assert watched.strangers == []
    assert watched.errors == []
