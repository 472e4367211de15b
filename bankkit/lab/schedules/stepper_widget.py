"""What the browser shows of a stepper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from bankkit.lab.drawing.es_modules import bundle

_STATIC = Path(__file__).parent / "static"


class StepperWidget(anywidget.AnyWidget):
    """Shows a view and sends commands; it knows no rule of the game."""

    # As texts: anywidget watches files, and a widget that is told of changes is never freed.
    _esm = bundle(_STATIC / "stepper.js")
    _css = (_STATIC / "stepper.css").read_text(encoding="utf-8")
    view = traitlets.Dict().tag(sync=True)
    at_close: Callable[[], None] = staticmethod(lambda: None)

    def close(self) -> None:
        super().close()
        self.at_close()
