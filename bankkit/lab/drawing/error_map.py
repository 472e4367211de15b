"""Draws a map of error codes: what went wrong, and what the caller should do next.

It shows errors that really happened. The move for each code follows gRPC's own guide
(https://grpc.io/docs/guides/status-codes/) and the meaning that this bank gives to the code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import grpc

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MoveName = Literal["fix the request", "fix the state", "retry", "give up"]


class FailedCall(Protocol):
    """The error of a call, or a future that has failed."""

    def code(self) -> grpc.StatusCode:
        """The status code of the call."""


class Meaning(NamedTuple):
    """What a code means in this bank."""

    move: MoveName
    what: str
    """The fault in a few words; about 24 characters fit."""
    certain: bool
    """Whether it is certain that the operation was not applied."""


MEANINGS: dict[str, Meaning] = {
    "INVALID_ARGUMENT": Meaning("fix the request", "a value is invalid", True),
    "NOT_FOUND": Meaning("fix the request", "there is no such account", True),
    "ALREADY_EXISTS": Meaning("fix the request", "this id is taken", True),
    "OUT_OF_RANGE": Meaning("fix the request", "a limit is exceeded", True),
    "FAILED_PRECONDITION": Meaning("fix the state", "not enough money", True),
    "ABORTED": Meaning("retry", "the lock was lost", True),
    "UNAVAILABLE": Meaning("retry", "no server answers", False),
    "DEADLINE_EXCEEDED": Meaning("retry", "the deadline passed", False),
    "RESOURCE_EXHAUSTED": Meaning("retry", "too many calls at once", True),
    "CANCELLED": Meaning("give up", "you cancelled the call", False),
    "INTERNAL": Meaning("give up", "the server has a bug", False),
}
_OTHER = Meaning("give up", "not a code of this bank", False)


class _MoveStyle(NamedTuple):
    symbol: str
    colour: str
    why: str


_MOVE_STYLES: dict[MoveName, _MoveStyle] = {
    "fix the request": _MoveStyle("✎", style.ORANGE, "Sent again unchanged,\nit fails again."),
    "fix the state": _MoveStyle("⇄", style.GREEN, "The request is fine,\nthe account is not."),
    "retry": _MoveStyle("↻", style.SKY_BLUE, "Send it later, under\nthe same request id."),
    "give up": _MoveStyle("■", style.GREY, "You cancelled it, or\nyou cannot fix it."),
}


def meaning(code: str) -> Meaning:
    """The meaning of a status code, by its name: give up, if this bank never sends the code."""
    return MEANINGS.get(code, _OTHER)


def error_map(errors: Iterable[FailedCall]) -> Picture:
    """Draw the codes of these errors, each below the move that it asks for.

    ValueError if there are no errors.
    """
    seen = {error.code().name for error in errors}
    codes = [*(code for code in MEANINGS if code in seen), *sorted(seen - MEANINGS.keys())]
    if not codes:
        raise ValueError("There is no error to draw: collect some first.")
    by_move = {
        move: [code for code in codes if meaning(code).move == move] for move in _MOVE_STYLES
    }
    with figures.plain_style():
        figure = figures.canvas(_WIDTH, _HEIGHT)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT))
        figures.blank(axes)
        _draw(axes, by_move)
        retries = len(by_move["retry"])
        figures.title(figure, f"{len(codes)} codes, four moves: only {retries} are worth a retry")
    return Picture(figure, _in_words(by_move))


def _in_words(by_move: dict[MoveName, list[str]]) -> str:
    moves = " ".join(
        f"{move.capitalize()}: {', '.join(codes) or 'none'}." for move, codes in by_move.items()
    )
    unknown = [code for codes in by_move.values() for code in codes if not meaning(code).certain]
    return f"{moves} The outcome is unknown after: {', '.join(unknown) or 'none'}."


# --- How it is drawn, in inches ------------------------------------------------------------------

_WIDTH, _HEIGHT = 8.0, 5.25
_COLUMN, _GAP = 1.89, 0.08
_TOP, _HEAD = 4.82, 0.92
_CARD, _BETWEEN = 0.76, 0.07


def _draw(axes: Axes, by_move: dict[MoveName, list[str]]) -> None:
    for column, (move, codes) in enumerate(by_move.items()):
        x = 0.1 + column * (_COLUMN + _GAP)
        _head(axes, x, move)
        for row, code in enumerate(codes):
            y = _TOP - _HEAD - 0.12 - (row + 1) * _CARD - row * _BETWEEN
            _card(axes, x, y, code)
    axes.text(
        0.1, 0.12, "“done?” asks whether the bank may have applied the operation. If that is "
        "unknown, the frame is dashed.", size=9, color=QUIET, va="bottom",
    )  # fmt: skip


def _head(axes: Axes, x: float, move: MoveName) -> None:
    look = _MOVE_STYLES[move]
    _box(axes, x, _TOP - _HEAD, _HEAD, facecolor=look.colour, edgecolor=INK, linewidth=1.2)
    axes.text(x + 0.1, _TOP - 0.22, f"{look.symbol} {move}", size=12, weight="bold", va="center")
    axes.text(x + 0.1, _TOP - 0.61, look.why, size=9.5, va="center", linespacing=1.25)


def _card(axes: Axes, x: float, y: float, code: str) -> None:
    what = meaning(code)
    line = "solid" if what.certain else (0, (4, 2.5))
    colour = _MOVE_STYLES[what.move].colour
    _box(axes, x, y, _CARD, facecolor=f"{colour}26", edgecolor=INK, linewidth=1.1, linestyle=line)
    left, top = x + 0.1, y + _CARD
    axes.text(left, top - 0.17, code, size=9.5, weight="bold", va="center", family="monospace")
    axes.text(left, top - 0.39, what.what, size=9.5, va="center")
    done = "done?  no" if what.certain else "done?  unknown"
    axes.text(left, top - 0.6, done, size=9, va="center", color=INK if what.certain else "#A63C00")


def _box(axes: Axes, x: float, y: float, height: float, **look: object) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((x, y), _COLUMN, height, boxstyle=shape, **look))  # type: ignore[arg-type]
