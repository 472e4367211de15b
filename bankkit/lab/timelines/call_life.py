"""The life of one RPC as a picture: from the client to Redis and back, and the time in each part.

The parts follow one another without a gap, so their sum is the time that the client waited. Their
durations differ by a factor of a thousand. The strip therefore gives each part the same width and
writes its duration inside; a bar below shows the same parts to scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture, duration
from bankkit.lab.recording.events import FENCED_OFF, Call, EventKind, RecordedEvent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PartName = Literal[
    "stub", "wire", "earlier", "thread", "check", "lock", "read", "rule", "commit", "reply", "back"
]


@dataclass(frozen=True, slots=True)
class Part:
    """A stage of a call, from `start` to `end` in nanoseconds."""

    name: PartName
    start: int
    end: int
    refused: bool = False
    """The call failed in this part; only the reply and the way back follow."""

    @property
    def duration(self) -> int:
        """The length of the part in nanoseconds."""
        return self.end - self.start


def parts(call: Call) -> list[Part]:
    """The parts of a call's life without gaps, from `sent` to `received`.

    Events after `received` are ignored: they happen if the client gave up before the server did.
    Raises ValueError if the call has not ended, or if its client was not recorded.
    """
    sent, received = call.find("sent"), call.find("received")
    if sent is None:
        raise ValueError("This call's client was not recorded: make it with `recording.stub`.")
    if received is None:
        raise ValueError("This call is still in flight: wait for its answer.")
    found: list[Part] = []
    before = sent
    for event in call.events:
        start = found[-1].end if found else sent.at
        if event.kind == "arrived" and call.find("arrived") is not event:
            found = _tried_again(found, event, ("stub", "wire"))
        elif event.kind == "reading" and before.kind == "failed":
            found = _tried_again(found, event, ("stub", "wire", "thread", "check", "lock"))
        elif name := _part(before, event, call):
            found.append(Part(name, start, event.at))
        before = event
        if event is received:
            break
    if call.status != "OK":
        last = max(i for i, part in enumerate(found) if part.name not in ("reply", "back"))
        found[last] = replace(found[last], refused=True)
    return found


_ENDS: dict[EventKind, PartName] = {
    "encoded": "stub",
    "arrived": "wire",
    "began": "thread",
    "asked": "check",
    "granted": "lock",
    "timeout": "lock",
    "read": "read",
    "committed": "commit",
}
"""The part that ends with an event, for events where this does not depend on the event before."""

_FAILED: dict[EventKind, PartName] = {"committing": "commit", "asked": "lock"}
"""The part in which Redis failed, by the event before; for other events it is the read."""

_INTERRUPTED: dict[EventKind, PartName] = {
    "sent": "stub",
    "encoded": "wire",
    "arrived": "thread",
    "began": "check",
    "asked": "lock",
    "granted": "read",
    "reading": "read",
    "read": "rule",
    "committing": "commit",
}
"""The part in which the client gave up, by the event before."""


def _part(before: RecordedEvent, event: RecordedEvent, call: Call) -> PartName | None:
    """The part that ends with `event`; None if no part ends there."""
    if event.kind in _ENDS:
        return _ENDS[event.kind]
    if event.kind == "failed":
        return _FAILED.get(before.kind, "read")
    if event.kind == "received":
        return _INTERRUPTED.get(before.kind, "back")
    if event.kind in ("reading", "committing") and before.kind == "began":
        return "check"
    if before.kind == "read" and (
        event.kind == "committing"
        or (event.kind in ("released", "replied") and call.status != "OK")
    ):
        return "rule"
    if event.kind == "replied":
        return "check" if before.kind == "began" else "reply"
    return None


def _tried_again(found: list[Part], event: RecordedEvent, keep: tuple[PartName, ...]) -> list[Part]:
    """Replace the parts of the failed attempts, up to `event`, by one part `earlier`."""
    kept = list(takewhile(lambda part: part.name in keep, found))
    return [*kept, Part("earlier", kept[-1].end, event.at)]


# --- In words ------------------------------------------------------------------------------------

_WHY = {
    "ALREADY_EXISTS": "the account already exists",
    "CANCELLED": "the client cancelled the call",
    "DEADLINE_EXCEEDED": "the deadline passed",
    "FAILED_PRECONDITION": "the balance does not allow it",
    "INTERNAL": "the server failed",
    "INVALID_ARGUMENT": "the request is invalid",
    "NOT_FOUND": "there is no such account",
    "OUT_OF_RANGE": "past the limit",
    "RESOURCE_EXHAUSTED": "too many calls are queued",
    "UNAVAILABLE": "no server answered",
}


def _why(call: Call, part: Part) -> str:
    """The meaning of the status in the part where the call failed, in a few words."""
    if call.reason == "INVALID_MESSAGE":
        return "the bytes are not a valid message"
    if call.reason == FENCED_OFF:
        return "the lock was lost before the change"
    if call.status == "UNAVAILABLE" and part.name in ("lock", "read", "commit"):
        return "Redis does not answer"
    if call.status == "DEADLINE_EXCEEDED" and part.name == "lock":
        return "the lock was not had in time"
    if call.status == "INVALID_ARGUMENT" and call.reason:
        return call.reason.lower().replace("_", " ")
    return _WHY.get(call.status, "it failed")


def _mode(call: Call) -> str:
    asked = call.find("asked")
    return asked.note if asked else ""


def in_words(call: Call) -> str:
    """The path of a call in one sentence, without durations: it is the same in every run."""
    words: dict[PartName, str] = {
        "stub": "stub",
        "earlier": "earlier tries",
        "thread": "server thread",
        "check": "check",
        "lock": f"{_mode(call)} lock",
        "read": "Redis",
        "rule": "rule",
        "commit": "Redis",
    }
    life = parts(call)
    way = " → ".join(["client", *(words[part.name] for part in life if part.name in words)])
    refused = next((part for part in life if part.refused), None)
    if refused is None:
        return f"{call.method} went {way} and back; answered {call.status}."
    where = "the wire" if refused.name == "wire" else words.get(refused.name, refused.name)
    return (
        f"{call.method} went {way}"
        f"{'' if way.endswith(where) else f' → {where}'}, "
        f"and ended there with {call.status}: {_why(call, refused)}."
    )


# --- As a picture --------------------------------------------------------------------------------


class _PartStyle(NamedTuple):
    row: int
    label: str
    colour: str
    hatch: str


_ROWS = ("client", "wire", "server", "Redis")
_LOOKS: dict[PartName, _PartStyle] = {
    "stub": _PartStyle(0, "stub", style.SKY_BLUE, ""),
    "wire": _PartStyle(1, "wire", "#DDDDDD", ""),
    "earlier": _PartStyle(1, "earlier\ntries", style.GREY, "xx"),
    "thread": _PartStyle(2, "wait for\nthread", "#FFFFFF", "//"),
    "check": _PartStyle(2, "check\ninput", style.PURPLE, ""),
    "lock": _PartStyle(2, "lock", style.ORANGE, "\\\\"),
    "read": _PartStyle(3, "read", style.GREEN, "--"),
    "rule": _PartStyle(2, "rule", style.PURPLE, ".."),
    "commit": _PartStyle(3, "commit", style.GREEN, "||"),
    "reply": _PartStyle(2, "reply", style.SKY_BLUE, ""),
    "back": _PartStyle(1, "wire", "#DDDDDD", ""),
}

_WAYS: dict[str, tuple[PartName, ...]] = {
    "CreateAccount": ("stub", "wire", "thread", "check", "commit", "reply", "back"),
    "GetBalance": ("stub", "wire", "thread", "check", "lock", "read", "reply", "back"),
}
_LONG_WAY: tuple[PartName, ...] = (
    *("stub", "wire", "thread", "check", "lock", "read", "rule", "commit", "reply", "back"),
)

_WIDTH, _HEIGHT = 8.0, 4.3
_LEFT = 0.62  # inches for the names of the rows
_TOP, _ROW = 3.86, 0.62  # inches from the bottom of the figure; height of a row in inches
_BAR, _BAR_HEIGHT = 0.55, 0.26
_WARNING = "#A63C00"  # vermillion, dark enough for text on white


def life(call: Call) -> Picture:
    """Draw a recorded call: `lab.life(recording.last)`.

    Each part is in the row of the place where it happens, in order of time. If the call failed, the
    parts that it did not reach are only outlined. Raises ValueError as `parts` does.
    """
    found = parts(call)
    with figures.plain_style():
        figure = figures.canvas(_WIDTH, _HEIGHT)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT))
        figures.blank(axes)
        _draw(axes, call, found)
        figures.title(figure, _finding(call, found))
    return Picture(figure, in_words(call))


def _finding(call: Call, found: list[Part]) -> str:
    total = found[-1].end - found[0].start
    refused = next((part for part in found if part.refused), None)
    if refused:
        at = _LOOKS[refused.name].label.replace("\n", " ")
        return f"{call.method} ended at “{at}” with {call.status}, {duration(total)} in all"
    in_vain = sum(part.duration for part in found if part.name == "earlier")
    if in_vain:
        return f"{call.method} took {duration(total)}; {duration(in_vain)} of it in earlier tries"
    redis = sum(part.duration for part in found if part.name in ("read", "commit"))
    share = f"{redis / total:.0%}" if redis else "nothing"
    return f"{call.method} took {duration(total)}; {share} of it in Redis"


def _columns(call: Call, found: list[Part]) -> list[Part | PartName]:
    """The columns of the strip: the parts, and the names of the parts that were not reached."""
    names = [part.name for part in found]
    way = _WAYS.get(call.method, _LONG_WAY)
    if not any(part.refused for part in found):
        return list(found)
    at = next(i for i, part in enumerate(found) if part.refused)
    behind = way[way.index(names[at]) + 1 :] if names[at] in way else ()
    missed = [name for name in behind if name not in (*names, "reply", "back")]
    return [*found[: at + 1], *missed, *found[at + 1 :]]


def _draw(axes: Axes, call: Call, found: list[Part]) -> None:
    columns = _columns(call, found)
    step = (_WIDTH - _LEFT - 0.1) / (len(columns) + 1)  # the last one is for the answer
    places = [_LabelSpot(_LEFT + step * i, step, _row(column)) for i, column in enumerate(columns)]
    answer = _LabelSpot(_LEFT + step * len(columns), step, 0)
    for row, name in enumerate(_ROWS):
        bottom = _TOP - (row + 1) * _ROW
        if row % 2 == 0:
            axes.axhspan(bottom, bottom + _ROW, color=figures.PALE, zorder=0)
        axes.text(0.1, bottom + _ROW / 2, name, va="center", fontsize=10, color=QUIET)
    reached = [p for p, c in zip(places, columns, strict=True) if isinstance(c, Part)]
    for here, there in pairwise([*reached, answer]):
        if there.left - here.left < 1.5 * step:
            _arrow(axes, here, there)
        else:
            _bypass(axes, here, there)
    for place, column in zip(places, columns, strict=True):
        if isinstance(column, Part):
            _box(axes, place, column)
        else:
            _outline(axes, place, _LOOKS[column].label)
    _answer(axes, answer, call.status)
    by_name = {c.name: p for p, c in zip(places, columns, strict=True) if isinstance(c, Part)}
    if call.status == "OK":
        _hold(axes, call, by_name)
    for part in found:
        if part.refused:
            _callout(axes, by_name[part.name], answer, f"{call.status}: {_why(call, part)}")
    _to_scale(axes, [(part, by_name[part.name]) for part in found])


def _row(column: Part | PartName) -> int:
    return _LOOKS[column.name if isinstance(column, Part) else column].row


class _LabelSpot(NamedTuple):
    """The place of a box of the strip, in inches."""

    left: float
    width: float
    row: int

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    @property
    def bottom(self) -> float:
        return _TOP - (self.row + 1) * _ROW

    @property
    def centre(self) -> float:
        return self.bottom + _ROW / 2


def _frame(axes: Axes, place: _LabelSpot, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (place.left + 0.045, place.bottom + 0.05)
    size = (place.width - 0.09, _ROW - 0.1)
    shape = "round,pad=0,rounding_size=0.05"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, zorder=3, **style))


def _words(axes: Axes, place: _LabelSpot, text: str, color: str = "#000000") -> None:
    axes.text(
        place.middle, place.centre, text, ha="center", va="center", zorder=4,
        fontsize=9, linespacing=1.1, color=color,
    )  # fmt: skip


def _box(axes: Axes, place: _LabelSpot, part: Part) -> None:
    look = _LOOKS[part.name]
    edge, width = (_WARNING, 2.4) if part.refused else (INK, 0.8)
    _frame(axes, place, facecolor=look.colour, edgecolor=edge, linewidth=width)
    _words(axes, place, f"{look.label}\n{duration(part.duration)}")


def _outline(axes: Axes, place: _LabelSpot, label: str) -> None:
    _frame(axes, place, facecolor="white", edgecolor=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
    _words(axes, place, f"{label}\nnot\nreached", color=QUIET)


def _answer(axes: Axes, place: _LabelSpot, status: str) -> None:
    ok = status == "OK"
    colour = style.GREEN if ok else "white"
    edge, width = (INK, 0.8) if ok else (_WARNING, 2.4)
    _frame(axes, place, facecolor=colour, edgecolor=edge, linewidth=width)
    _words(axes, place, "answer\n✓ OK" if ok else "answer\n✗ error")


def _arrow(axes: Axes, here: _LabelSpot, there: _LabelSpot) -> None:
    """Draw the arrow from a box to the next one, with a corner if the row changes."""
    drawn = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    if here.row == there.row:
        start = (here.left + here.width - 0.045, here.centre)
        axes.annotate("", (there.left + 0.045, there.centre), start, arrowprops=drawn)
        return
    down = there.row > here.row
    x = there.middle
    end = there.bottom + _ROW - 0.05 if down else there.bottom + 0.05
    axes.plot([here.left + here.width - 0.045, x], [here.centre] * 2, color=INK, linewidth=1.0)
    axes.annotate("", (x, end), (x, here.centre), arrowprops=drawn)


def _bypass(axes: Axes, here: _LabelSpot, there: _LabelSpot) -> None:
    """Draw the arrow from the part that failed to the reply, past the parts not reached."""
    x, y = here.left + here.width, there.bottom + _ROW + 0.05
    axes.plot(
        [x - 0.045, x, x, there.middle], [here.centre, here.centre, y, y], color=INK, linewidth=1.0
    )
    drawn = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (there.middle, y - 0.1), (there.middle, y + 0.005), arrowprops=drawn)


def _hold(axes: Axes, call: Call, places: dict[PartName, _LabelSpot]) -> None:
    """Draw a bracket over the parts in which the call held its lock."""
    granted, released = call.find_last("granted"), call.find_last("released")
    if not granted or not released or "read" not in places:
        return
    last = places["commit" if "commit" in places else "read"]
    left, right = places["read"].left + 0.02, last.left + last.width - 0.02
    y = _TOP - 2 * _ROW + 0.1
    axes.plot([left, left, right, right], [y - 0.07, y, y, y - 0.07], color=INK, linewidth=1.0)
    axes.text(
        (left + right) / 2, y + 0.06, f"holds the {granted.note} lock\n"
        f"for {duration(released.at - granted.at)}",
        ha="center", va="bottom", fontsize=9, linespacing=1.1,
    )  # fmt: skip


def _callout(axes: Axes, place: _LabelSpot, answer: _LabelSpot, text: str) -> None:
    """Write why the call failed into the client's row, with an arrow to the part."""
    y = _TOP - 0.5 * _ROW
    middle = min(max(place.middle, _LEFT + 3.2), answer.left - 2.1)
    axes.text(
        middle, y, f"✗ refused\n{text}", ha="center", va="center", fontsize=9.5,
        fontweight="bold", color=_WARNING, linespacing=1.25, zorder=6,
    )  # fmt: skip
    axes.annotate(
        "", (place.middle, place.bottom + _ROW - 0.04), (place.middle, y - 0.24),
        arrowprops={"arrowstyle": "-|>", "color": _WARNING, "linewidth": 1.6, "shrinkA": 0,
                    "shrinkB": 0}, zorder=5,
    )  # fmt: skip


def _to_scale(axes: Axes, found: list[tuple[Part, _LabelSpot]]) -> None:
    """Draw the same parts as one bar, with lengths in proportion to their durations."""
    from matplotlib.patches import Rectangle

    begin, end = found[0][0].start, found[-1][0].end
    left, right = _LEFT, _WIDTH - 0.1
    unit = (right - left) / (end - begin)
    for part, place in found:
        look = _LOOKS[part.name]
        x, width = left + (part.start - begin) * unit, part.duration * unit
        axes.add_patch(
            Rectangle(
                (x, _BAR), width, _BAR_HEIGHT, facecolor=look.colour, hatch=look.hatch,
                edgecolor=INK, linewidth=0.5, zorder=3,
            )
        )  # fmt: skip
        axes.plot(
            [place.middle, place.middle, x + width / 2],
            [place.bottom + 0.05, _TOP - 4 * _ROW - 0.04, _BAR + _BAR_HEIGHT],
            color=_WARNING if part.refused else QUIET, linewidth=0.6, zorder=1,
        )  # fmt: skip
    axes.text(0.1, _BAR + _BAR_HEIGHT / 2, "to scale", va="center", fontsize=9, color=QUIET)
    y = _BAR - 0.07
    for x, text, align in (
        (left, "0", "left"),
        (right, duration(end - begin), "right"),
    ):
        axes.text(x, y, text, ha=align, va="top", fontsize=9)
    axes.text(
        (left + right) / 2, y, "time since the client made the call", ha="center", va="top",
        fontsize=9,
    )  # fmt: skip
    axes.text(
        0.1, 0.06, "Boxes: equal widths, true durations written inside. "
        "Bar: lengths in proportion to time.", fontsize=9, color=QUIET, va="bottom",
    )  # fmt: skip
