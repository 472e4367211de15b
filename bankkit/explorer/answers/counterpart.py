"""Looks for the nearest schedule that ends well, beside one that fails.

The first candidates are the schedules that `exchange_search` makes by a single change. If none of
them ends well, all schedules are run, within limits: then either one of those is the nearest, or
every schedule fails.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from bankkit.explorer.answers.dependence import StepRecord
from bankkit.explorer.answers.exchange import distance
from bankkit.explorer.answers.exchange_search import MOST_STEPS, Counterpart, ExchangeSearch
from bankkit.explorer.running.laboratory import Failure, Laboratory, Limits
from bankkit.explorer.schedules.schedule import Move, Schedule
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy

SECONDS = 2.0
"""The longest time that the search for a counterpart takes."""

LONGEST = 500
"""Schedules of more steps are not examined."""

MOST_SCHEDULES = 1000
"""The most schedules to run in order to say that every schedule fails."""

_NOTHING: Failure = ("no schedule ends like this", None)


@dataclass(frozen=True, slots=True)
class NoCounterpart:
    """No single change makes the schedule end well."""

    others: Literal["none", "some", "unknown"]
    """Whether any schedules of the scenario end well."""
    ran: int
    """How many schedules were run to know that."""
    reduced: bool = False
    """Whether these were only one of each trace."""
    schedule: Schedule | None = None
    """Of those that end well, the one that is like the failing one in the most positions."""
    numbers: tuple[int | None, ...] = ()
    """Its steps, as in `Counterpart`."""


def find_counterpart(
    laboratory: Laboratory, failing: Schedule, deadline: float
) -> Counterpart | NoCounterpart | None:
    """The nearest counterpart of a schedule that fails; None if a limit left that open.

    `deadline` is when the search itself should have ended, on the clock of `time.monotonic`; this
    takes up to SECONDS, and half a second after the deadline.
    """
    if not failing:
        return NoCounterpart("none", 1)
    if len(failing) > LONGEST:
        return None
    until = min(time.monotonic() + SECONDS, max(deadline, time.monotonic()) + 0.5)
    limits = Limits(MOST_STEPS, until)
    search = ExchangeSearch(laboratory.scheduler, failing)
    laboratory.find(search, limits, _NOTHING)
    if search.best is not None:
        return search.best
    if limits.reached or search.has_given_up or not search.follows:
        return None
    return _other_schedules(laboratory, search.failing, until)


def _other_schedules(
    laboratory: Laboratory, failing: list[StepRecord], until: float
) -> NoCounterpart:
    """Whether any schedule ends well, and the nearest that does.

    The reduction goes wrong if threads share data unseen. So that every schedule fails is said only
    after a search without it, as far as that is short enough.
    """
    scheduler = laboratory.scheduler
    reducible = not scheduler.unreducible and not scheduler.ordered
    best: tuple[int, Schedule, tuple[int | None, ...]] | None = None

    def look(search: Strategy) -> None:
        nonlocal best
        if search.cut or search.ending is not None or scheduler.failure is not None:
            return
        steps = search.path
        turns = [(step.task.key, step.option) for step in steps]
        far = distance(failing, turns)
        if best is None or far < best[0]:
            moves = [Move(step.task.label, step.option, "") for step in steps]
            threads = tuple(task.label for task in scheduler.tasks)
            best = far, Schedule(tuple(moves), threads), _numbered(failing, steps)

    one_of_each = Limits(MOST_SCHEDULES, until)
    if reducible:
        laboratory.find(SourceDpor(scheduler), one_of_each, _NOTHING, look)
    every = Limits(MOST_SCHEDULES, until)
    if best is None:
        laboratory.find(_EverySchedule(scheduler, Bound()), every, _NOTHING, look)
    if best is not None:
        _, nearest, numbers = best
        return NoCounterpart("some", one_of_each.ran + every.ran, False, nearest, numbers)
    if not every.reached:
        return NoCounterpart("none", every.ran)
    if not reducible or one_of_each.reached or scheduler.unreducible:
        return NoCounterpart("unknown", one_of_each.ran + every.ran)
    return NoCounterpart("none", one_of_each.ran, reduced=True)


class _EverySchedule(DepthFirst):
    """A search without reduction that also records which object each step uses."""

    def choices(self) -> list[Step]:
        """All choices, with their objects."""
        found = super().choices()
        for step in found:
            step.identify()
        return found


def _numbered(failing: list[StepRecord], steps: list[Step]) -> tuple[int | None, ...]:
    """Which step of the failing schedule each step is: the same one of its thread, and alike."""
    left: dict[int, list[int]] = {}
    for place, record in enumerate(failing):
        left.setdefault(record.thread, []).append(place)
    numbers: list[int | None] = []
    for step in steps:
        mine = left.get(step.task.key, [])
        number: int | None = None
        if mine:
            number = mine.pop(0)
            record = failing[number]
            target = record.accesses[0][0] if record.accesses else 0
            if (step.op, step.option, step.key) != (record.op, record.option, target):
                mine.clear()  # from here on, the thread does something else
                number = None
        numbers.append(number)
    return tuple(numbers)
