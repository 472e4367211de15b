"""A real browser that reaches only this machine, and records the errors in its pages.

The browser's driver keeps an event loop running in the thread that started it. A fixture with a
browser must end with its module: other code with an event loop cannot run in that thread.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

LONG_ENOUGH = 120_000
"""A timeout in milliseconds that is enough for any step, even on a busy machine."""

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str:
    """The browser's path: `BANKKIT_CHROMIUM`, else one on PATH. Skips the test if there is none."""
    candidates = [os.environ.get("BANKKIT_CHROMIUM"), *map(shutil.which, NAMES)]
    for path in filter(None, candidates):
        return path
    pytest.skip("no chromium on PATH, and BANKKIT_CHROMIUM names none (apt install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window and without a network. Skips the test if there is none."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install 'bankkit[test]'"
    )
    path = find()
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--disable-dev-shm-usage",  # /dev/shm is small in containers
                "--disable-gpu",
                # No name resolves, and no address is reached except the test's server.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


KERNEL_ENDED = re.compile(r"Canceled future for \w+ message before replies were done")
"""JupyterLab's message about a kernel that ended, even if JupyterLab was asked to end it."""


@dataclass
class Watched:
    """A page, and the errors on it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Uncaught exceptions, and console messages of the level error."""
    strangers: list[str] = field(default_factory=list)
    """Requested addresses that do not belong to the test."""


def watch(browser: Browser, *home: str) -> Watched:
    """A new page. Addresses that begin with one of `home` are its own."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(LONG_ENOUGH)
    watched = Watched(page)
    own = (*home, "data:", "blob:", "about:")

    def on_error(text: str) -> None:
        if not KERNEL_ENDED.search(text):
            watched.errors.append(text)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            on_error(message.text)

    def on_address(url: str) -> None:
        if not url.startswith(own):
            watched.strangers.append(url)

    def on_request(request: Request) -> None:
        on_address(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: on_error(str(error)))
    page.on("request", on_request)
    page.on("websocket", lambda socket: on_address(socket.url))
    return watched
