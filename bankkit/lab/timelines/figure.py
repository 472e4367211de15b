"""The static timeline: `Lanes` drawn with matplotlib.

If a recording is too crowded to read, the figure keeps the most important things. A note below
says how many others it leaves out.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, PALE, QUIET, Picture
from bankkit.lab.drawing.text import counted
from bankkit.lab.recording.lost_updates import LostUpdate, dollars
from bankkit.lab.recording.spans import WakeUp
from bankkit.lab.timelines.lanes import Bar, Lanes, MarkKind, Moment
from bankkit.lab.timelines.narration import finding, in_words, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_RELEASES = 30
"""The number of releases that get arrows; more arrows would hide the bars."""

MAX_STORIES = 12
"""The number of lost updates that get an arrow and an amount; the others get only a cross."""

_WIDTH, _LEFT, _RIGHT = 8.0, 1.2, 0.14  # inches, like all lengths below
_TITLE, _SIGN_ROW, _BALANCE, _GAP, _AXIS, _NOTE = 0.4, 0.3, 1.15, 0.12, 0.5, 0.2
_PLOT = _WIDTH - _LEFT - _RIGHT
_LETTER = 0.073  # average width of a letter in 9 pt
_TALL = 7.2  # greatest height of all lanes together, unless there are very many
_ROOMY = 0.4  # least height of a row with room for words in its bars
_AIRY = 0.6  # least height of a row with room for words above its bars
_SHORT = 0.1  # a narrower bar has no room for a hatch
_UNSEEN = 0.04  # a wait with a narrower bar is not drawn

_WRONG = "#A63C00"  # vermillion, dark enough for text on white
_HEIGHTS = {  # of bars, as shares of a row
    "waiting": 0.34, "reading": 0.46, "writing": 0.74, "halted": 0.74, "stale": 0.74,
}  # fmt: skip
_GREY = "#CCCCCC"
_PLURALS = {"read or commit": "reads or commits", "lost update’s arrow": "lost updates’ arrows"}
_LOOKS = {
    "waiting": ("waits", "#FFFFFF", "/////"),
    "reading": ("reads", style.SKY_BLUE, ""),
    "writing": ("writes", style.ORANGE, ""),
    "halted": ("holds the lock, halted", style.ORANGE, "xxxx"),
    "stale": ("goes on without it", "#FFFFFF", "...."),
}
_LIVES = {  # of servers
    "up": ("runs", _GREY, "", 0.2),
    "paused": ("is paused", "#FFFFFF", "||||", 0.4),
}
_MARKS: dict[MarkKind, tuple[str, str]] = {  # shape and colour
    "killed": ("X", INK),
    "paused": ("s", "#FFFFFF"),
    "resumed": (">", style.BLUE),
    "started": (">", style.BLUE),
    "expired": ("d", "#FFFFFF"),
    "fenced": ("H", style.PURPLE),
    "unknown": ("$?$", INK),
}


def draw(lanes: Lanes) -> Picture:
    """Draw the timeline as a picture, with the line that describes it."""
    with figures.plain_style():
        sheet = _Sheet(lanes)
        sheet.draw()
    return Picture(sheet.figure, in_words(lanes))


class _Scale(NamedTuple):
    """The time axis: `x` converts a time to µs, ms or s since the start."""

    start: int
    end: int
    unit: str
    divisor: float

    @classmethod
    def of(cls, lanes: Lanes) -> _Scale:
        length = lanes.end - lanes.start
        for unit, divisor in (("µs", 1e3), ("ms", 1e6)):
            if length < 2000 * divisor:
                return cls(lanes.start, lanes.end, unit, divisor)
        return cls(lanes.start, lanes.end, "s", 1e9)

    def x(self, at: int) -> float:
        return (at - self.start) / self.divisor

    def inches(self, nanoseconds: int) -> float:
        return nanoseconds / max(self.end - self.start, 1) * _PLOT / 1.03


class _Sheet:
    """A figure while it is being drawn."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._entered = {bar.span.call for bar in lanes.bars if bar.span.kind != "waiting"}
        self.scale = _Scale.of(lanes)
        self.left_out: Counter[str] = Counter()
        self.drawn: set[str] = set()
        self.untold: set[MarkKind] = set()
        """The kinds of marks drawn somewhere without words; the legend explains them."""
        self.places = lanes.places
        # All rows have the same height, which is the unit of the vertical axis.
        self.tops = list(
            itertools.accumulate((*lanes.rows, *(1 for _ in lanes.servers)), initial=0)
        )
        widest = 0.66 if self.tops[-1] <= 5 else 0.44
        self.row = min(max(_TALL / self.tops[-1], 0.18), widest)
        self.roomy, self.airy = self.row >= _ROOMY, self.row >= _AIRY
        self.figure: Figure = figures.canvas(_WIDTH, 1)
        self.above = self.figure.add_subplot()
        self.below = self.figure.add_subplot(sharex=self.above)
        self._lay_out(_NOTE)

    def _lay_out(self, note: float, sign_rows: int = 1) -> None:
        """Place the axes; `note` is the height of the line at the bottom, in inches."""
        tall, foot = self.row * self.tops[-1], _AXIS + note
        top = _TITLE + _SIGN_ROW * sign_rows
        height = top + tall + _GAP + _BALANCE + foot
        self.figure.set_size_inches(_WIDTH, height)
        left, width = _LEFT / _WIDTH, _PLOT / _WIDTH
        self.below.set_position((left, foot / height, width, _BALANCE / height))
        self.above.set_position((left, 1 - (top + tall) / height, width, tall / height))

    def draw(self) -> None:
        from matplotlib.text import Text

        lanes, above = self.lanes, self.above
        length = self.scale.x(lanes.end) or 1
        above.set_xlim(-0.005 * length, 1.025 * length)
        above.set_ylim(self.tops[-1], 0)
        for top, bottom in list(pairwise(self.tops))[::2]:
            above.axhspan(top, bottom, color=PALE, zorder=0)
        middles = [(top + bottom) / 2 + self._sunk for top, bottom in pairwise(self.tops)]
        names = [*map(self._lane_name, lanes.clients), *map(shortened, lanes.servers)]
        above.set_yticks(middles, names, fontsize=9)
        above.tick_params(length=0, labelbottom=False)
        for spine in above.spines.values():
            spine.set_visible(False)
        self._bars()
        self._servers()
        self._wake_ups()
        self._moments()
        self._lost()
        self._marks()
        self._balance()
        note = self._note()
        signs = self._sign_rows()
        self._lay_out(_NOTE if note else 0.0, len(signs))
        inch = 1 / self.figure.get_figheight()
        self.figure.text(0.012, 0.06 * inch, note, fontsize=9, color=QUIET, va="bottom")
        figures.title(self.figure, finding(lanes))
        self._legend(signs)
        for text in self.figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)  # otherwise two dollar signs would start a formula

    def _lane_name(self, client: str) -> str:
        """The client, and its server if all its calls went to one and two lines have room."""
        servers = self.lanes.served_by.get(client, ())
        if len(servers) == 1 and self.roomy:
            return f"{shortened(client)}\nat {shortened(servers[0])}"
        return shortened(client)

    @property
    def _sunk(self) -> float:
        """The distance of bars below the middle of their row, which makes room above them."""
        return 0.12 if self.airy else 0.0

    def _y(self, lane: int, row: int) -> float:
        """The vertical middle of a row's bars."""
        return self.tops[lane] + row + 0.5 + self._sunk

    def _half(self, kind: str) -> float:
        """Half the height of a bar."""
        return _HEIGHTS[kind] / 2 * (0.8 if self.airy else 1)

    def _width(self, bar: Bar) -> float:
        return self.scale.inches(bar.span.end - bar.span.start)

    def _is_unseen(self, bar: Bar) -> bool:
        """Whether the bar is a wait that is too short to see, or that no other call caused."""
        span = bar.span
        if span.kind != "waiting":
            return False
        let_in_at_once = not span.held_by and not span.woken_by and span.call in self._entered
        return let_in_at_once or self._width(bar) < _UNSEEN

    def _bars(self) -> None:
        for bar in self.lanes.bars:
            if self._is_unseen(bar):
                self.left_out["short wait"] += bool(bar.span.held_by)
        seen = [bar for bar in self.lanes.bars if not self._is_unseen(bar)]
        for order, (kind, (_, colour, hatch)) in enumerate(_LOOKS.items(), 2):
            chosen = [bar for bar in seen if bar.span.kind == kind]
            short = [bar for bar in chosen if self._width(bar) < _SHORT]
            wide = [bar for bar in chosen if self._width(bar) >= _SHORT]
            plain = _GREY if kind == "waiting" else colour  # a short bar has no hatch
            self._boxes(short, zorder=order, facecolor=plain, edgecolor=plain, linewidth=0)
            self._boxes(
                wide, zorder=order, facecolor=colour, edgecolor=INK, linewidth=0.6, hatch=hatch,
                hatchcolor=QUIET,
            )  # fmt: skip

    def _boxes(self, bars: list[Bar], **look: Any) -> None:
        from matplotlib.collections import PolyCollection

        hair = self.scale.x(self.scale.start + round(0.01 / self.scale.inches(10**9) * 10**9))
        corners = []
        for bar in bars:
            y, half = self._y(bar.lane, bar.row), self._half(bar.span.kind)
            x0 = self.scale.x(bar.span.start)
            x1 = max(self.scale.x(bar.span.end), x0 + hair)  # even the shortest bar is visible
            corners.append([(x0, y - half), (x1, y - half), (x1, y + half), (x0, y + half)])
        if corners:
            self.above.add_collection(PolyCollection(corners, **look), autolim=False)

    def _servers(self) -> None:
        """Draw each server's states: a line while it runs, a box while it is paused."""
        for kind, (_, colour, hatch, height) in _LIVES.items():
            spans = [span for span in self.lanes.server_spans if span.kind == kind]
            for span in spans:
                y = self._y(len(self.lanes.clients) + self.lanes.servers.index(span.server), 0)
                self.above.barh(
                    y, self.scale.x(span.end) - self.scale.x(span.start),
                    left=self.scale.x(span.start), height=height, facecolor=colour, hatch=hatch,
                    hatchcolor=QUIET, edgecolor=INK if hatch else colour, linewidth=0.6, zorder=3,
                )  # fmt: skip

    def _marks(self) -> None:
        """Draw the faults of servers and calls: a sign, and its meaning where it has room."""
        starts: dict[int, list[int]] = defaultdict(list)  # by row: of its bars and marks
        for bar in self.lanes.bars:
            if not self._is_unseen(bar):
                starts[self.tops[bar.lane] + bar.row].append(bar.span.start)
        for mark in self.lanes.marks:
            starts[self.tops[mark.lane] + mark.row].append(mark.at)
        for mark in self.lanes.marks:
            x, y = self.scale.x(mark.at), self._y(mark.lane, mark.row)
            self._mark(x, y, mark.kind)
            row = starts[self.tops[mark.lane] + mark.row]
            after = min((at for at in row if at > mark.at), default=self.scale.end)
            before = max((at for at in row if at < mark.at), default=self.scale.start)
            wide = len(mark.words) * _LETTER + 0.16
            tint = "#FFFFFF" if mark.lane % 2 else PALE
            paper = {"facecolor": tint, "edgecolor": "none", "pad": 0.8}  # covers a hatch
            if not self.roomy:
                self.untold.add(mark.kind)
            elif wide < self.scale.inches(after - mark.at):
                self._word(x, y, mark.words, "left", bbox=paper)
            elif wide < self.scale.inches(mark.at - before):
                self._word(x, y, mark.words, "right", bbox=paper)
            else:
                self.untold.add(mark.kind)

    def _mark(self, x: float, y: float, kind: MarkKind) -> None:
        marker, colour = _MARKS[kind]
        self.above.scatter(
            [x], [y], s=74 if self.roomy else 30, marker=marker, facecolor=colour, edgecolor=INK,
            linewidth=0.9, zorder=9, clip_on=False,
        )  # fmt: skip

    def _wake_ups(self) -> None:
        """Draw arrows from a release to the calls that it let in; the longest waits go first."""
        waits = {
            (bar.span.call, bar.span.end): bar.span.end - bar.span.start
            for bar in self.lanes.bars
            if bar.span.kind == "waiting" and not self._is_unseen(bar)
        }
        by_release: dict[tuple[str, int], list[WakeUp]] = defaultdict(list)
        for each in self.lanes.wake_ups:
            if (each.waiter, each.granted) in waits and self._is_arrow(each):
                by_release[each.releaser, each.released].append(each)

        def longest_wait(wake_ups: list[WakeUp]) -> int:
            return max(waits[each.waiter, each.granted] for each in wake_ups)

        taken: list[tuple[int, int, int]] = []  # time, first and last lane of each release's arrows
        for wake_ups in sorted(by_release.values(), key=longest_wait, reverse=True):
            when = wake_ups[0].released
            between = [self.places[c][0] for w in wake_ups for c in (w.releaser, w.waiter)]
            is_free = all(
                self.scale.inches(abs(when - other)) > 0.07 or bottom <= top1 or top >= bottom1
                for other, top1, bottom1 in taken
                for top, bottom in [(min(between), max(between))]
            )
            if len(taken) < MAX_RELEASES and is_free:
                taken.append((when, min(between), max(between)))
                for each in wake_ups:
                    self._arrow(each)
            else:
                self.left_out["arrow"] += len(wake_ups)

    def _is_arrow(self, wake_up: WakeUp) -> bool:
        return self.places[wake_up.releaser] != self.places[wake_up.waiter]

    def _arrow(self, wake_up: WakeUp) -> None:
        here, there = self.places[wake_up.releaser], self.places[wake_up.waiter]
        down = 1 if there > here else -1
        start = self._y(*here) + down * self._half("reading") * 0.8
        end = self._y(*there) - down * self._half("reading")
        self.above.annotate(
            "", (self.scale.x(wake_up.granted), end), (self.scale.x(wake_up.released), start),
            arrowprops={
                "arrowstyle": "-|>,head_width=0.16,head_length=0.32", "color": style.BLUE,
                "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
            },
            zorder=5,
        )  # fmt: skip

    def _moments(self) -> None:
        """Draw a dot for each read and commit, with the amounts if the rows are high enough."""
        moments = {(moment.call, moment.kind): moment for moment in self.lanes.moments}
        marks: dict[str, list[Moment]] = {"read": [], "commit": []}

        def within(bar: Bar, kind: Literal["read", "commit"]) -> Moment | None:
            found = moments.get((bar.span.call, kind))
            return found if found and bar.span.start <= found.at <= bar.span.end else None

        for bar in self.lanes.bars:
            if bar.span.kind == "waiting":
                continue
            read, commit = within(bar, "read"), within(bar, "commit")
            width = self._width(bar)
            if read is None and commit is None:
                continue
            if width < 0.16:
                self.left_out["read or commit"] += (read is not None) + (commit is not None)
                continue
            for moment in filter(None, (read, commit)):
                marks[moment.kind].append(moment)
            if self.roomy:
                self._amounts(bar, read, commit, width)
            else:
                self.left_out["amount"] += 1
        for kind, face in (("read", "#FFFFFF"), ("commit", INK)):
            if marks[kind]:
                self.drawn.add(kind)
            self.above.scatter(
                [self.scale.x(moment.at) for moment in marks[kind]],
                [self._y(moment.lane, moment.row) for moment in marks[kind]],
                s=26 if self.roomy else 12, facecolor=face, edgecolor=INK,
                linewidth=0.9, zorder=6, clip_on=False,
            )  # fmt: skip

    def _amounts(self, bar: Bar, read: Moment | None, commit: Moment | None, width: float) -> None:
        """Write the amounts that a call read and committed, if they fit into its bar."""
        y = self._y(bar.lane, bar.row)
        x = self.scale.x(read.at if read else bar.span.start)
        room = width - self.scale.inches((read.at if read else bar.span.start) - bar.span.start)
        if read is None:
            words = []
        elif commit is None:
            words = [f"read {dollars(read.cents)}", dollars(read.cents)]
        else:
            words = [f"{dollars(read.cents)} → {dollars(commit.cents)}"]
        if read and commit:
            apart = self.scale.inches(commit.at - read.at)
            long = (f"read {dollars(read.cents)}", f"wrote {dollars(commit.cents)}")
            if (len(long[0]) + len(long[1]) + 3) * _LETTER + 0.3 < apart:
                self._word(self.scale.x(read.at), y, long[0], "left")
                self._word(self.scale.x(commit.at), y, long[1], "right")
                return
            room = apart - 0.08
        fitting = next((word for word in words if len(word) * _LETTER + 0.16 < room), None)
        if fitting:
            self._word(x, y, fitting, "left")
        else:
            self.left_out["amount"] += 1

    def _word(self, x: float, y: float, text: str, side: str, **look: Any) -> None:
        self.above.annotate(
            text, (x, y), (7 if side == "left" else -10, -0.5), textcoords="offset points", ha=side,
            va="center", fontsize=9, zorder=7, **look,
        )  # fmt: skip

    def _lost(self) -> None:
        """Draw a cross at each lost update, and an arrow from the stale read to the commit."""
        from matplotlib import patheffects

        crosses = []
        told = 0
        for update in self.lanes.lost:
            place = self.places.get(update.overwritten.call)
            if place is None:
                continue
            crosses.append((self.scale.x(update.overwritten.wrote_at), self._y(*place)))
            if told < MAX_STORIES and update.by.call in self.places:
                self._story(update, place, self.places[update.by.call])
                told += 1
        self.left_out["lost update’s arrow"] += len(self.lanes.lost) - told
        if crosses:
            self.above.scatter(
                [x for x, _ in crosses], [y for _, y in crosses], marker="X",
                s=120 if self.roomy else 42, facecolor=style.VERMILLION, edgecolor="#FFFFFF",
                linewidth=0.9, zorder=9,
                path_effects=[patheffects.withStroke(linewidth=1.8, foreground=INK)],
            )  # fmt: skip

    def _story(self, update: LostUpdate, lost: tuple[int, int], by: tuple[int, int]) -> None:
        stale, over = self.scale.x(update.by.read_at), self.scale.x(update.by.wrote_at)
        y, top = self._y(*by), self._y(*by) - self._half("writing")
        drawn = {
            "arrowstyle": "-|>,head_width=0.22,head_length=0.42", "color": style.VERMILLION,
            "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0,
        }  # fmt: skip
        apart = self.scale.inches(update.by.wrote_at - update.by.read_at)
        if by != lost:
            self.above.plot(
                [self.scale.x(update.overwritten.wrote_at), over], [self._y(*lost), y],
                color=style.VERMILLION, linewidth=1.4, linestyle=(0, (2, 1.2)), zorder=8,
            )  # fmt: skip
        if not self.airy:
            if apart < 0.18:
                self.left_out["lost update’s arrow"] += 1
                return
            bend = -min(0.8 * self.row / apart, 0.5)
            self.above.annotate(
                "", (over, y), (stale, y), zorder=8,
                arrowprops={**drawn, "shrinkA": 4, "shrinkB": 3,
                            "connectionstyle": f"arc3,rad={bend}"},
            )  # fmt: skip
            return
        rise = top - 0.16
        self.above.plot(
            [stale, stale, over], [y - 0.07, rise, rise], color=style.VERMILLION, linewidth=1.8,
            solid_joinstyle="miter", zorder=8,
        )  # fmt: skip
        self.above.annotate("", (over, y - 0.05), (over, rise), arrowprops=drawn, zorder=8)
        words = f"made from a stale {dollars(update.by.read)}"
        if len(words) * _LETTER + 0.2 < apart:
            self.above.text(
                (stale + over) / 2, rise, words, fontsize=9, ha="center", va="center", zorder=9,
                color=_WRONG,
                bbox={"facecolor": "white" if by[0] % 2 else PALE, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip

    def _balance(self) -> None:
        axes, lanes = self.below, self.lanes
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(
            f"time since the first call came to the lock ({self.scale.unit})", fontsize=9.5
        )
        axes.tick_params(labelsize=9, color=QUIET)
        axes.set_ylabel("balance", fontsize=9.5)
        if not lanes.steps:
            axes.set_yticks([])
            why = lanes.trouble or "Nobody read the balance."
            axes.text(
                0.5, 0.5, why, ha="center", va="center", fontsize=9.5, transform=axes.transAxes
            )
            return
        times = [self.scale.x(max(step.at, lanes.start)) for step in lanes.steps]
        times.append(self.scale.x(lanes.end))
        actual = [step.actual / 100 for step in (*lanes.steps, lanes.steps[-1])]
        expected = [step.expected / 100 for step in (*lanes.steps, lanes.steps[-1])]
        if lanes.lost:
            axes.fill_between(
                times, expected, actual, step="post", facecolor=f"{style.VERMILLION}40",
                hatch="\\\\\\", hatchcolor=style.VERMILLION, edgecolor="none", linewidth=0,
            )  # fmt: skip
            axes.step(
                times, expected, where="post", color=style.GREEN, linewidth=1.8,
                linestyle=(0, (4, 1.6)), zorder=3, label="expected",
            )  # fmt: skip
        axes.step(
            times,
            actual,
            where="post",
            color=INK,
            linewidth=1.8,
            zorder=4,
            label="actual",
        )
        low, high = min(*actual, *expected), max(*actual, *expected)
        self._amount_axis(low, high)
        if lanes.lost:
            axes.legend(
                loc="lower left" if expected[-1] < expected[0] else "upper left", fontsize=9,
                frameon=False, borderaxespad=0.0, handlelength=2.2, labelspacing=0.3,
            )  # fmt: skip
        if lanes.missing:
            self._gap(times, actual, expected)

    def _amount_axis(self, low: float, high: float) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        margin = (high - low) * 0.14 or max(abs(high), 1) * 0.2
        self.below.set_ylim(low - margin, high + margin)
        self.below.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        self.below.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: dollars(round(value * 100)))
        )

    def _gap(self, times: list[float], actual: list[float], expected: list[float]) -> None:
        """Write how much is missing in the end, at the height that hides least of the lines."""
        gone = self.lanes.missing
        x = times[-1]
        self.below.annotate(
            "", (x, actual[-1]), (x, expected[-1]),
            arrowprops={"arrowstyle": "<->", "color": _WRONG, "linewidth": 1.4, "shrinkA": 0,
                        "shrinkB": 0}, zorder=6,
        )  # fmt: skip
        words = f"✗ {dollars(abs(gone))} {'lost' if gone > 0 else 'too much'}"
        bottom, top = self.below.get_ylim()
        from_x = x - x * (len(words) * _LETTER + 0.3) / _PLOT
        first = max(bisect_right(times, from_x) - 1, 0)
        lines = [*actual[first:], *expected[first:]]

        middle = (actual[-1] + expected[-1]) / 2
        heights = [bottom + (top - bottom) * part / 100 for part in range(14, 87, 2)]

        def clearance(height: float) -> tuple[float, float]:
            free = min(abs(line - height) for line in lines) / (top - bottom)
            return min(free, 0.2), -abs(height - middle)

        height = max(heights, key=clearance)
        self.below.annotate(
            words, (x, height), (-9, 0), textcoords="offset points",
            ha="right", va="center", fontsize=9.5, fontweight="bold", color=_WRONG, zorder=6,
            bbox={"facecolor": "#FFFFFF", "edgecolor": _WRONG, "linewidth": 0.8,
                  "boxstyle": "round,pad=0.25"},
        )  # fmt: skip

    def _legend(self, rows: list[list[tuple[str, str]]]) -> None:
        """Draw the legend of the signs that are used."""
        tall, height = _SIGN_ROW * len(rows), self.figure.get_figheight()
        axes = self.figure.add_axes(
            (0, 1 - (_TITLE + tall) / height, 1, tall / height), xlim=(0, _WIDTH), ylim=(tall, 0)
        )
        figures.blank(axes)
        axes.patch.set_visible(False)
        for number, row in enumerate(rows):
            x = 0.1
            for kind, words in row:
                _sign(axes, kind, words, x, _SIGN_ROW * (number + 0.5))
                x += _sign_width(kind, words)

    def _sign_rows(self) -> list[list[tuple[str, str]]]:
        """The signs of the legend, in rows that fit into the width."""
        rows: list[list[tuple[str, str]]] = [[]]
        x = 0.1
        for sign in self._signs():
            wide = _sign_width(*sign)
            if x + wide > _WIDTH:
                rows.append([])
                x = 0.1
            rows[-1].append(sign)
            x += wide
        return rows

    def _signs(self) -> list[tuple[str, str]]:
        lanes = self.lanes
        kinds = {bar.span.kind for bar in lanes.bars if not self._is_unseen(bar)}
        found: list[tuple[str, str]] = [
            (kind, words) for kind, (words, _, _) in _LOOKS.items() if kind in kinds
        ]
        found += [
            (kind, words)
            for kind, words in (("read", "balance read"), ("commit", "balance written"))
            if kind in self.drawn
        ]
        if lanes.wake_ups and "waiting" in kinds:
            found.append(("wake", "lets in"))
        if lanes.lost:
            found += [("lost", "lost"), ("over", "from a stale read")]
        words = {mark.kind: mark.words for mark in lanes.marks}
        return found + [(kind, words[kind]) for kind in _MARKS if kind in self.untold]

    def _note(self) -> str:
        """A sentence about the things that were left out; empty if nothing was."""
        omitted = [
            f"{count:,} {_PLURALS[what]}"
            if what in _PLURALS and count > 1
            else counted(count, what)
            for what, count in self.left_out.items()
            if count
        ]
        if self.lanes.left_out:
            omitted.insert(0, counted(self.lanes.left_out, "client"))
        return f"Left out to stay readable: {', '.join(omitted)}." if omitted else ""


def _sign_width(kind: str, words: str) -> float:
    """The width of a sign of the legend with its words and the gap to the next one."""
    return _symbol_width(kind) + 0.07 + len(words) * _LETTER + 0.2


def _symbol_width(kind: str) -> float:
    return 0.14 if kind in ("read", "commit", "lost", *_MARKS) else 0.3


def _sign(axes: Axes, kind: str, words: str, x: float, y: float) -> None:
    """Draw one sign of the legend with its words."""
    from matplotlib.patches import Rectangle

    width = _symbol_width(kind)
    drawn: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.9, "zorder": 3}
    if kind in _LOOKS:
        _, colour, hatch = _LOOKS[kind]
        height = _HEIGHTS[kind] * 0.26
        axes.add_patch(
            Rectangle(
                (x, y - height / 2), width, height, facecolor=colour, hatch=hatch, linewidth=0.7,
                edgecolor=INK, hatchcolor=QUIET,
            )
        )  # fmt: skip
    elif kind in ("read", "commit"):
        colour = INK if kind == "commit" else "#FFFFFF"
        axes.scatter([x + width / 2], [y], s=26, facecolor=colour, **drawn)
    elif kind == "lost" or kind in _MARKS:
        shape, colour = ("X", style.VERMILLION) if kind == "lost" else _MARKS[cast(MarkKind, kind)]
        axes.scatter([x + width / 2], [y], s=60, marker=shape, facecolor=colour, **drawn)
    else:
        colour = style.BLUE if kind == "wake" else style.VERMILLION
        axes.annotate(
            "", (x + width, y), (x, y),
            arrowprops={"arrowstyle": "-|>,head_width=0.18,head_length=0.36", "color": colour,
                        "linewidth": 1.1 if kind == "wake" else 1.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    axes.text(x + width + 0.07, y, words, fontsize=9, va="center")
