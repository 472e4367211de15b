"""A scenario with what it runs on: the stand-ins, the patched modules, the watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import FrameType, ModuleType
from typing import Any

from bankkit.explorer.depth_first import DepthFirst
from bankkit.explorer.endable import Endable
from bankkit.explorer.instrument import instrumented
from bankkit.explorer.locations import locations_of
from bankkit.explorer.outcomes import Ending
from bankkit.explorer.pct import Pct
from bankkit.explorer.schedule import Move, Schedule
from bankkit.explorer.scheduler import Abandoned, Scheduler
from bankkit.explorer.stall import stalls_ended
from bankkit.explorer.stand_in import Threading, patched

Scenario = Callable[[Any], object]

PATIENCE = 1.0
"""Seconds that a thread may keep the processor without a step before it counts as stuck."""


class ScenarioError(Exception):
    """The scenario cannot be explored, whatever is wrong with what it tests."""


class Stuck(ScenarioError):
    """A thread waits for real, or loops without a step: no other thread will ever get a turn."""


class Diverged(ScenarioError):
    """The scenario did something else when the same schedule was run again.

    It depends on what the scheduler does not control: random numbers, the real clock, the order of
    a set, or state that an earlier run has left behind.
    """


@dataclass
class Limits:
    """How much may be run, how much was, and which limit was reached."""

    schedules: int
    deadline: float
    """On the clock of `time.monotonic`."""
    ran: int = 0
    reached: str = ""


Search = DepthFirst | Pct
Observer = Callable[[Search], object]
Failure = tuple[str, type[BaseException] | None]
"""What two schedules have in common that show the same bug: the kind, and what was raised."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that fails, and how. Its moves are not put in words yet."""

    schedule: Schedule
    failure: Failure


class Laboratory:
    """A scenario with what it runs on, prepared once for all of its schedules.

    In its `with` block the modules are patched and the code has its extra steps; it can be entered
    again and again.
    """

    def __init__(
        self,
        scenario: Scenario,
        patch: Iterable[ModuleType] = (),
        lines: Iterable[object] = (),
        *,
        scheduler: Scheduler,
    ) -> None:
        self.scheduler = scheduler
        self._threading = Threading(scheduler)
        self._scenario = scenario
        self._prepared = ExitStack()
        self._patch = tuple(patch)
        self._lines = tuple(lines)
        self._watched = Endable(Abandoned)

    def __enter__(self) -> Laboratory:
        with ExitStack() as stack:
            stack.enter_context(stalls_ended(self.scheduler, PATIENCE, self._stuck, self._watched))
            stack.enter_context(patched(self._patch, self._threading, self.scheduler))
            stack.enter_context(instrumented(self._lines, self.scheduler))
            self._prepared = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._prepared.close()

    def run(self, strategy: Search) -> None:
        """One schedule. Raises `Stuck` and `Diverged`."""
        self.watch(partial(self.run_unwatched, strategy))

    def watch(self, work: Callable[[], object]) -> None:
        """Do this, which is a schedule or a part of one. Raises `Stuck`, and what it raises."""
        try:
            self._watched.run(work)
        except Abandoned:  # the watchdog's, a moment too late
            raise self.scheduler.raised or Stuck("The scenario was stuck.") from None

    def run_unwatched(self, strategy: Search) -> None:
        """One schedule, in `watch`. Raises `Diverged`."""
        strategy.begin()
        scheduler = self.scheduler
        scheduler.run(self._work, strategy)
        if strategy.diverged:
            raise Diverged(strategy.diverged)
        if scheduler.depth < strategy.fixed:
            raise Diverged(
                f"The scenario is not deterministic: it ended after {scheduler.depth} steps, and "
                f"with the same schedule before it went on."
            )

    def _work(self) -> None:
        self._scenario(self._threading)

    def find(
        self,
        search: Search,
        limits: Limits,
        wanted: Failure | None = None,
        observe: Observer | None = None,
    ) -> Found | None:
        """Run schedules until one fails (as wanted), none is left, or a limit is reached.

        `observe` sees the search after every other schedule.
        """
        while True:
            if limits.ran >= limits.schedules:
                limits.reached = f"the limit of {limits.schedules:,} schedules was reached"
                return None
            if time.monotonic() >= limits.deadline:
                limits.reached = "the time was up"
                return None
            self.run(search)
            limits.ran += 1
            if search.over:
                limits.reached = search.over
                return None
            failed = self.scheduler.failure is not None or search.ending is not None
            if failed and wanted in (None, failure := self._failure(search)):
                moves = [
                    Move(step.task.label, step.option, "", preempts=bool(step.preempts))
                    for step in search.path
                ]
                return Found(Schedule(tuple(moves)), failure)
            if observe is not None:
                observe(search)
            if not search.advance():
                return None

    def _failure(self, search: Search) -> Failure:
        ending = search.ending or Ending(self.scheduler)
        return ending.kind, type(ending.error) if ending.error else None

    def _stuck(self, frame: FrameType | None) -> Stuck:
        task = self.scheduler.current
        place = next(locations_of(frame), None)
        where = f" at {place} ({place.text})" if place else ""
        return Stuck(
            f"Thread {task.label}{where} has made no step for {PATIENCE:g} s. It waits for real, "
            f"or loops without a step; no other thread can go on meanwhile. Use the primitives of "
            f"the `threading` given to the scenario, or name the module in `patch=`."
        )
