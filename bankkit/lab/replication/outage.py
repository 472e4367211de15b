"""Draws a run in which something broke: when each account was served, and when it was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture
from bankkit.lab.drawing.text import listed
from bankkit.lab.replication.call_log import CallLog, LoggedCall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LANES = 8
"""More lanes would not fit on a page."""
LONG_NS = 100_000_000
"""Nanoseconds. A call that took longer is drawn as a line from its start to its end."""

_FAILED = "#A63C00"  # vermillion, dark enough for thin lines on white
_LEFT, _RIGHT = 1.35, 0.16  # inches
_OK_UP, _FAILED_DOWN = 0.14, 0.16  # fractions of a lane


def outage(log: CallLog, **homes: str) -> Picture:
    """Draw every call that was acknowledged or failed, with one lane per account.

    `homes` has words to show below an account's name, such as the node that has it. ValueError if
    there are no calls, or more than eight accounts.
    """
    calls = log.calls
    if not calls:
        raise ValueError("The log has no calls to draw: make some with `log.call`.")
    accounts = log.accounts
    if len(accounts) > MAX_LANES:
        raise ValueError(
            f"{len(accounts)} accounts are too many: a picture has at most {MAX_LANES} lanes."
        )
    with figures.plain_style():
        figure = figures.canvas(8.0, 1.55 + 0.62 * len(accounts))
        width, height = figure.get_size_inches()
        axes = figure.add_axes(
            (_LEFT / width, 0.52 / height, 1 - (_LEFT + _RIGHT) / width, 1 - 1.38 / height)
        )
        _draw(axes, log, homes)
        figures.title(figure, _finding(log))
    return Picture(figure, _line(log))


def _calls_for(log: CallLog, account: str) -> list[LoggedCall]:
    return [call for call in log.calls if call.account == account]


def _gaps(calls: Sequence[LoggedCall]) -> Iterator[tuple[int, int]]:
    """The gap around each row of failures, between the acknowledgements before and after it.

    If there is none, the gap begins with the row's first call, or ends with the last call.
    """
    before: int | None = None
    open_since: int | None = None
    for is_ok, row in groupby(calls, lambda call: call.is_ok):
        first, *rest = row
        last = rest[-1] if rest else first
        if is_ok:
            if open_since is not None:
                yield open_since, first.ended
            before, open_since = last.ended, None
        else:
            open_since = first.began if before is None else before
    if open_since is not None:
        yield open_since, calls[-1].ended


def _unserved(log: CallLog) -> tuple[list[str], list[str]]:
    """The accounts with failed calls, and those without."""
    hit = [account for account in log.accounts if log.failed(account)]
    return hit, [account for account in log.accounts if account not in hit]


def _draw(axes: Axes, log: CallLog, homes: dict[str, str]) -> None:
    calls = log.calls
    start = min(call.began for call in calls)
    lanes = {account: lane for lane, account in enumerate(log.accounts)}
    names = [f"{each}\n{homes[each]}" if each in homes else each for each in lanes]
    figures.lanes(axes, names)
    for account, lane in lanes.items():
        for left, right in _gaps(_calls_for(log, account)):
            _draw_gap(axes, lane, (left - start) / 1e9, (right - start) / 1e9)
    for is_ok, marker, colour, size, words in (
        (True, "|", style.BLUE, 110, "acknowledged (OK)"),
        (False, "x", _FAILED, 26, "failed, sent again"),
    ):
        chosen = [call for call in calls if call.is_ok is is_ok]
        shift = -_OK_UP if is_ok else _FAILED_DOWN
        axes.scatter(
            [(call.ended - start) / 1e9 for call in chosen],
            [lanes[call.account] + shift for call in chosen],
            marker=marker, color=colour, s=size, linewidth=1.5, label=words, zorder=4,
        )  # fmt: skip
        slow = [call for call in chosen if call.ended - call.began > LONG_NS]
        axes.hlines(
            [lanes[call.account] + shift for call in slow],
            [(call.began - start) / 1e9 for call in slow],
            [(call.ended - start) / 1e9 for call in slow],
            color=colour, linewidth=1.5, zorder=4,
        )  # fmt: skip
    end = (max(call.ended for call in calls) - start) / 1e9
    for mark in log.marks:
        at = (mark.at - start) / 1e9
        axes.axvline(at, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=3)
        late = at > 0.6 * end
        axes.annotate(
            mark.words, (at, 1), (-4 if late else 4, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=9.5, ha="right" if late else "left", va="bottom",
        )  # fmt: skip
    axes.set_xlim(-0.01 * end, 1.01 * end)
    axes.set_xlabel("time (s)", fontsize=9.5)
    axes.tick_params(axis="x", length=3, labelsize=9.5, color=QUIET)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.005, 1.0), ncols=2, fontsize=9.5, frameon=False,
        borderaxespad=1.6, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip


def _draw_gap(axes: Axes, lane: int, left: float, right: float) -> None:
    axes.barh(
        lane, right - left, left=left, height=0.86, facecolor=f"{style.ORANGE}55",
        edgecolor=INK, linewidth=0.6, zorder=2,
    )  # fmt: skip
    axes.text(
        (left + right) / 2, lane - 0.15, f"{right - left:.1f} s", fontsize=9.5, fontweight="bold",
        ha="center", va="center", zorder=5,
    )  # fmt: skip


def _finding(log: CallLog) -> str:
    hit, spared = _unserved(log)
    if not hit:
        return "Not one call failed"
    gaps = [gap for account in hit for gap in _gaps(_calls_for(log, account))]
    longest = max(end - start for start, end in gaps) / 1e9
    without = f"{listed(hit)}: up to {longest:.1f} s without service"
    return f"{without}; {listed(spared)}: not one call failed" if spared else without


def _line(log: CallLog) -> str:
    """Which accounts had failed calls, as a text that is the same on every machine."""
    hit, spared = _unserved(log)
    said = f"Calls for {listed(log.accounts)}"
    if log.marks:
        said += f", while this happened: {', then '.join(mark.words for mark in log.marks)}"
    said += ". "
    if not hit:
        return f"{said}Not one of them failed."
    said += f"Calls for {listed(hit)} failed"
    if all(_calls_for(log, account)[-1].is_ok for account in hit):
        said += " for a while, and then were acknowledged again"
    if spared:
        said += f"; not one call for {listed(spared)} failed"
    return f"{said}."
