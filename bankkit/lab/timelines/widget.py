"""What the browser shows of a timeline: played, zoomed and pointed at."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from bankkit.lab.drawing.es_modules import bundle

_STATIC = Path(__file__).parent / "static"


class TimelineWidget(anywidget.AnyWidget):
    """Shows a scene; all that happens from then on happens in the browser."""

    # As texts: anywidget watches files, and a widget that is told of changes is never freed.
    _esm = bundle(_STATIC / "timeline.js")
    _css = (_STATIC / "timeline.css").read_text(encoding="utf-8")
    scene = traitlets.Dict().tag(sync=True)
