"""Draws where a Redis Cluster keeps its keys: the slots, their masters, and the keys in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture
from bankkit.lab.drawing.text import counted, listed
from bankkit.launch.running_bank import RunningBank
from bankkit.redis_backend.connection import renew_map
from bankkit.redis_backend.private_nodes import RedisNode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PINS = 12
"""The most labels that fit."""

_TAG = re.compile(r"\{(.+?)\}")
_LOOKS = ((style.SKY_BLUE, ""), (style.ORANGE, "//"), (style.GREEN, ".."), (style.PURPLE, "xx"))
_WIDTH, _SIDE = 8.0, 0.2  # inches; so are all lengths here
_TITLE, _ROW, _STEM, _BAR, _FOOT = 0.42, 0.2, 0.16, 0.62, 0.62
_LETTER = 0.083  # width of a monospace letter at 9.5 pt
_INCHES = (_WIDTH - 2 * _SIDE) / SLOTS


def slots(bank: RunningBank, *keys: str) -> Picture:
    """Draw the slots of the bank's Cluster, their present masters, and the slot of each key.

    Without `keys`, it shows the slots of the bank's accounts. ValueError for a Redis without slots,
    and for keys in more than twelve slots; RuntimeError for a bank that has no Redis nodes.
    """
    nodes = bank.redis_nodes.nodes
    if not any(node.slots for node in nodes):
        raise ValueError("This bank's Redis is not a Cluster: none of its nodes has slots.")
    pins: dict[int, list[str]] = {}
    for name, key in _named(bank, keys):
        pins.setdefault(key_slot(key.encode()), []).append(name)
    if len(pins) > MAX_PINS:
        raise ValueError(
            f"{len(pins)} slots are too many: a picture has at most {MAX_PINS} labels."
        )
    pins = dict(sorted(pins.items()))
    with figures.plain_style():
        figure = _draw(nodes, pins)
        figures.title(figure, _finding(nodes, pins, bool(keys)))
    return Picture(figure, _line(nodes, pins, bool(keys)))


def _named(bank: RunningBank, keys: Sequence[str]) -> Iterable[tuple[str, str]]:
    """The label of each key, and the key."""
    if keys:
        return [(key, key) for key in keys]
    renew_map(bank.redis)
    found = sorted(bank.redis.scan_iter(f"{bank.store.namespace}:*:account", count=1000))
    return [(tag[1], key) for key in found if (tag := _TAG.search(key))]


def _owner(nodes: Iterable[RedisNode], slot: int) -> str:
    for node in nodes:
        if any(first <= slot <= last for first, last in node.slots):
            return node.name
    return "no node"


# --- How it is drawn ------------------------------------------------------------------------------


def _draw(nodes: Sequence[RedisNode], pins: Mapping[int, list[str]]) -> Figure:
    levels = _levels(pins)
    lines = [0.0]  # height of each level above the stems
    for level in range(max(levels.values(), default=0) + 1):
        tallest = max((len(pins[slot]) for slot in pins if levels[slot] == level), default=1)
        lines.append(lines[-1] + (tallest + 1) * _ROW + 0.06)
    height = _TITLE + lines[-1] + _STEM + _BAR + _FOOT
    figure = figures.canvas(_WIDTH, height)
    axes = figure.add_axes((_SIDE / _WIDTH, 0, 1 - 2 * _SIDE / _WIDTH, 1))
    axes.set(xlim=(0, SLOTS), ylim=(0, height))
    axes.axis("off")
    _draw_bar(axes, nodes)
    top = _FOOT + _BAR
    for slot, names in pins.items():
        foot = top + _STEM + lines[levels[slot]]
        axes.plot((slot, slot), (_FOOT + _BAR * 0.62, foot), color=INK, linewidth=1.2, zorder=4)
        axes.plot(slot, _FOOT + _BAR * 0.62, "v", color=INK, markersize=6, zorder=5)
        side = _side(slot, pins[slot])
        text = "\n".join((*names, f"slot {slot}"))
        axes.text(
            slot, foot, text, family="monospace", fontsize=9.5, ha=side, va="bottom",
            linespacing=1.25, zorder=6,
            bbox={"boxstyle": "square,pad=0.12", "fc": "white", "ec": "none"},
        )  # fmt: skip
    return figure


def _draw_bar(axes: Axes, nodes: Sequence[RedisNode]) -> None:
    masters = [node for node in nodes if node.slots]
    copies = {
        master.name: [node.name for node in nodes if node.master == master.name and node.alive]
        for master in masters
    }
    by_slot = sorted((part, master) for master in masters for part in master.slots)
    for number, ((first, last), master) in enumerate(by_slot):
        colour, hatch = _LOOKS[number % len(_LOOKS)]
        axes.barh(
            _FOOT + _BAR / 2, last + 1 - first, left=first, height=_BAR, facecolor=colour,
            hatch=hatch, edgecolor=INK, linewidth=1, zorder=2,
        )  # fmt: skip
        middle = (first + last) / 2
        axes.text(
            middle, _FOOT + _BAR * 0.3, f"{master.name}", fontsize=11, fontweight="bold",
            ha="center", va="center", zorder=6,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
        )  # fmt: skip
        copy = f"copied by {listed(copies[master.name])}" if copies[master.name] else "no copy"
        axes.text(
            middle, _FOOT - 0.12, f"slots {first}–{last}\n{copy}", fontsize=9.5, color=QUIET,
            ha="center", va="top", linespacing=1.35,
        )  # fmt: skip


def _levels(pins: Mapping[int, list[str]]) -> dict[int, int]:
    """The level of each label, so that none covers another label or its stem."""
    taken: list[list[tuple[float, float]]] = []
    found: dict[int, int] = {}
    for slot, names in pins.items():
        left, right = _extent(slot, names)
        level = 0
        while level < len(taken) and any(
            left < end and start < right for start, end in taken[level]
        ):
            level += 1
        if level == len(taken):
            taken.append([])
        taken[level].append((left, right))
        for below in taken[:level]:
            below.append((slot * _INCHES - 0.05, slot * _INCHES + 0.05))  # its stem
        found[slot] = level
    return found


def _extent(slot: int, names: Sequence[str]) -> tuple[float, float]:
    """Left and right end of a label, in inches."""
    width = max(len(f"slot {slot}"), *map(len, names)) * _LETTER + 0.15
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[_side(slot, names)]
    left = slot * _INCHES - share * width
    return left, left + width


def _side(slot: int, names: Sequence[str]) -> str:
    """The part of a label that is above its slot: its middle, or an end near an edge."""
    half = max(len(f"slot {slot}"), *map(len, names)) * _LETTER / 2 + 0.1
    at = slot * _INCHES
    if at < half:
        return "left"
    return "right" if at > SLOTS * _INCHES - half else "center"


# --- What it says ---------------------------------------------------------------------------------


def _finding(nodes: Sequence[RedisNode], pins: Mapping[int, list[str]], are_keys: bool) -> str:
    masters = sum(bool(node.slots) for node in nodes)
    if not are_keys:
        return f"{SLOTS:,} slots on {counted(masters, 'master')}: each account is on one of them"
    tagged = [slot for slot, names in pins.items() if _TAG.search(names[0])]
    told = []
    for what, some in (("with a tag", tagged), ("without", [s for s in pins if s not in tagged])):
        if some:
            keys = counted(sum(len(pins[slot]) for slot in some), "key")
            told.append(f"{keys} {what}: {counted(len(some), 'slot')}")
    return ", ".join(told)


def _line(nodes: Sequence[RedisNode], pins: Mapping[int, list[str]], are_keys: bool) -> str:
    if are_keys:
        said = [
            f"slot {slot} of {_owner(nodes, slot)} has {listed(names)}"
            for slot, names in pins.items()
        ]
        return f"{'; '.join(said)}."
    homes: dict[str, list[str]] = {node.name: [] for node in nodes if node.slots}
    masters = counted(len(homes), "master")
    for slot, names in pins.items():
        homes.setdefault(_owner(nodes, slot), []).extend(names)
    said = [
        f"{home} has {listed(sorted(names)) if names else 'none'}" for home, names in homes.items()
    ]
    return f"{SLOTS:,} slots on {masters}; of the accounts, {', '.join(said)}."
