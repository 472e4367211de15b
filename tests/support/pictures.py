"""Checks for every picture of the lab: its text is readable, and one line says the same."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from bankkit.lab.drawing.figures import (
    DPI,
    MAX_WIDTH,
    MIN_POINTS,
    SHARPNESS,
    Picture,
    plain_style,
    sizes,
)


def check(picture: Picture) -> Image.Image:
    """Fails unless everybody can read the picture, at the size at which it is shown: returned."""
    figure = picture.figure
    width, height = figure.get_size_inches()
    assert width <= MAX_WIDTH
    written = list(sizes(figure))
    assert written, "the picture has no text"
    assert min(size for size, _ in written) >= MIN_POINTS
    assert picture.line.endswith(".")
    assert "\n" not in picture.line
    assert repr(picture) == picture.line
    png = Image.open(io.BytesIO(picture.png()))
    assert png.size == (round(width * DPI * SHARPNESS), round(height * DPI * SHARPNESS))
    with plain_style():
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    # An axis may have ticks beyond its ends, which are never drawn.
    ticks = {label for axes in figure.axes for label in axes.get_xticklabels()}
    for text in set(figure.findobj(Text)) - ticks:
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            assert box.x0 >= 0, text.get_text()
            assert box.x1 <= figure.bbox.x1, text.get_text()
    return png.convert("RGB")
