"""Sets up what a scenario needs to run: the stand-ins, the patched modules and the watchdog."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from traceback import walk_tb
from types import FrameType
from typing import Any, Literal

from bankkit.explorer.engine.endable import Endable
from bankkit.explorer.engine.garbage import Garbage
from bankkit.explorer.engine.outsiders import outsiders_noticed
from bankkit.explorer.engine.ownership import is_of_the_library
from bankkit.explorer.engine.scheduler import REAL_THREAD, Scheduler
from bankkit.explorer.engine.stall import OutOfTime, Watchdog
from bankkit.explorer.engine.unwinding import Abandoned
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.lines.instrument import Instrumentation
from bankkit.explorer.patch.patching import Patch, Patching
from bankkit.explorer.schedules.history_check import Check, HistoryCheck
from bankkit.explorer.schedules.outcomes import Ending
from bankkit.explorer.schedules.schedule import Move, Schedule
from bankkit.explorer.source.locations import locations_of
from bankkit.explorer.stand_ins.containers import PREFIX, plain
from bankkit.explorer.stand_ins.stand_in import Threading
from bankkit.explorer.stand_ins.tracking import NotTrackable
from bankkit.explorer.strategies.strategy import Strategy
from bankkit.explorer.text import counted

Scenario = Callable[[Any], object]

Timing = Literal["any", "ordered"]
"""Which timeouts may fire: any, or always the one that is due first."""

OUT_OF_TIME = "the time limit was reached"


def out_of_schedules(limit: int) -> str:
    """Say that this limit was reached."""
    return f"the limit of {counted(limit, 'schedule')} was reached"


MOST_LEFT = 1000
"""So many threads may refuse to end. Each of them takes memory until the process ends."""


class Stuck(ScenarioError):
    """A thread is in a real wait, or in a loop without steps, so no other thread can run."""


class Diverged(ScenarioError):
    """The scenario behaved differently when the same schedule was run again.

    It depends on something that the scheduler does not control: random numbers, the real clock, the
    order of a set, or state that an earlier run left behind.
    """


_CAUSES = (
    "It may depend on random numbers, on the real clock, on what an earlier run left behind, or on "
    "the order of a set: a set of objects is in the order of their addresses, unless they have a "
    "`__hash__`, and a set of texts in another order in each process, unless PYTHONHASHSEED is set."
)


def causes(doubts: Iterable[str]) -> str:
    """Why a scenario may behave differently when the same schedule is run again, in sentences."""
    return f"This may be why: {REAL_THREAD}." if REAL_THREAD in doubts else _CAUSES


@dataclass
class Limits:
    """The limits of a search, its progress, and the limit that it reached."""

    schedules: int
    deadline: float
    """On the clock of `time.monotonic`."""
    ran: int = 0
    """Schedules run so far."""
    pause: int = sys.maxsize
    """When so many schedules have run, `find` returns, and continues when it is called again."""
    pause_steps: int = sys.maxsize
    """The same for the scheduler's steps."""
    reached: str = ""
    """A clause that names the limit; empty if none was reached."""


Observer = Callable[[Strategy], object]
Failure = tuple[str, type[BaseException] | None]
"""Two schedules show the same bug if they agree in this: the kind of end, and the type raised."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that fails, and how. Its moves have no descriptions yet."""

    schedule: Schedule
    failure: Failure


def _refuses_container(error: TypeError) -> bool:
    """Whether the standard library has refused a tracked container under its real name."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return (
        bool(frames)
        and is_of_the_library(frames[-1].f_code.co_filename)
        and any(plain(each) is not each for each in frames[-1].f_locals.values())
    )


class Laboratory:
    """A scenario with everything that it needs to run, set up once for all its schedules.

    In its `with` block the modules are patched and the code has its extra steps. The block can be
    entered again.
    """

    def __init__(
        self,
        scenario: Scenario,
        patch: Patch = (),
        lines: Iterable[object] = (),
        *,
        scheduler: Scheduler,
        timing: Timing = "any",
        check: Check | None = None,
    ) -> None:
        self.scheduler = scheduler
        scheduler.ordered = timing == "ordered"
        self._threading = Threading(scheduler)
        self._scenario = scenario
        self._prepared = ExitStack()
        self._patching = Patching(patch, self._threading, scheduler)
        self._instrumentation = Instrumentation(lines, scheduler)
        self._watched = Endable(Abandoned)
        self._watchdog = Watchdog(scheduler, self._stuck, self._watched)
        self._garbage = Garbage(scheduler)
        self.observe: Observer | None = None
        """What is called after each schedule of every search that finds nothing in it."""
        self.check = HistoryCheck(check) if check is not None else None

    def __enter__(self) -> Laboratory:
        with ExitStack() as stack:
            stack.enter_context(self._watchdog.watching())
            stack.enter_context(self._garbage.collecting())
            stack.enter_context(outsiders_noticed(self.scheduler))
            stack.enter_context(self._patching)
            stack.enter_context(self._instrumentation)
            self._prepared = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._prepared.close()

    def run(self, strategy: Strategy) -> None:
        """Run one schedule. Raises `Stuck` and `Diverged`."""
        self.watch(partial(self.run_unwatched, strategy))

    def watch(self, work: Callable[[], object]) -> None:
        """Call `work`, which runs a schedule or a part. Raises `Stuck`, and what `work` raises.

        Raises instead what a signal handler has raised meanwhile.
        """
        try:
            self._watched.run(work)
        except Abandoned:  # the watchdog sent it when the schedule was just over
            self._watchdog.check_interrupt()
            raise self.scheduler.raised or Stuck("The scenario was stuck.") from None
        finally:
            self._watchdog.check_interrupt()
        if self.scheduler.left > MOST_LEFT:
            raise ScenarioError(
                f"More than {MOST_LEFT:,} threads could not be ended. They catch every exception, "
                f"KeyboardInterrupt included, and continue: catch Exception instead."
            )

    def run_unwatched(self, strategy: Strategy) -> None:
        """Run one schedule inside `watch`. Raises `Diverged`."""
        scheduler = self.scheduler
        scheduler.mute()
        scheduler.failure = None
        strategy.begin()
        self._garbage.collect_if_due()
        self._instrumentation.begin()
        scheduler.run(self._work, strategy)
        self._patching.end()
        self._refuse()
        if strategy.diverged:
            raise Diverged(f"{strategy.diverged} {causes(scheduler.doubts)}")
        if scheduler.depth < strategy.fixed:
            raise Diverged(
                f"The scenario is not deterministic: it ended after "
                f"{counted(scheduler.depth, 'step')}, but in an earlier run of the same schedule "
                f"it continued. {causes(scheduler.doubts)}"
            )
        if self.check is not None:
            self._check_history(self.check, strategy)

    def _check_history(self, check: HistoryCheck, strategy: Strategy) -> None:
        """Check the calls of a schedule that ended well, and was not stopped before its end."""
        if not (self.scheduler.failure or strategy.ending or strategy.cut or strategy.over):
            with self._watchdog.checking():
                failure = check.failure(self._threading.explorer_operations())
            if failure is not None:
                self.scheduler.failure = self.scheduler.tasks[0], failure

    def _refuse(self) -> None:
        """Raise ScenarioError if the scenario failed because of what tracking cannot do."""
        if self.scheduler.failure is None:
            return
        error = self.scheduler.failure[1]
        if isinstance(error, NotTrackable):
            raise ScenarioError(str(error)) from error
        if type(error) is TypeError and (PREFIX in str(error) or _refuses_container(error)):
            raise ScenarioError(
                f"{error}. Code that is written in C needs the real container: give it a copy, "
                f"such as `list(items)`, or do not track the attribute that holds it."
            ) from error

    def _work(self) -> object:
        self._patching.begin()
        self._threading.tracker.begin()
        return self._scenario(self._threading)

    def find(
        self,
        search: Strategy,
        limits: Limits,
        wanted: Failure | None = None,
        observe: Observer | None = None,
    ) -> Found | None:
        """Run schedules until one fails (as `wanted`), none is left, or a limit is reached.

        If none is left, `search.exhausted` is True then.
        `observe` is called after each schedule, except after the one that is returned.
        """
        looks = [look for look in (observe, self.observe) if look is not None]
        while True:
            if limits.ran >= limits.schedules:
                limits.reached = out_of_schedules(limits.schedules)
                return None
            if time.monotonic() >= limits.deadline:
                limits.reached = OUT_OF_TIME
                return None
            if limits.ran >= limits.pause or self.scheduler.steps >= limits.pause_steps:
                return None
            self._watchdog.deadline = limits.deadline
            try:
                self.run(search)
            except OutOfTime:
                limits.reached = OUT_OF_TIME
                return None
            finally:
                self._watchdog.deadline = None
            limits.ran += 1
            if search.over:
                limits.reached = search.over
                return None
            failed = self.scheduler.failure is not None or search.ending is not None
            if failed and wanted in (None, failure := self.failure_of(search)):
                moves = [
                    Move(step.task.label, step.option, "", preempts=bool(step.preempts))
                    for step in search.path
                ]
                threads = tuple(task.label for task in self.scheduler.tasks)
                return Found(Schedule(tuple(moves), threads), failure)
            for look in looks:
                look(search)
            if not search.advance():
                search.exhausted = True
                return None

    def failure_of(self, search: Strategy) -> Failure:
        """How the latest schedule failed; it must have."""
        ending = search.ending or Ending(self.scheduler)
        return ending.kind, type(ending.error) if ending.error else None

    def _stuck(self, frame: FrameType | None) -> Stuck:
        task = self.scheduler.current
        place = next(locations_of(frame), None)
        where = f" at {place} ({place.text})" if place else ""
        return Stuck(
            f"Thread {task.label}{where} makes no step any more. It is in a real wait or in a loop "
            f"without steps, so no other thread can run. Use the primitives of the `threading` "
            f"that the scenario is given, or name the module in `patch=`."
        )
