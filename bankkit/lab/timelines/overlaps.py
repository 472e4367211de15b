"""A picture of an account's lock: a lane for each client, and the number of readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture
from bankkit.lab.drawing.text import counted
from bankkit.lab.recording.recorder import Recording
from bankkit.lab.recording.spans import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LANES = 12
_LOOKS = {
    "waiting": ("waiting", "#FFFFFF", "//"),
    "reading": ("holds the lock to read", style.SKY_BLUE, ""),
    "writing": ("holds the lock to write", style.ORANGE, "xx"),
}


def overlaps(recording: Recording) -> Picture:
    """Draw when each client waited for a lock, read or wrote, with the number of readers below.

    Raises ValueError if no client asked for a lock, or if more than 12 clients did.
    """
    spans = recording.spans
    asked = {span.client for span in spans}
    lanes = [client for client in recording.history.clients if client in asked]
    if not lanes:
        raise ValueError("Nobody asked for a lock while this was recorded.")
    if len(lanes) > MAX_LANES:
        raise ValueError(
            f"{len(lanes)} clients asked for a lock; the figure has room for {MAX_LANES}. "
            "Use lab.timeline, or record fewer clients."
        )
    peak = recording.peak_readers()
    with figures.plain_style():
        figure = figures.canvas(8.0, 2.3 + 0.34 * len(lanes))
        grid = figure.add_gridspec(
            2, 1, height_ratios=(0.34 * len(lanes), 0.75), hspace=0.12,
            left=0.13, right=0.985, top=1 - 0.72 / figure.get_figheight(),
            bottom=0.56 / figure.get_figheight(),
        )  # fmt: skip
        above = figure.add_subplot(grid[0])
        below = figure.add_subplot(grid[1], sharex=above)
        start = spans[0].start
        _draw_lanes(above, spans, lanes, start)
        _draw_count(below, spans, start, peak)
        figures.title(figure, _finding(peak, len(lanes)))
    return Picture(figure, _line(peak, len(lanes)))


def _finding(peak: int, clients: int) -> str:
    if peak > 1:
        return f"{peak} readers held the lock of one account at the same time"
    return f"{clients} clients, and never two readers at the same time"


def _line(peak: int, clients: int) -> str:
    lanes = f"{counted(clients, 'client')}, one lane each"
    if peak > 1:
        return f"{lanes}; at the peak, {peak} held the lock to read at the same time."
    return f"{lanes}; never two of them held the lock to read at the same time."


def _draw_lanes(axes: Axes, spans: tuple[Span, ...], lanes: list[str], start: int) -> None:
    for kind, (label, colour, hatch) in _LOOKS.items():
        chosen = [span for span in spans if span.kind == kind]
        if kind == "waiting":  # waits that are too short to see are left out
            longest = max(span.end for span in spans) - start
            chosen = [span for span in chosen if span.end - span.start > longest / 200]
        if chosen:
            axes.barh(
                [lanes.index(span.client) for span in chosen],
                [(span.end - span.start) / 1e6 for span in chosen],
                left=[(span.start - start) / 1e6 for span in chosen],
                height=0.62, facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.8,
                label=label, zorder=2,
            )  # fmt: skip
    figures.lanes(axes, lanes)
    axes.tick_params(labelbottom=False)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9.5, frameon=False,
        borderaxespad=0.1,
    )  # fmt: skip


def _draw_count(axes: Axes, spans: tuple[Span, ...], start: int, peak: int) -> None:
    steps = [(span.start, 1) for span in spans if span.kind == "reading"]
    steps += [(span.end, -1) for span in spans if span.kind == "reading"]
    times, counts, count = [0.0], [0], 0
    for at, step in sorted(steps):
        count += step
        times.append((at - start) / 1e6)
        counts.append(count)
    axes.fill_between(times, counts, step="post", color=style.SKY_BLUE, alpha=0.35)
    axes.step(times, counts, where="post", color=style.BLUE, linewidth=1.6)
    if peak > 1:
        at = counts.index(peak)
        axes.annotate(
            f"{peak} at once ", (times[at], peak), ha="right", va="center", fontsize=9.5,
            fontweight="bold",
        )  # fmt: skip
    axes.set_ylim(0, max(peak, 1) * 1.35)
    axes.set_yticks(sorted({0, peak}))
    axes.set_ylabel("readers", fontsize=9.5)
    axes.set_xlabel("time since the first asked for the lock (ms)", fontsize=9.5)
    axes.tick_params(labelsize=9.5, color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
