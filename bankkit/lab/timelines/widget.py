"""What the browser shows of a timeline: played, zoomed and pointed at."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


class TimelineWidget(anywidget.AnyWidget):
    """Shows a scene; all that happens from then on happens in the browser."""

    _esm = _STATIC / "timeline.js"
    _css = _STATIC / "timeline.css"
    scene = traitlets.Dict().tag(sync=True)
