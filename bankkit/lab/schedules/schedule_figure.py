"""A schedule in the look of the timeline: a lane a thread, with steps in the place of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from bankkit.explorer.laboratory import Scenario
from bankkit.explorer.replay_run import Run, ThreadView
from bankkit.explorer.schedule import Outcome, Schedule
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, Picture
from bankkit.lab.drawing.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 120
"""More cannot be told from each other on a page."""

State = Literal["ready", "blocked", "ended", "unborn"]


@dataclass(frozen=True, slots=True)
class _Acted:
    """A schedule with what every thread was at before each step, and after the last."""

    outcome: Outcome | None
    moves: tuple[tuple[str, str, bool], ...]
    """Who stepped, reading, writing or neither, and whether that took the turn from another."""
    states: tuple[dict[str, State], ...]


def schedule_timeline(
    scenario: Scenario,
    schedule: Schedule,
    *,
    patch: Iterable[ModuleType] = (),
    lines: Iterable[object] = (),
) -> Picture:
    """Draw who stepped when, who was blocked meanwhile, and who let whom go on.

    ValueError for a schedule without steps or with more than 120; `Diverged` if the scenario does
    not do what the schedule says.
    """
    if not 1 <= len(schedule) <= MOST_STEPS:
        raise ValueError(
            f"A picture has 1 to {MOST_STEPS} steps, and this schedule {len(schedule)}."
        )
    acted = _act(scenario, schedule, patch, lines)
    stepping = {thread for thread, _, _ in acted.moves}
    lanes = [
        name for name, state in acted.states[-1].items() if name in stepping or state != "ended"
    ]
    if "main" not in stepping:  # it only waits for the others
        lanes = [name for name in lanes if name != "main"]
    with figures.plain_style():
        figure = figures.canvas(8.0, 1.75 + 0.5 * len(lanes))
        height = figure.get_figheight()
        axes = figure.add_axes((0.13, 0.52 / height, 0.855, (height - 1.3) / height))
        _draw(axes, acted, lanes)
        figures.title(figure, _finding(acted))
    return Picture(figure, _line(acted, lanes))


def _act(
    scenario: Scenario, schedule: Schedule, patch: Iterable[ModuleType], lines: Iterable[object]
) -> _Acted:
    moves: list[tuple[str, str, bool]] = []
    with closing(Run(scenario, patch=patch, lines=lines)) as run:
        views = [run.threads]
        for number in range(1, len(schedule) + 1):
            move = schedule.moves[number - 1]
            wanted = (move.thread, move.option)
            offered = [each for each in run.enabled if (each.thread, each.option) == wanted]
            if not offered:
                raise ValueError(f"Step {number} of the schedule is not possible: {move.thread}.")
            kind = _kind(next(view for view in run.threads if view.name == move.thread))
            moves.append((move.thread, kind, offered[0].preempts))
            run.step(offered[0])
            views.append(run.threads)
        outcome = run.outcome
    names = [view.name for view in views[-1]]
    states: list[dict[str, State]] = []
    for threads in views:
        now: dict[str, State] = dict.fromkeys(names, "unborn")
        now.update({view.name: view.state for view in threads})
        states.append(now)
    return _Acted(outcome, tuple(moves), tuple(states))


def _kind(view: ThreadView) -> str:
    """What the step belongs to, by the name of the function that it is in, or of its callers."""
    for place in view.stack:
        for word, kind in (("read", "reading"), ("write", "writing")):
            if word in place.function.split("_"):
                return kind
    return "neither"


def _finding(acted: _Acted) -> str:
    count = counted(len(acted.moves), "step")
    if acted.outcome is None:
        return f"The first {count}"
    end = {
        "ended": "every thread ends",
        "deadlock": "a deadlock",
        "lost wakeup": "a lost wakeup",
        "failed assertion": "a failed assertion",
        "exception": "an exception",
    }[acted.outcome.kind]
    return f"After {count}: {end}"


def _line(acted: _Acted, lanes: list[str]) -> str:
    threads = f"{counted(len(lanes), 'thread')}, one lane each"
    finding = f"{threads}; {_finding(acted)[0].lower()}{_finding(acted)[1:]}"
    if acted.outcome is None or acted.outcome.kind == "ended":
        return f"{finding}."
    return f"{finding}: {acted.outcome.text}"


def _runs(states: Sequence[dict[str, State]], name: str) -> Iterator[tuple[int, int]]:
    """From which step to which the thread was blocked, as often as it was."""
    blocked = [number for number, now in enumerate(states) if now[name] == "blocked"]
    for _, group in itertools.groupby(enumerate(blocked), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        yield numbers[0], numbers[-1]


_COLOURS = {"reading": style.SKY_BLUE, "writing": style.ORANGE, "neither": "#D9D9D9"}
_LABELS = {"reading": "steps to read", "writing": "steps to write", "neither": "steps"}


def _draw(axes: Axes, acted: _Acted, lanes: list[str]) -> None:
    steps = len(acted.moves)
    figures.lanes(axes, lanes)
    for lane, name in enumerate(lanes):
        for first, last in _runs(acted.states, name):
            axes.barh(
                lane, last + 1 - first, left=first, height=0.34, facecolor="white", hatch="//",
                edgecolor=INK, linewidth=0.6, zorder=1, label="blocked",
            )  # fmt: skip
        if acted.states[-1][name] == "blocked":
            axes.text(steps + 1.15, lane, "∞", fontsize=14, fontweight="bold", va="center")
    for kind, colour in _COLOURS.items():
        mine = [
            (number, lanes.index(thread))
            for number, (thread, its, _) in enumerate(acted.moves)
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
    for number, (thread, _, preempts) in enumerate(acted.moves):
        if preempts:
            axes.plot(number, lanes.index(thread) - 0.42, "v", color=style.VERMILLION, markersize=7)
        before, after = acted.states[number], acted.states[number + 1]
        for other in lanes:
            if other != thread and before[other] == "blocked" and after[other] != "blocked":
                axes.annotate(
                    "", (number + 1, lanes.index(other)), (number + 1, lanes.index(thread)),
                    arrowprops={"arrowstyle": "-|>", "color": style.BLUE, "linewidth": 1.6},
                    zorder=5,
                )  # fmt: skip
    if any(preempts for *_, preempts in acted.moves):
        axes.plot([], [], "v", color=style.VERMILLION, markersize=7, label="takes the turn")
    axes.set_xlim(0, steps + 2)
    axes.set_xlabel("steps, in their order", fontsize=9.5)
    axes.set_xticks([])
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(
        once.values(), once.keys(), loc="lower left", bbox_to_anchor=(-0.14, 1), ncols=5,
        fontsize=9.5, frameon=False, borderaxespad=0.1,
    )  # fmt: skip
