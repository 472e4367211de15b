"""Draws all schedules of a scenario as a tree, to show which of them have the bug."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.patch.patching import Patch
from bankkit.explorer.running.arguments import checked_code, checked_settings
from bankkit.explorer.running.laboratory import Laboratory, Limits, Scenario
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Strategy
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SCHEDULES = 400
"""More leaves would be too small to tell apart on a page."""

SECONDS = 30.0
"""The most time that the search takes."""

_LINE_STYLES = (
    (style.BLUE, "-"),
    (style.ORANGE, (0, (3, 1))),
    (style.GREEN, (0, (1, 1))),
    (style.PURPLE, (0, (5, 1, 1, 1))),
)
"""Colours and dashes of the threads in order of their start. Later threads repeat them."""


@dataclass(slots=True)
class TreeNode:
    """A place in the tree, with its children by the thread that steps and the option it takes."""

    children: dict[tuple[str, int], TreeNode] = field(default_factory=dict)
    fails: bool = False
    """Whether the schedule that ends in this leaf shows the bug."""
    x: float = 0.0
    """Horizontal position; leaf n is at n."""

    def leaves(self) -> Iterator[TreeNode]:
        """The leaves below this node, from left to right."""
        stack = [self]
        while stack:
            node = stack.pop()
            if not node.children:
                yield node
            stack += reversed(node.children.values())


def explored_tree(
    scenario: Scenario,
    *,
    preemptions: int | None = None,
    timeouts: int | None = None,
    patch: Iterable[ModuleType] = (),
    lines: Iterable[object] = (),
) -> Picture:
    """Draw every schedule of the scenario within the bound, and mark those that fail.

    The arguments are those of `explore`, but the search does not stop at the first bug. ValueError
    if there are more than 400 schedules, or if the search takes more than 30 s: then choose a
    smaller bound.
    """
    bound = checked_settings({"preemptions": preemptions, "timeouts": timeouts}).bound
    code = checked_code(scenario, {"patch": patch, "lines": lines})
    root, threads = _build_tree(scenario, bound, code.patch, code.lines)
    leaves = list(root.leaves())
    failing = sum(leaf.fails for leaf in leaves)
    with figures.plain_style():
        figure = figures.canvas(8.0, 4.0)
        axes = figure.add_axes((0.075, 0.13, 0.91, 0.69))
        _place(root, leaves)
        _draw(axes, root, threads)
        figures.title(figure, _finding(len(leaves), failing))
    return Picture(figure, f"{_finding(len(leaves), failing)}, with {bound}.")


def _build_tree(
    scenario: Scenario, bound: Bound, patch: Patch, lines: Iterable[object]
) -> tuple[TreeNode, list[str]]:
    root = TreeNode()
    threads: list[str] = []

    def add(search: Strategy) -> None:
        node = root
        for step in search.path:
            node = node.children.setdefault((step.task.label, step.option), TreeNode())
        node.fails = search.ending is not None or scheduler.failure is not None
        for task in scheduler.tasks:
            if task.label not in threads:
                threads.append(task.label)

    limits = Limits(MAX_SCHEDULES + 1, time.monotonic() + SECONDS)
    with (
        closing(Scheduler(limit=10_000)) as scheduler,
        Laboratory(scenario, patch, lines, scheduler=scheduler) as laboratory,
    ):
        laboratory.find(DepthFirst(scheduler, bound), limits, ("none of these", None), add)
    if limits.reached:
        raise ValueError(
            f"There are more than {MAX_SCHEDULES} schedules with {bound}, or they take more than "
            f"{SECONDS:g} s: choose a smaller bound, such as preemptions=1."
        )
    return root, threads


def _finding(schedules: int, failing: int) -> str:
    if not failing:
        return f"All {schedules} schedules end well"
    verb = "fails" if failing == 1 else "fail"
    return f"{failing} of {schedules} schedules {verb}"


def _place(root: TreeNode, leaves: list[TreeNode]) -> None:
    """Place the leaves side by side, and every other node above the middle of its children."""
    for place, leaf in enumerate(leaves):
        leaf.x = float(place)
    stack = [(root, False)]
    while stack:
        node, children_placed = stack.pop()
        if not node.children:
            continue
        children = list(node.children.values())
        if children_placed:
            node.x = (children[0].x + children[-1].x) / 2
        else:
            stack.append((node, True))
            stack += [(child, False) for child in children]


def _draw(axes: Axes, root: TreeNode, threads: list[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    stepping = {thread for thread, _ in _edges(root)}
    stepping_threads = [thread for thread in threads if thread in stepping]
    line_styles = dict(zip(stepping_threads, itertools.cycle(_LINE_STYLES), strict=False))
    ends: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
    deepest = 0
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        if not node.children:
            ends[node.fails].append((node.x, depth))
        if len(node.children) > 1:
            axes.plot(node.x, depth, "o", color=INK, markersize=3.5, zorder=3)
        for (thread, _option), child in node.children.items():
            xs, depths = [node.x, child.x], [depth, depth + 1]
            # One stroke, as long as only the same thread can step.
            while len(child.children) == 1 and next(iter(child.children))[0] == thread:
                (child,) = child.children.values()
                xs.append(child.x)
                depths.append(depths[-1] + 1)
            colour, dash = line_styles[thread]
            fails = any(leaf.fails for leaf in child.leaves())
            axes.plot(
                xs, depths, color=colour, linestyle=dash, linewidth=2.4 if fails else 1.1,
                zorder=2 if fails else 1,
            )  # fmt: skip
            stack.append((child, depths[-1]))
    for thread, (colour, dash) in line_styles.items():
        axes.plot([], [], color=colour, linestyle=dash, linewidth=1.8, label=f"{thread} steps")
    for fails, (marker, colour, size, label) in _ENDS.items():
        if ends[fails]:
            axes.plot(
                *zip(*ends[fails], strict=True), marker, color=colour, markeredgecolor=INK,
                markersize=size, zorder=4, label=label,
            )  # fmt: skip
    axes.set_ylim(deepest + 0.6, -0.6)
    axes.set_ylabel("step", fontsize=9.5)
    axes.set_xlabel("one leaf per schedule; thick lines lead to those that fail", fontsize=9.5)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=9, color=QUIET)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.07, 1), ncols=6, fontsize=9.5, frameon=False,
        borderaxespad=0.1, handlelength=2.6,
    )  # fmt: skip


_ENDS = {False: ("o", "white", 5, "ends well"), True: ("X", style.VERMILLION, 9, "fails")}


def _edges(root: TreeNode) -> Iterator[tuple[str, int]]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield from node.children
        stack += node.children.values()
