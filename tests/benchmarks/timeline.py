"""Frames per second of the live timeline with 5,000 spans, in JupyterLab in Chromium.

    python -m tests.benchmarks.timeline

One run measures the page without drawing, while it plays the recording, and while it zooms in every
frame. The last two are also printed as a share of the first, which is the most that the machine can
do at that time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import chromium, watch
from tests.browser.jupyterlab import opened, server
from tests.browser.test_timeline import code, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECONDS = 4
SHOW = """from bankkit import lab
from tests.support.histories import crowded
lab.timeline(crowded(20, 5000))"""

PER_SECOND = """([kind, seconds]) => new Promise(done => {
    const root = document.querySelector('.bankkit-timeline');
    const canvas = root.querySelector('.bk-moving');
    const drawn = () => Number(root.dataset.frames);
    const start = performance.now(), before = drawn();
    let pages = 0;
    const next = () => {
        const passed = (performance.now() - start) / 1000;
        if (passed > seconds) {
            done([pages / passed, (drawn() - before) / passed]);
            return;
        }
        pages += 1;
        if (kind === 'zoom') {
            const { left, top } = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new WheelEvent('wheel', {
                deltaY: pages % 80 < 40 ? -12 : 12, clientX: left + 400, clientY: top + 50,
                bubbles: true, cancelable: true,
            }));
        }
        requestAnimationFrame(next);
    };
    next();
})"""


def per_second(page: Page, kind: str) -> tuple[float, float]:
    """Frames per second of the page, and frames per second that the timeline draws."""
    pages, drawn = page.evaluate(PER_SECOND, [kind, SECONDS])
    return pages, drawn


def main() -> None:
    """Run the benchmark from the command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        write(folder / "notebooks" / "crowded.ipynb", code(SHOW))
        with chromium() as browser, server(folder, folder / "notebooks") as url:
            page = watch(browser, url).page
            page.goto(f"{url}lab")
            page.wait_for_function("() => window.jupyterapp?.restored")
            with opened(page, "crowded.ipynb") as notebook:
                notebook.run_all()
                plot = page.locator(".bk-plot")
                plot.focus()
                idle, _ = per_second(page, "idle")
                print(f"nothing drawn  {idle:5.0f} a second")
                plot.press(" ")
                _, played = per_second(page, "play")
                print(f"played         {played:5.0f} a second, {played / idle:.0%}")
                plot.press(" ")
                plot.press("0")
                _, zoomed = per_second(page, "zoom")
                print(f"zoomed         {zoomed:5.0f} a second, {zoomed / idle:.0%}")


if __name__ == "__main__":
    main()
