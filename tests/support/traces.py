"""The traces of a scenario: its schedules without the order of independent steps.

Two schedules of the same trace are equivalent, and a reduction may run only one of them. This file
does not use the explorer's own notion of a trace, so that tests can compare the two.
"""

import time
from collections.abc import Callable, Hashable
from contextlib import closing
from typing import Any

from bankkit.explorer.engine.scheduler import READ, Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy

MakeSearch = Callable[[Scheduler], Strategy]
NOTHING = ("no failure is like this", None)
"""A wanted failure that no schedule matches, so that the search runs to its end."""


class EverySchedule(DepthFirst):
    """A search without reduction that also records which object each step uses."""

    def choices(self) -> list[Step]:
        """All choices within the bound, with their objects."""
        found = super().choices()
        for step in found:
            step.identify()
        return found


def depth_first(bound: Bound) -> MakeSearch:
    """For `traces`: every schedule within the bound."""
    return lambda scheduler: EverySchedule(scheduler, bound)


def bounded_search(bound: Bound) -> MakeSearch:
    """For `traces`: the reduction with a bound."""
    return lambda scheduler: BoundedSearch(scheduler, bound)


def source_dpor(scheduler: Scheduler) -> Strategy:
    """For `traces`: the reduction without a bound."""
    return SourceDpor(scheduler)


def traces(
    scenario: Callable[[Any], object], make: MakeSearch, most: int = 1_000_000
) -> tuple[set[Hashable], int]:
    """All traces that the search finds, including failing ones, and how many schedules it ran.

    If it ran `most` schedules, there may be more traces and schedules.
    """
    found: set[Hashable] = set()

    def observe(search: Strategy) -> None:
        if not search.cut:
            found.add(trace(search))

    with (
        closing(Scheduler(limit=1000)) as scheduler,
        Laboratory(scenario, scheduler=scheduler) as laboratory,
    ):
        limits = Limits(most, time.monotonic() + 300)
        laboratory.find(make(scheduler), limits, NOTHING, observe)
    assert not limits.reached or limits.ran == most, limits.reached
    return found, limits.ran


def trace(search: Strategy) -> Hashable:
    """The steps of each thread, and the order in which each object was used.

    Reads with no write between them have no order.
    """
    threads: dict[int, list[Hashable]] = {}
    objects: dict[int, list[Any]] = {}
    for step in search.path:
        done = threads.setdefault(step.task.key, [])
        done.append((step.op.code, step.option, step.key))
        if step.key:
            uses = objects.setdefault(step.key, [])
            use = step.task.key, len(done)
            if step.op.mode(step.option) != READ:
                uses.append(use)
            elif uses and isinstance(uses[-1], set):
                uses[-1].add(use)
            else:
                uses.append({use})
    return (
        frozenset((thread, tuple(done)) for thread, done in threads.items()),
        frozenset(
            (key, tuple(frozenset(use) if isinstance(use, set) else use for use in uses))
            for key, uses in objects.items()
        ),
    )
