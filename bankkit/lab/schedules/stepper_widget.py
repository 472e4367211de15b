"""The widget that shows a stepper in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


class StepperWidget(anywidget.AnyWidget):
    """Shows the view that it is given, and sends the learner's commands."""

    _esm = _STATIC / "stepper.js"
    _css = _STATIC / "stepper.css"
    view = traitlets.Dict().tag(sync=True)
    """What to show, as `stepper_view` makes it."""
    at_close: Callable[[], None] = staticmethod(lambda: None)
    """Called after the widget has closed."""

    def close(self) -> None:
        """Close the widget and the stepper that it shows."""
        super().close()
        self.at_close()
