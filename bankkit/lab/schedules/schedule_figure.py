"""Draws a schedule like a timeline: one lane per thread, with steps instead of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from bankkit.explorer.running.laboratory import Scenario
from bankkit.explorer.running.replay_run import Run, ThreadView
from bankkit.explorer.schedules.schedule import Explanation, Outcome, Schedule
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, Picture
from bankkit.lab.drawing.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_STEPS = 120
"""More steps would be too small to tell apart on a page."""

State = Literal["ready", "blocked", "ended", "unstarted"]


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A schedule with the state of every thread before each step and after the last one."""

    outcome: Outcome | None
    moves: tuple[tuple[str, str, bool], ...]
    """Thread; whether it reads, writes or does neither; whether the step is a preemption."""
    states: tuple[dict[str, State], ...]
    why: Explanation | None = None


def schedule_timeline(
    scenario: Scenario,
    schedule: Schedule | Outcome,
    *,
    patch: Iterable[ModuleType] = (),
    lines: Iterable[object] = (),
) -> Picture:
    """Draw when each thread stepped and was blocked, and which step unblocked which thread.

    Give it `result.bug` instead of its schedule to mark the steps whose order decides, too.
    ValueError for a schedule without steps or with more than 120, and for one that is not possible
    in this scenario.
    """
    why = None
    if isinstance(schedule, Outcome):
        why, schedule = schedule.why, schedule.schedule
    if not 1 <= len(schedule) <= MAX_STEPS:
        raise ValueError(
            f"A picture shows 1 to {MAX_STEPS} steps, but this schedule has {len(schedule)}."
        )
    replayed = replace(_replay(scenario, schedule, patch, lines), why=why)
    stepping = {thread for thread, _, _ in replayed.moves}
    lanes = [
        name for name, state in replayed.states[-1].items() if name in stepping or state != "ended"
    ]
    if "main" not in stepping:  # it only waits for the other threads
        lanes = [name for name in lanes if name != "main"]
    with figures.plain_style():
        figure = figures.canvas(8.0, 1.75 + 0.5 * len(lanes))
        height = figure.get_figheight()
        axes = figure.add_axes((0.13, 0.52 / height, 0.855, (height - 1.3) / height))
        _draw(axes, replayed, lanes)
        figures.title(figure, _finding(replayed))
    return Picture(figure, _line(replayed, lanes))


def _replay(
    scenario: Scenario, schedule: Schedule, patch: Iterable[ModuleType], lines: Iterable[object]
) -> _Replayed:
    moves: list[tuple[str, str, bool]] = []
    with closing(Run(scenario, patch=patch, lines=lines)) as run:
        views = [run.threads]
        for number in range(1, len(schedule) + 1):
            move = schedule.moves[number - 1]
            wanted = (move.thread, move.option)
            offered = [each for each in run.enabled if (each.thread, each.option) == wanted]
            if not offered:
                raise ValueError(
                    f"Step {number} of the schedule is not possible: {move.thread} cannot make it."
                )
            kind = _kind(next(view for view in run.threads if view.name == move.thread))
            moves.append((move.thread, kind, offered[0].preempts))
            run.step(offered[0])
            views.append(run.threads)
        outcome = run.outcome
    names = [view.name for view in views[-1]]
    states: list[dict[str, State]] = []
    for threads in views:
        now: dict[str, State] = dict.fromkeys(names, "unstarted")
        now.update({view.name: view.state for view in threads})
        states.append(now)
    return _Replayed(outcome, tuple(moves), tuple(states))


def _kind(view: ThreadView) -> str:
    """Whether the step reads or writes, by the name of its function or of the callers."""
    for place in view.stack:
        for word, kind in (("read", "reading"), ("write", "writing")):
            if word in place.function.split("_"):
                return kind
    return "neither"


def _finding(replayed: _Replayed) -> str:
    count = counted(len(replayed.moves), "step")
    if replayed.outcome is None:
        return f"The first {count}"
    end = {
        "ended": "every thread ends",
        "deadlock": "a deadlock",
        "livelock": "a livelock",
        "lost wakeup": "a lost wakeup",
        "failed assertion": "a failed assertion",
        "failed check": "a failed check",
        "exception": "an exception",
    }[replayed.outcome.kind]
    return f"After {count}: {end}"


def _line(replayed: _Replayed, lanes: list[str]) -> str:
    threads = f"{counted(len(lanes), 'thread')}, one lane each"
    finding = f"{threads}; {_finding(replayed)[0].lower()}{_finding(replayed)[1:]}"
    if replayed.outcome is None or replayed.outcome.kind == "ended":
        return f"{finding}."
    why = f" {replayed.why}" if replayed.why else ""
    return f"{finding}: {replayed.outcome.text.removesuffix('.')}.{why}"


def _blocked_spans(states: Sequence[dict[str, State]], name: str) -> Iterator[tuple[int, int]]:
    """Each span in which the thread was blocked, as the numbers of its first and last step."""
    blocked = [number for number, now in enumerate(states) if now[name] == "blocked"]
    for _, group in itertools.groupby(enumerate(blocked), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        yield numbers[0], numbers[-1]


_COLOURS = {"reading": style.SKY_BLUE, "writing": style.ORANGE, "neither": "#D9D9D9"}
_LABELS = {"reading": "step of a read", "writing": "step of a write", "neither": "step"}


def _draw(axes: Axes, replayed: _Replayed, lanes: list[str]) -> None:
    steps = len(replayed.moves)
    figures.lanes(axes, lanes)
    for lane, name in enumerate(lanes):
        for first, last in _blocked_spans(replayed.states, name):
            axes.barh(
                lane, last + 1 - first, left=first, height=0.34, facecolor="white", hatch="//",
                edgecolor=INK, linewidth=0.6, zorder=1, label="blocked",
            )  # fmt: skip
        if replayed.states[-1][name] == "blocked":
            axes.text(steps + 1.15, lane, "∞", fontsize=14, fontweight="bold", va="center")
    for kind, colour in _COLOURS.items():
        mine = [
            (number, lanes.index(thread))
            for number, (thread, its, _) in enumerate(replayed.moves)
            if its == kind and thread in lanes
        ]
        if mine:
            axes.barh(
                [lane for _, lane in mine], 1, left=[number for number, _ in mine], height=0.62,
                facecolor=colour, edgecolor=INK, linewidth=0.8, zorder=2, label=_LABELS[kind],
            )  # fmt: skip
        if steps <= 40:
            for number, lane in mine:
                axes.text(
                    number + 0.5, lane, str(number + 1), fontsize=9, ha="center", va="center",
                    zorder=4,
                )  # fmt: skip
    for number, (thread, _, preempts) in enumerate(replayed.moves):
        if preempts:
            axes.plot(number, lanes.index(thread) - 0.42, "v", color=style.VERMILLION, markersize=7)
        before, after = replayed.states[number], replayed.states[number + 1]
        for other in lanes:
            if other != thread and before[other] == "blocked" and after[other] != "blocked":
                axes.annotate(
                    "", (number + 1, lanes.index(other)), (number + 1, lanes.index(thread)),
                    arrowprops={"arrowstyle": "-|>", "color": style.BLUE, "linewidth": 1.6},
                    zorder=5,
                )  # fmt: skip
    if any(preempts for *_, preempts in replayed.moves):
        axes.plot([], [], "v", color=style.VERMILLION, markersize=7, label="preemption")
    if replayed.why is not None and replayed.why.steps:
        _draw_decision(axes, replayed, replayed.why, lanes)
    axes.set_xlim(0, steps + 2)
    axes.set_xlabel("steps in order", fontsize=9.5)
    axes.set_xticks([])
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(
        once.values(), once.keys(), loc="lower left", bbox_to_anchor=(-0.14, 1), ncols=5,
        fontsize=9.5, frameon=False, borderaxespad=0.1,
    )  # fmt: skip


def _draw_decision(axes: Axes, replayed: _Replayed, why: Explanation, lanes: list[str]) -> None:
    """Frame the steps whose order decides, with an arrow to where the first of them would end well.

    It leads behind the second one, or behind what a thread waits for forever.
    """
    steps = [(number - 1, replayed.moves[number - 1][0]) for number in why.steps]
    steps = [(number, thread) for number, thread in steps if thread in lanes]
    axes.barh(
        [lanes.index(thread) for _, thread in steps], 1, left=[number for number, _ in steps],
        height=0.62, facecolor="none", edgecolor=INK, linewidth=3, zorder=4.5,
        label="decides",
    )  # fmt: skip
    behind = max(number for number, _ in steps) + 1.0 if len(steps) > 1 else 0.0
    if why.waiting in lanes:
        behind = len(replayed.moves) + 1.6
    if not behind or not steps:
        return
    first, lane = steps[0][0] + 0.5, lanes.index(steps[0][1])
    axes.annotate(
        "", (behind, lane - 0.33), (first, lane - 0.33),
        arrowprops={
            "arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "linestyle": (0, (3, 2)),
            "connectionstyle": "arc3,rad=-0.15" if behind > first else "arc3,rad=0.15",
        },
        zorder=6,
    )  # fmt: skip
