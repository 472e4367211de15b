"""Draws the whole system of a running bank in one picture, from a client's call to Redis.

It shows six numbered stations in the three places where they run. The details are those of the
running bank: its address family, its threads, its concurrency choice, and an account's hash in
Redis before and after a call.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from bankkit import Bank
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Peek = dict[str, Any]
"""The result of `bank.peek`: the values of an account in Redis, by key."""
Fields = dict[str, str]
Point = tuple[float, float]

WIDTH, HEIGHT = 8.0, 4.8  # inches; so are all positions below
LONGEST_KEY, LONGEST_VALUE = 20, 9  # characters that fit

_A_LOCK = ("one for each account,", "held to read and write")
_NO_LOCK = {
    "none": ("no lock: threads enter at", "the same time"),
    "atomic": ("no lock: Redis makes the", "change in one step"),
}


def system(bank: Bank, before: Peek, after: Peek) -> Picture:
    """Draw the path of a call through `bank`, and what the call changed in Redis.

    `before` and `after` are results of `bank.peek(id)`, taken before and after the call. ValueError
    unless both are of the same existing account.
    """
    key = _account_key(before, after)
    old, new = before[key], after[key]
    family = _address_family(bank.server.host)
    threads = bank.server.threads
    with figures.plain_style():
        figure = figures.canvas(WIDTH, HEIGHT)
        _draw(figure, bank, key, old, new)
    line = (
        f"client (1) → stub (2) → channel (3, {family}) → one of {threads} server threads (4) → "
        f"lock (5, {bank.concurrency}) → Redis (6), where {key} had balance {old['balance']} "
        f"before the call and has {new['balance']} after it, in cents."
    )
    return Picture(figure, line)


# --- What the bank is like ---------------------------------------------------------------------


def _account_key(before: Peek, after: Peek) -> str:
    for key in before:
        if key.endswith(":account") and key in after:
            return key
    raise ValueError("before and after must be bank.peek(id) of one and the same account.")


def _address_family(host: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(host).version}"
    except ValueError:
        return "by name"


# --- How it is drawn ---------------------------------------------------------------------------


def _draw(figure: Figure, bank: Bank, key: str, old: Fields, new: Fields) -> None:
    finding = "and nothing changed" if old == new else "one changed number"
    figures.title(figure, f"One call, six stations, {finding} in Redis")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    legend = "Follow the numbers. Solid arrows carry the request, dashed ones bring the reply back."
    axes.text(0.1, 4.31, legend, size=9.5, color=QUIET, va="center")

    _place(axes, 0.1, 2.45, "Your notebook", "the client’s side", style.BLUE)
    _place(axes, 3.05, 2.3, "The server", "threads of the same process", style.ORANGE)
    _place(axes, 5.85, 2.05, "Redis", "a separate process", style.GREEN)

    host, threads = bank.server.host, bank.server.threads
    address = f"HTTP/2 to {_fit(host, 15)}, {_address_family(host)}"
    lock = _NO_LOCK.get(bank.concurrency, _A_LOCK)
    _station(axes, 0.25, 2.45, 2.15, 0.85, 1, "Client", "sets a deadline, retries")
    _station(axes, 0.25, 1.35, 2.15, 0.85, 2, "Stub", "packs the call as a message")
    _station(axes, 0.25, 0.25, 2.15, 0.85, 3, "Channel", address)
    _station(axes, 3.2, 0.25, 2.0, 1.4, 4, "Server thread", f"1 of {threads} takes the call")
    _threads(axes, 3.33, 0.38, threads)
    _station(axes, 3.2, 1.95, 2.0, 1.35, 5, "Lock", f"“{bank.concurrency}”", *lock)
    _station(axes, 6.0, 0.25, 1.75, 3.05, 6, "Hash", "one account, in cents")
    shown = _fit(key, LONGEST_KEY)
    axes.text(6.875, 2.4, shown, size=9, family="monospace", ha="center", va="center")
    _fields(axes, 6.08, 1.36, "before", old, old)
    _fields(axes, 6.08, 0.33, "after", new, old)
    _arrow(axes, (6.875, 1.36), (6.875, 1.18), INK, "-")

    _there_and_back(axes, (1.325, 2.45), (1.325, 2.2))
    _there_and_back(axes, (1.325, 1.35), (1.325, 1.1))
    _there_and_back(axes, (2.4, 0.675), (3.2, 0.675))
    _there_and_back(axes, (4.2, 1.65), (4.2, 1.95))
    _there_and_back(axes, (5.2, 2.62), (6.0, 2.62))


def _place(axes: Axes, x: float, width: float, name: str, what: str, colour: str) -> None:
    """Draw a place where stations run: a tinted column with its name."""
    _box(axes, x, 0.1, width, 3.95, fc=f"{colour}22", ec=colour, lw=1.5)
    axes.text(x + 0.15, 3.83, name, size=12, weight="bold", color=INK, va="center")
    axes.text(x + 0.15, 3.55, what, size=9.5, color=QUIET, va="center")


def _station(
    axes: Axes, x: float, y: float, width: float, height: float, number: int, name: str, *does: str
) -> None:
    """Draw a station on the call's path: a numbered box with its name and what it does."""
    _box(axes, x, y, width, height, fc="white", ec=INK, lw=1)
    top = y + height - 0.26
    disc: dict[str, Any] = {"boxstyle": "circle,pad=0.25", "fc": INK, "ec": INK}
    bold: dict[str, Any] = {"weight": "bold", "va": "center"}
    axes.text(x + 0.22, top, str(number), size=10, color="white", ha="center", bbox=disc, **bold)
    axes.text(x + 0.45, top, name, size=11, **bold)
    for line, text in enumerate(does):
        axes.text(x + 0.12, top - 0.32 - 0.27 * line, text, size=9.5, va="center")


def _threads(axes: Axes, x: float, y: float, threads: int) -> None:
    """Draw a square for each thread, at most 16; the busy one is hatched."""
    columns, rows, size, pitch = 8, 2, 0.13, 0.17
    for n in range(min(threads, columns * rows)):
        corner = (x + n % columns * pitch, y + (rows - 1 - n // columns) * pitch)
        busy: dict[str, Any] = (
            {"fc": style.ORANGE, "hatch": "//////"} if n == 0 else {"fc": "white"}
        )
        _rectangle(axes, *corner, size, size, ec=INK, lw=0.8, **busy)


def _fields(axes: Axes, x: float, y: float, when: str, account: Fields, known: Fields) -> None:
    """Draw the hash at one time. Values that differ from `known` are bold, in a heavy frame."""
    look: dict[str, Any] = {"fc": "white", "ec": QUIET, "lw": 1, "ls": ":"}
    if account != known:
        look = {"fc": f"{style.GREEN}33", "ec": style.GREEN, "lw": 2}
    _rectangle(axes, x, y, 1.59, 0.85, **look)
    axes.text(x + 0.08, y + 0.7, when, size=9, color=QUIET, style="italic", va="center")
    for line, (field, value) in enumerate(sorted(account.items(), reverse=True)):
        middle = y + 0.43 - 0.26 * line
        weight = "bold" if value != known[field] else "normal"
        text: dict[str, Any] = {"size": 9, "weight": weight, "va": "center"}
        axes.text(x + 0.08, middle, field, **text)
        axes.text(x + 1.51, middle, _fit(value, LONGEST_VALUE), ha="right", **text)


def _fit(text: str, longest: int) -> str:
    """The text, with `…` for its middle if it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[len(text) - (longest - 1) // 2 :]}"


def _there_and_back(axes: Axes, start: Point, end: Point) -> None:
    """Draw the request's solid arrow and, beside it, the reply's dashed one."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = (0.0, 0.09) if y0 == y1 else (0.09, 0.0)
    _arrow(axes, (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), style.BLUE, "-")
    _arrow(axes, (x1 - dx, y1 - dy), (x0 - dx, y0 - dy), style.VERMILLION, (0, (2.5, 1.2)))


def _arrow(axes: Axes, tail: Point, head: Point, colour: str, line: Any) -> None:
    from matplotlib.patches import FancyArrowPatch

    ends: dict[str, Any] = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11}
    axes.add_patch(FancyArrowPatch(tail, head, color=colour, lw=1.8, ls=line, zorder=5, **ends))


def _box(axes: Axes, x: float, y: float, width: float, height: float, **look: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    corners = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=corners, **look))


def _rectangle(axes: Axes, x: float, y: float, width: float, height: float, **look: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, height, **look))
