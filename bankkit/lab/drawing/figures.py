"""Pictures that every learner can read: a matplotlib figure, with one line that says the same."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # matplotlib takes longer to import than all the rest of the lab
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

DPI = 100
"""Page pixels per inch of a figure."""

SHARPNESS = 2
"""Image pixels per page pixel, for high-resolution screens."""

MAX_WIDTH = 8.0
"""Inches. The page would shrink a wider figure, and its text with it."""

MIN_POINTS = 9.0
"""The smallest text size that a picture may have."""

INK = "#1A1A1A"
QUIET = "#595959"
"""For less important text; its contrast on white is still 7 to 1."""
PALE = "#F2F2F2"


class Picture:
    """A figure with a line of text that says the same, for readers who cannot see it.

    The line is shown below the picture and stored with it. It must be the same on every machine:
    numbers that differ between runs belong in the figure. ValueError for a figure that would be
    hard to read: with text below 9 pt, or wider than the page.
    """

    def __init__(self, figure: Figure, line: str) -> None:
        if figure.get_figwidth() > MAX_WIDTH:
            raise ValueError(f"The figure is wider than {MAX_WIDTH:g} inches.")
        for size, text in sizes(figure):
            if size < MIN_POINTS:
                raise ValueError(f"{text!r} has {size:g} pt; use at least {MIN_POINTS:g} pt.")
        self.figure = figure
        self.line = line

    def __repr__(self) -> str:
        return self.line

    def png(self) -> bytes:
        """The picture as a PNG. It has at most 128 colours, which makes it five times smaller."""
        from PIL import Image

        raw = io.BytesIO()
        with plain_style():
            self.figure.savefig(raw, format="png", dpi=DPI * SHARPNESS)
        small = io.BytesIO()
        with_few_colours(Image.open(raw).convert("RGB")).save(small, "png", optimize=True)
        return small.getvalue()

    def save(self, path: str) -> None:
        """Write the figure to a file; the extension of its name selects the format."""
        with plain_style():
            self.figure.savefig(path, dpi=DPI * SHARPNESS)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        width, height = self.figure.get_size_inches() * DPI
        return (
            {"image/png": self.png(), "text/plain": f"Picture: {self.line}"},
            {"image/png": {"width": round(width), "height": round(height)}},
        )

    def _ipython_display_(self) -> None:
        show(self.line, *self._repr_mimebundle_())


def with_few_colours(image: Image, most: int = 128) -> Image:
    """The RGB image with a palette of at most `most` colours, 256 or fewer.

    Most of the palette are the image's most frequent colours, unchanged. The rest are the means of
    similar rare colours, such as those at the edges of letters. Each pixel gets the nearest one.
    Pillow's own `quantize` takes ten times as long, because it clusters pixels, not colours.
    """
    import numpy as np
    from PIL import Image

    found = image.getcolors(image.width * image.height) or []
    colours: list[Any] = [colour for _, colour in sorted(found, reverse=True)]
    palette = np.array(colours[:most])
    if len(colours) > most:
        exact = most * 3 // 4
        rare = Image.new("RGB", (len(colours) - exact, 1))
        rare.putdata(colours[exact:])
        means: Any = rare.quantize(most - exact, kmeans=2, dither=Image.Dither.NONE).getpalette()
        palette = np.concatenate((palette[:exact], np.reshape(means, (-1, 3))))
    one_number = np.array([1 << 16, 1 << 8, 1])
    distances = ((np.array(colours)[:, None] - palette) ** 2).sum(axis=2)
    nearest = np.zeros(1 << 24, np.uint8)
    nearest[colours @ one_number] = distances.argmin(axis=1)
    flat = Image.fromarray(nearest[np.asarray(image) @ one_number])
    flat.putpalette(palette.astype(np.uint8).tobytes())
    return flat


def show(line: str, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Show a picture in the notebook, and below it the line that says the same.

    They are two outputs, because JupyterLab shows only the richest format of one output.
    """
    from IPython import display

    publish: Any = display.publish_display_data  # has no annotations
    publish(data, metadata)
    caption = (
        '<p style="margin:2px 0 8px 6px;font-size:14px;line-height:1.5;max-width:800px">'
        f"<strong>In words:</strong> {html.escape(line)}</p>"
    )
    publish({"text/html": caption, "text/plain": f"In words: {line}"})


def sizes(figure: Figure) -> Iterator[tuple[float, str]]:
    """The size in points and the words of every text that the figure shows."""
    from matplotlib.text import Text

    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        if artist.get_visible() and artist.get_text().strip():
            yield float(artist.get_fontsize()), artist.get_text()


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw in the lab's own style, even if the notebook has set another one."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 10,
                "font.family": "DejaVu Sans",
                "text.color": INK,
                "axes.edgecolor": QUIET,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
                "hatch.color": INK,
                "hatch.linewidth": 0.4,
            }
        )
        yield


def canvas(width: float, height: float) -> Figure:
    """A white figure of this width and height in inches. Draw on it inside `plain_style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def title(figure: Figure, finding: str) -> None:
    """Write above the picture what it shows, as one sentence."""
    figure.text(0.012, 0.985, finding, fontsize=12.5, fontweight="bold", va="top", ha="left")


def duration(nanoseconds: int) -> str:
    """A duration as text: `8 µs`, `1.2 ms` or `2.0 s`."""
    if nanoseconds < 999_500:
        return f"{nanoseconds / 1e3:.0f} µs"
    if nanoseconds < 999_500_000:
        digits = 1 if nanoseconds < 99_500_000 else 0
        return f"{nanoseconds / 1e6:.{digits}f} ms"
    return f"{nanoseconds / 1e9:.1f} s"


def lanes(axes: Axes, names: Sequence[str]) -> None:
    """Draw one lane per name from the top, centred at y = 0, 1, …; every other lane is tinted."""
    for lane in range(0, len(names), 2):
        axes.axhspan(lane - 0.5, lane + 0.5, color=PALE, zorder=0)
    axes.set_yticks(range(len(names)), names, fontsize=9.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def blank(axes: Axes) -> None:
    """Hide the frame and the ticks of the axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
