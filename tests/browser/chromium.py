"""A real browser that reaches nothing but this machine, and remembers what went wrong in it.

Its driver keeps an event loop running in the thread that started it. A fixture that holds it must
end with its module: code with a loop of its own cannot run beside it.
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
"""Milliseconds that no step in a browser needs, however busy the machine is."""

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str:
    """The program to run: `BANKKIT_CHROMIUM`, else one on PATH. Skips the test if there is none."""
    candidates = [os.environ.get("BANKKIT_CHROMIUM"), *map(shutil.which, NAMES)]
    for path in filter(None, candidates):
        return path
    pytest.skip("no chromium on PATH, and BANKKIT_CHROMIUM names none (apt install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window and without a network. Skips the test where there is none."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install 'bankkit[test]'"
    )
    path = find()
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--disable-dev-shm-usage",  # small in containers
                "--disable-gpu",
                # No name and no address leads anywhere, but to a server of the test.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


KERNEL_ENDED = re.compile(r"Canceled future for \w+ message before replies were done")
"""What JupyterLab says of a kernel that was ended, also when it was asked to end it."""


@dataclass
class Watched:
    """A page, and what has gone wrong on it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Exceptions that nobody caught, and what was logged as an error."""
    strangers: list[str] = field(default_factory=list)
    """Addresses that were asked for and are not the test's own."""


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
