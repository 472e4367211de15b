"""How often deposits are lost, by the number of clients that deposit at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture
from bankkit.lab.drawing.text import counted, listed
from bankkit.lab.racing.race_result import RaceResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_BARS = 12


def loss_rate(results: Sequence[RaceResult]) -> Picture:
    """Draw the share of acknowledged deposits that each race lost, in percent.

    The bars are in the order of `results`, each above its number of clients. The line below the
    picture says only what is true in every run. Raises ValueError for no races, for more than 12,
    and for a race without acknowledged deposits.
    """
    if not 1 <= len(results) <= MAX_BARS:
        raise ValueError(f"loss_rate draws 1 to {MAX_BARS} races, not {len(results)}.")
    for result in results:
        if not result.deposits:
            clients = counted(result.writers, "client")
            raise ValueError(f"The race with {clients} has no acknowledged deposit to draw.")
    with figures.plain_style():
        figure = figures.canvas(8.0, 3.5)
        _draw(figure.add_axes((0.09, 0.15, 0.895, 0.69)), results)
        figures.title(figure, _finding(results))
    return Picture(figure, _line(results))


def percent_lost(result: RaceResult) -> float:
    """The percentage of acknowledged deposits that are not in the balance."""
    return 100 * len(result.lost_updates) / result.deposits


def _finding(results: Sequence[RaceResult]) -> str:
    worst = max(results, key=percent_lost)
    if not worst.lost_updates:
        return "No deposit was lost"
    clients = counted(worst.writers, "client")
    return f"With {clients} at once, {percent_lost(worst):.0f} of 100 deposits were lost"


def _line(results: Sequence[RaceResult]) -> str:
    counts = listed([str(result.writers) for result in results])
    shown = (
        "Each bar shows the share of deposits that one race lost. "
        f"{'These races' if len(results) > 1 else 'This race'} had {counts} "
        f"{'client' if counts == '1' else 'clients'}"
    )
    if not any(result.lost_updates for result in results):
        return f"{shown}. No deposit was lost."
    alone = [result for result in results if result.writers == 1]
    if alone and not any(result.lost_updates for result in alone):
        return f"{shown}. One client alone lost nothing; several clients at once lost deposits."
    return f"{shown}. Deposits were lost."


def _draw(axes: Axes, results: Sequence[RaceResult]) -> None:
    shares = [percent_lost(result) for result in results]
    places = range(len(results))
    axes.bar(
        places, shares, width=0.62, facecolor=style.VERMILLION, hatch="//", edgecolor=INK,
        linewidth=0.8, zorder=2,
    )  # fmt: skip
    for place, share, result in zip(places, shares, results, strict=True):
        label = f"{len(result.lost_updates)} of {result.deposits}"
        axes.annotate(
            label, (place, share), (0, 3), textcoords="offset points", ha="center", va="bottom",
            fontsize=9.5,
        )  # fmt: skip
    axes.set_xlim(-0.6, len(results) - 0.4)
    axes.set_ylim(0, max(10.0, 1.15 * max(shares)))
    axes.set_xticks(places, [str(result.writers) for result in results])
    axes.set_xlabel("clients that deposit at the same time")
    axes.set_ylabel("deposits lost (%)")
    axes.grid(axis="y", color=QUIET, alpha=0.25, linewidth=0.6, zorder=0)
    axes.tick_params(length=0, labelsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
