"""Shortens a failing schedule."""

from __future__ import annotations

import time
from contextlib import closing

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Found, Laboratory, Limits
from bankkit.explorer.running.settings import Subject
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.strategy import Bound

MINIMISING_SECONDS = 5.0
"""The longest time spent on shortening a failing schedule."""
AFTER_DEADLINE = 0.5
"""The longest time spent on it after the deadline of the search, in seconds."""


def shortened(code: Subject, found: Found, timeouts: int | None, deadline: float) -> Schedule:
    """A schedule that fails in the same way with the fewest preemptions, then the fewest steps.

    `deadline` is that of the search, on the clock of `time.monotonic`.
    """
    until = min(time.monotonic() + MINIMISING_SECONDS, deadline + AFTER_DEADLINE)
    with (
        closing(Scheduler(limit=code.steps)) as scheduler,
        code.laboratory(scheduler) as laboratory,
    ):
        return _shortest(laboratory, found, timeouts, Limits(1_000_000, until))


def _shortest(
    laboratory: Laboratory, found: Found, timeouts: int | None, limits: Limits
) -> Schedule:

    def look_for(preemptions: int, steps: int | None) -> Found | None:
        bound = Bound(preemptions, timeouts, steps)
        search = BoundedSearch(laboratory.scheduler, bound)
        return laboratory.find(search, limits, found.failure)

    best = found
    for preemptions in range(found.schedule.preemptions):
        fewer = look_for(preemptions, None)
        if fewer is not None:
            best = fewer
            break
    while best.schedule:  # a schedule without steps cannot be shortened
        shorter = look_for(best.schedule.preemptions, len(best.schedule) - 1)
        if shorter is None:
            break
        best = shorter
    return best.schedule
