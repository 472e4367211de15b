"""JupyterLab as a learner uses it: its own server, and notebooks that are open in a browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser.chromium import LONG_ENOUGH
from tests.support.paths import ROOT
from tests.support.processes import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # By default, a cell that is out of view is not drawn, and shows no error.
    "notebook-extension/tracker": {"windowingMode": "none"},
}

OPTIONS = (
    "--no-browser",
    "--ip=127.0.0.1",
    "--LabApp.expose_app_in_browser=True",  # as window.jupyterapp
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    "--ServerApp.terminals_enabled=False",
    "--ServerApp.allow_root=True",
    "--IdentityProvider.token=",  # a client on this machine can start processes anyway
)


@contextmanager
def server(folder: Path, notebooks: Path, **environ: str) -> Iterator[str]:
    """Start a JupyterLab that shows `notebooks` and keeps its files in `folder`; yield its URL."""
    own = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    for name, settings in SETTINGS.items():
        path = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", *OPTIONS),
                # JupyterLab chooses another port if this one has been taken since.
                f"--ServerApp.port={free_port()}",
                f"--ServerApp.root_dir={notebooks}",
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), **own, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        told = Path(own["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{process.pid}.json"

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            return told.exists() and told.read_text().endswith("}")

        eventually(is_up, LONG_ENOUGH / 1000)
        yield json.loads(told.read_text())["url"]
    finally:
        process.send_signal(signal.SIGTERM)  # with SIGTERM, it ends its kernels first
        try:
            process.wait(30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Notebook:
    """A notebook that is open in JupyterLab, and its kernel."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self._ask(
            """async name => {
                const app = window.jupyterapp;
                const panel = await app.commands.execute('docmanager:open', {path: name});
                await panel.context.ready;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;
                window.panel = panel;
                window.codeCells = () =>
                    panel.content.widgets.filter(cell => cell.model.type === 'code');
            }""",
            name,
        )

    def run_all(self) -> None:
        """Run the cells from top to bottom, and wait until their output is drawn."""
        self._ask("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(
            """() => {
                const live = 'application/vnd.jupyter.widget-view+json';
                const widgets = window.codeCells()
                    .flatMap(cell => cell.model.outputs.toJSON())
                    .filter(output => output.data && live in output.data)
                    .filter(output => 'text/plain' in output.data);  // a progress bar disappears
                const node = window.panel.node;
                const shown = [...node.querySelectorAll('.jp-OutputArea-output')]
                    .filter(area => area.querySelector(
                        '.bankkit-card, .bankkit-timeline, .bankkit-stepper'));
                return shown.length === widgets.length
                    && [...node.querySelectorAll('img')].every(image => image.complete);
            }"""
        )

    def outputs(self) -> list[dict[str, Any]]:
        """The outputs of all cells."""
        cells = self._ask("() => window.codeCells().map(cell => cell.model.outputs.toJSON())")
        return [output for outputs in cells for output in outputs]

    def counts(self) -> list[int | None]:
        """The execution count of each code cell."""
        return list(self._ask("() => window.codeCells().map(cell => cell.model.executionCount)"))

    def cell(self, text: str) -> Locator:
        """The code cell whose code contains this text."""
        return self.page.locator(
            ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell",
            has=self.page.locator(".cm-content", has_text=text),
        )

    def run(self, cell: Locator) -> None:
        """Click into a cell and press Shift+Enter."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")

    def close(self) -> None:
        """End the kernel, and discard unsaved changes."""
        self._ask(
            """async () => {
                const panel = window.panel;
                await panel.sessionContext.shutdown();
                panel.context.model.dirty = false;
                panel.dispose();
            }"""
        )

    def _ask(self, function: str, argument: object = None) -> Any:
        """The return value of a JavaScript function; raises an error if it does not end in time."""
        return self.page.evaluate(
            f"""argument => Promise.race([
                ({function})(argument),
                new Promise((_, fail) => setTimeout(
                    () => fail(new Error('JupyterLab did not finish in time')), {LONG_ENOUGH})),
            ])""",
            argument,
        )


@contextmanager
def opened(page: Page, name: str) -> Iterator[Notebook]:
    """A notebook with a fresh kernel, which ends with the block."""
    notebook = Notebook(page, name)
    try:
        yield notebook
    finally:
        notebook.close()


def changes(root: Locator, expression: str) -> Callable[[], set[tuple[Any, ...]]]:
    """Note the value of a JavaScript expression, a list, at each change of `root` or its parts.

    Returns a function that returns all values so far. A state that passes is noted even if the
    machine is so busy that a test would look too late.
    """
    root.evaluate(f"""root => {{
        const seen = root.seen = [];
        new MutationObserver(() => seen.push({expression})).observe(
            root, {{attributes: true, childList: true, subtree: true}});
    }}""")
    return lambda: {tuple(each) for each in root.evaluate("root => root.seen")}
