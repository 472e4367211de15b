"""A progress bar for work that takes longer than a second."""

from __future__ import annotations

from time import monotonic
from typing import Any

from bankkit.runtime.closing import Closing

PATIENCE_SECONDS = 1.0
"""How long the work runs before the bar appears."""


class ProgressBar(Closing):
    """A widget that appears in a notebook after a second; outside a notebook it does nothing.

    It is a context manager: the widget disappears at the end of the block. The notebook stores no
    output for it, so that outputs stay comparable.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._due = monotonic() + PATIENCE_SECONDS
        self._widget: Any = None

    def update(self, done: int) -> None:
        """Show that `done` of the total are done."""
        if self._widget is not None:
            self._widget.value = done
            self._widget.description = f"{self._label} {done}/{self._total}"
        elif monotonic() >= self._due and done < self._total:
            self._due = float("inf")
            self._show(done)

    def close(self) -> None:
        """Takes the widget away, if it has come."""
        if self._widget is not None:
            self._widget.close()

    def _show(self, done: int) -> None:
        try:
            from IPython import display, get_ipython
            from ipywidgets import IntProgress
        except ImportError:  # Jupyter is not installed
            return
        shell: Any = get_ipython()
        if shell is None or not hasattr(shell, "kernel"):
            return
        self._widget = IntProgress(
            value=done, max=self._total, description=self._label,
            style={"description_width": "initial"}, layout={"width": "480px"},
        )  # fmt: skip
        view = "application/vnd.jupyter.widget-view+json"
        publish: Any = display.publish_display_data  # has no annotations
        publish({view: {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}})
