"""Compares the searches with each other: a reduction must reach every outcome, in fewer schedules.

The unreduced search is the truth. `disagreement` says where a reduced one differs from it, and
`shrunk` gives the smallest program that still shows a difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.delay import DelayBounded
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.prefixes import below_prefixes, prefixes
from bankkit.explorer.strategies.strategy import Bound, Strategy
from tests.support import random_programs
from tests.support.random_programs import Program, Statement
from tests.support.traces import NOTHING

BOUNDS = (Bound(0), Bound(1), Bound(2), Bound(1, timeouts=1), Bound(None, timeouts=0))


Disagreement = Callable[[Program, int], str]
"""Says where searches of a program differ, with at most so many schedules; empty if nowhere."""


@dataclass(frozen=True)
class Outcomes:
    """What a search has found."""

    found: set[Hashable]
    ran: int
    """How many schedules it ran."""
    complete: bool
    """Whether it ran all of its schedules."""


def outcomes(
    program: Program, make: Callable[[Scheduler], Strategy], most: int, raised: int = 0
) -> Outcomes:
    """Every outcome that a search finds within `most` schedules.

    The bound of a search that can deepen is `raised` so many times.
    """
    scenario = random_programs.Scenario(program)
    found: set[Hashable] = set()

    def observe(search: Strategy) -> None:
        if not search.cut:
            found.add(scenario.outcome)

    with (
        closing(Scheduler(limit=1000)) as scheduler,
        Laboratory(scenario, [random_programs.clock], scheduler=scheduler) as laboratory,
    ):
        limits = Limits(most, time.monotonic() + 300)
        search = make(scheduler)
        laboratory.find(search, limits, NOTHING, observe)
        for _ in range(raised):
            assert isinstance(search, DepthFirst)
            if limits.reached or not search.deepen():
                break
            laboratory.find(search, limits, NOTHING, observe)
    assert not limits.reached or limits.ran == most, limits.reached
    return Outcomes(found, limits.ran, not limits.reached)


def divided(program: Program, bound: Bound, most: int, *, reduces: bool) -> Outcomes:
    """Every outcome of a search that is divided in two, as two processes divide it."""
    scenario = random_programs.Scenario(program)
    found: set[Hashable] = set()

    def observe(search: Strategy) -> None:
        if not search.cut:
            found.add(scenario.outcome)

    with (
        closing(Scheduler(limit=1000)) as scheduler,
        Laboratory(scenario, [random_programs.clock], scheduler=scheduler) as laboratory,
    ):
        limits = Limits(most, time.monotonic() + 300)
        first = prefixes(scheduler, bound, 3, reduces=reduces)
        laboratory.find(first, limits, NOTHING, observe)
        parts = cycle([below_prefixes(scheduler, bound, reduces=reduces) for _ in range(2)])
        for prefix in first.found:
            search = next(parts)
            search.go_below(prefix)
            laboratory.find(search, limits, NOTHING, observe)
            if limits.reached:
                break
    assert not limits.reached or limits.ran == most, limits.reached
    return Outcomes(found, limits.ran, not limits.reached)


def disagreement(program: Program, most: int) -> str:
    """Where a reduced search differs from the unreduced one; empty if nowhere.

    A search that needs more than `most` schedules counts with those that it has run.
    """
    every = outcomes(program, lambda scheduler: DepthFirst(scheduler, Bound()), most)
    differs = _difference(every, outcomes(program, SourceDpor, most))
    if differs:
        return f"dpor {differs}"
    for bound in (Bound(), *BOUNDS):
        some = every
        if bound != Bound():
            some = outcomes(program, lambda scheduler, b=bound: DepthFirst(scheduler, b), most)  # type: ignore[misc]
        reduced = outcomes(program, lambda scheduler, b=bound: BoundedSearch(scheduler, b), most)  # type: ignore[misc]
        differs = _difference(some, reduced)
        if differs:
            return f"bounded ({bound}) {differs}"
    return ""


def disagreement_of_parts(program: Program, most: int) -> str:
    """Where a search that deepens, counts delays or is divided differs from the unreduced one."""
    every = outcomes(program, lambda scheduler: DepthFirst(scheduler, Bound()), most)
    delayed = outcomes(program, lambda scheduler: DelayBounded(scheduler, Bound()), most)
    differs = _difference(every, delayed)
    if differs:
        return f"delayed {differs}"
    for preemptions in (1, 2):
        bound = Bound(preemptions)
        some = outcomes(program, lambda scheduler, b=bound: DepthFirst(scheduler, b), most)  # type: ignore[misc]
        differs = _difference(some, outcomes(program, _deepening, most, preemptions))
        if differs:
            return f"deepened ({bound}) {differs}"
        differs = _difference(some, divided(program, bound, most, reduces=preemptions == 1))
        if differs and "instead of" not in differs:  # each part reduces for itself
            return f"divided ({bound}) {differs}"
    return ""


def _deepening(scheduler: Scheduler) -> Strategy:
    return BoundedSearch(scheduler, Bound(0), deepens=True)


def _difference(every: Outcomes, reduced: Outcomes) -> str:
    if every.complete and (reduced.ran > every.ran or not reduced.complete):
        return f"runs {reduced.ran} schedules instead of {every.ran}"
    if reduced.complete and every.found - reduced.found:
        return f"misses {min(map(str, every.found - reduced.found))}"
    if every.complete and reduced.found - every.found:
        return f"invents {min(map(str, reduced.found - every.found))}"
    return ""


def shrunk(program: Program, most: int, differs: Disagreement = disagreement) -> Program:
    """The smallest program with a disagreement that is found by leaving out one thing at a time."""
    return next(
        (shrunk(smaller, most, differs) for smaller in _smaller(program) if differs(smaller, most)),
        program,
    )


def _smaller(program: Program) -> Iterator[Program]:
    for number in range(1, len(program)):
        if len(program) > 2:
            yield program[:number] + program[number + 1 :]
    for number, statements in enumerate(program):
        for fewer in _fewer(statements):
            yield (*program[:number], fewer, *program[number + 1 :])


def _fewer(statements: tuple[Statement, ...]) -> Iterator[tuple[Statement, ...]]:
    for number, (what, which, inside) in enumerate(statements):
        before, after = statements[:number], statements[number + 1 :]
        yield before + after
        if inside:
            yield before + inside + after
        for less in _fewer(inside):
            yield (*before, (what, which, less), *after)
