"""The widget that shows a timeline in the browser."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from bankkit.lab.drawing.es_modules import bundle

_STATIC = Path(__file__).parent / "static"


class TimelineWidget(anywidget.AnyWidget):
    """A widget that shows a scene; playing and zooming happen in the browser."""

    # These are texts and not paths: anywidget watches a path, and a widget that watches is never
    # freed.
    _esm = bundle(_STATIC / "timeline.js")
    _css = (_STATIC / "timeline.css").read_text(encoding="utf-8")
    scene = traitlets.Dict().tag(sync=True)
