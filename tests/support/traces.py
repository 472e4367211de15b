"""The traces of a scenario: what is left of its schedules when the order of unrelated steps is not
told. Two schedules of the same trace are equivalent; a reduction may run only one of them.

Written without the explorer's own notion of a trace, so that tests can compare the two.
"""

import time
from collections.abc import Callable, Hashable
from contextlib import closing
from typing import Any

from bankkit.explorer.bounded import BoundedSearch
from bankkit.explorer.depth_first import Bound, DepthFirst, Step
from bankkit.explorer.dpor import SourceDpor
from bankkit.explorer.laboratory import Laboratory, Limits, Search
from bankkit.explorer.scheduler import READ, Scheduler

MakeSearch = Callable[[Scheduler], DepthFirst]
NOTHING = ("no failure is like this", None)


class EverySchedule(DepthFirst):
    """Without reduction, and says which object each step uses."""

    def choices(self) -> list[Step]:
        found = super().choices()
        for step in found:
            step.identify()
        return found


def depth_first(bound: Bound) -> MakeSearch:
    return lambda scheduler: EverySchedule(scheduler, bound)


def bounded_search(bound: Bound) -> MakeSearch:
    return lambda scheduler: BoundedSearch(scheduler, bound)


def source_dpor(scheduler: Scheduler) -> DepthFirst:
    return SourceDpor(scheduler)


def traces(
    scenario: Callable[[Any], object], make: MakeSearch, most: int = 1_000_000
) -> tuple[set[Hashable], int]:
    """All traces that the search comes by, failing ones too, and how many schedules it ran.

    If those are `most`, there may be more.
    """
    found: set[Hashable] = set()

    def observe(search: Search) -> None:
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


def trace(search: Search) -> Hashable:
    """What each thread did, and in which order each object was used, reads in a row unordered."""
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
