"""The widget that shows a stepper in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from bankkit.lab.drawing.es_modules import bundle

_STATIC = Path(__file__).parent / "static"


class StepperWidget(anywidget.AnyWidget):
    """Shows the view that it is given, and sends the learner's commands."""

    # As texts: anywidget watches files, and a widget that is told of changes is never freed.
    _esm = bundle(_STATIC / "stepper.js")
    _css = (_STATIC / "stepper.css").read_text(encoding="utf-8")
    view = traitlets.Dict().tag(sync=True)
    """What to show, as `stepper_view` makes it."""
    at_close: Callable[[], None] = staticmethod(lambda: None)
    """Called after the widget has closed."""

    def close(self) -> None:
        """Close the widget and the stepper that it shows."""
        super().close()
        self.at_close()
