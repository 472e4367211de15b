"""Decides whether a schedule may become longer, and says what its threads were doing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from types import FrameType
from typing import Any

from greenlet import getcurrent

from bankkit.explorer.engine.ownership import is_own
from bankkit.explorer.engine.scheduler import READ, Scheduler, Task
from bankkit.explorer.loops.looking import loop_that_looks
from bankkit.explorer.source.locations import here
from bankkit.explorer.text import counted

SUSPICIOUS = 100
"""After so many steps in one schedule, a search looks whether threads wait in loops."""
_OFTEN = 20
"""A thread that has read something so often in one way may be waiting for it to change."""


def limit_reached(scheduler: Scheduler, path: Iterable[Any]) -> str:
    """Why a schedule ends after this path; empty if it may go on.

    If threads seem to wait in loops, the search should begin again with `Spinning`.
    """
    depth = scheduler.depth
    if depth < scheduler.most:
        if scheduler.spinning is None:
            reads = Counter(
                (step.task, step.op, step.option)
                for step in path
                if step.op.mode(step.option) == READ
            )
            is_often = max(reads.values(), default=0) >= _OFTEN
            scheduler.spins = is_often or any(map(_is_in_loop, scheduler.tasks))
        if scheduler.spinning is not None or not scheduler.spins:
            scheduler.limit = min(2 * depth, scheduler.most)
            return ""
    after = f"after {counted(depth, 'step')}"
    return f"{after} {here(scheduler.current)} is still running, perhaps in a loop"


def busiest(scheduler: Scheduler, path: Iterable[Any]) -> str:
    """How many steps of this path each thread has made, and where, the busiest first."""
    counts = Counter(step.task.index for step in path)
    parts = []
    for index, count in counts.most_common(4):
        task = scheduler.tasks[index]
        lines = scheduler.spinning.lines(task) if scheduler.spinning is not None else ""
        if not lines:
            lines = here(task).partition(" at ")[2].partition(" ")[0]
        parts.append(f"{task.label} {count:,}{f' ({lines})' if lines else ''}")
    return ", ".join(parts)


def _is_in_loop(task: Task) -> bool:
    """Whether a thread is in a loop that only looks."""
    if task.op is None or task.greenlet is None:
        return False
    running = task.greenlet is getcurrent()
    frame: FrameType | None = sys._getframe(1) if running else task.greenlet.gr_frame
    while frame is not None:
        if not is_own(frame) and loop_that_looks(frame, None) is not None:
            return True
        frame = frame.f_back
    return False
