"""Runs one schedule, either as it was recorded or step by step as the caller decides."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from greenlet import getcurrent, greenlet

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.patch.patching import Patch
from bankkit.explorer.running.arguments import checked_code, checked_schedule
from bankkit.explorer.running.laboratory import Diverged, Scenario, Timing
from bankkit.explorer.schedules.history_check import Check
from bankkit.explorer.schedules.outcomes import Ending, waits
from bankkit.explorer.schedules.schedule import Move, Outcome, Schedule
from bankkit.explorer.source.locations import Location, NamingScheduler, described, here, stack
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step


def replay(
    scenario: Scenario,
    schedule: Schedule,
    *,
    patch: Patch = (),
    lines: Iterable[object] = (),
    steps: int = 10_000,
    timing: Timing = "any",
    check: Check | None = None,
) -> Outcome:
    """Run one schedule that `explore` found, and return how it ended.

    After its last move the run continues without preemptions. Raises `Diverged`, with the thread,
    its line and what has changed, if the scenario does not follow the schedule; raises
    `ScenarioError`, with the thread that was still running, after more than `steps` steps; raises
    TypeError or ValueError for a bad argument.
    """
    checked_schedule(schedule)
    options = {"patch": patch, "lines": lines, "steps": steps, "timing": timing, "check": check}
    code = replace(checked_code(scenario, options), sleeps=True)
    with (
        closing(NamingScheduler(limit=code.steps)) as scheduler,
        code.laboratory(scheduler) as laboratory,
    ):
        given = Given(scheduler, schedule.moves, schedule.threads)
        try:
            laboratory.run(given)
        except Diverged as error:
            raise _with_changes(error, schedule, given) from None
        return _outcome(given)


def _with_changes(error: Diverged, schedule: Schedule, given: Given) -> Diverged:
    """The error, with what has changed since the schedule was saved."""
    if schedule.origin is None:
        return error
    changes = schedule.origin.changes([*given.files, *(move.file for move in given.made)])
    return Diverged(f"{error} {changes}".rstrip())


def _outcome(given: Given) -> Outcome:
    if given.over:
        raise ScenarioError(f"The schedule does not end: {given.over}.")
    ending = given.ending or Ending(given.scheduler)
    threads = tuple(task.label for task in given.scheduler.tasks)
    return ending.outcome(Schedule(tuple(given.made), threads))


class Given(DepthFirst):
    """Follows a recorded schedule; after its last move it continues without preemptions."""

    def __init__(
        self, scheduler: Scheduler, moves: Sequence[Move], threads: Sequence[str] = ()
    ) -> None:
        super().__init__(scheduler, Bound())
        self._moves = moves
        self._starts = {name: index for index, name in enumerate(threads)}
        self.made: list[Move] = []
        """The moves of this run so far."""
        self.files: list[str] = []
        """The files in which the threads were when one of them did not follow the schedule."""

    def _new_step(self) -> Step | None:
        number = self.scheduler.depth
        if self.scheduler.spinning is not None:
            self.scheduler.spinning.is_lenient = number < len(self._moves)
        choices = self.choices()
        if number < len(self._moves):
            move = self._moves[number]
            found = [
                choice
                for choice in choices
                if self._is(choice.task, move.thread) and choice.option == move.option
            ]
            if not found or move.does not in ("", described(found[0].task, move.option)):
                self.diverged = (
                    f"The scenario does not follow the schedule: {self._difference(move)}."
                )
                self.files = [each.file for task in self.scheduler.tasks for each in stack(task)]
                return None
            choice: Step | None = found[0]
        elif choices:
            choice = self.pick(choices)
        else:
            self.at_end()
            choice = None
        if choice is None:
            return None
        self.made.append(move_of(choice))
        return choice.unbounded([])

    def _is(self, task: Task, name: str) -> bool:
        """Whether this is the thread of this name, or the one that was started in its place.

        A program may number its threads for as long as it runs.
        """
        if any(each.label == name for each in self.scheduler.tasks):
            return task.label == name
        return self._starts.get(name) == task.index

    def pick(self, choices: list[Step]) -> Step | None:
        """The choice to continue with after the last given move; None stops the run."""
        return choices[-1]

    def at_end(self) -> None:
        """Called when no thread can continue."""

    def _difference(self, move: Move) -> str:
        for task in self.scheduler.tasks:
            if self._is(task, move.thread):
                if task.op is None:
                    break
                now = described(task, min(move.option, len(task.op.words) - 1))
                what = f"is about to {now}" if now != move.does else f"cannot {now}"
                return (
                    f"step {len(self.made) + 1} of the schedule is {move.thread!r}: {move.does}; "
                    f"but {here(task)} {what}"
                )
        return (
            f"step {len(self.made) + 1} of the schedule is {move.thread!r}: {move.does}; but this "
            f"thread has ended or does not exist"
        )


def move_of(choice: Step) -> Move:
    """Describe a choice as a move. Its thread must not have made the step yet."""
    places = stack(choice.task)
    file, function, line = (
        (places[0].file, places[0].function, places[0].line) if places else ("", "", 0)
    )
    does = described(choice.task, choice.option)
    return Move(choice.task.label, choice.option, does, file, function, line, bool(choice.preempts))


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A virtual thread at one moment of a `Run`."""

    name: str
    state: Literal["ready", "blocked", "ended"]
    """`ready`: the thread can make a step now, even if it can only time out."""
    does: str
    """The operation that it is about to do or waits to do: `acquire mutex`. Empty after its end."""
    waits: str
    """Where a blocked thread waits, and for what; empty for other threads."""
    stack: tuple[Location, ...]
    """The lines where its calls are, the innermost call first."""


_UNFINISHED: list[greenlet] = []
"""The greenlets of runs that were dropped in another thread than the one that made them: only the
one that made them could unwind them."""


class Run:
    """One schedule of a scenario, run step by step as the caller decides.

        run = lab.Run(scenario)
        while run.outcome is None:
            print(run.threads)
            run.step(run.enabled[0])

    Between steps every thread is paused before its next operation. Then you can read the plain
    attributes of the scenario's objects directly, but only the threads can call their operations.

    Only the OS thread that made a run can step it. A run that is no longer used is closed.
    """

    def __init__(
        self,
        scenario: Scenario,
        schedule: Schedule | None = None,
        *,
        patch: Patch = (),
        lines: Iterable[object] = (),
        steps: int = 10_000,
        timing: Timing = "any",
    ) -> None:
        if schedule is not None:
            checked_schedule(schedule)
        options = {"patch": patch, "lines": lines, "steps": steps, "timing": timing}
        self._code = replace(checked_code(scenario, options), sleeps=True)
        self._open(schedule.moves if schedule else ())

    def _open(self, moves: Sequence[Move]) -> None:
        scheduler = NamingScheduler(limit=self._code.steps)
        self._laboratory = self._code.laboratory(scheduler)
        self._driven = _Driven(scheduler, moves)
        self._outcome: Outcome | None = None
        self._made_in = threading.get_ident()
        # The run has its own greenlet, so that it can pause between two steps. The greenlet has no
        # reference to this object, so that the object is freed when its last user drops it.
        self._driver = greenlet(partial(self._laboratory.run_unwatched, self._driven))
        self._go(None)

    @property
    def enabled(self) -> tuple[Move, ...]:
        """The possible moves: the running thread's first, then by thread. Empty at the end."""
        return self._driven.offered

    @property
    def threads(self) -> tuple[ThreadView, ...]:
        """All threads, in the order in which they were started."""
        return self._driven.threads

    @property
    def schedule(self) -> Schedule:
        """The steps made so far."""
        return Schedule(tuple(self._driven.made), tuple(view.name for view in self.threads))

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None before its end."""
        return self._outcome

    def step(self, move: Move | str) -> None:
        """Make one of the enabled moves, or the first enabled move of the thread with this name.

        Raises ValueError, with the possible moves, if the move is not enabled, and `Stuck` if the
        thread then makes no step.
        """
        for choice, offered in zip(self._driven.choices_offered, self.enabled, strict=True):
            if move in (offered, offered.thread):
                self._go(choice)
                return
        possible = ", ".join(f"{offered.thread}: {offered.does}" for offered in self.enabled)
        raise ValueError(f"{move!r} is not possible now. Possible moves: {possible or 'none'}.")

    def undo(self) -> None:
        """Take back the last step by running all earlier ones again. Does nothing at the start."""
        moves = self._driven.made[:-1]
        self.close()
        self._open(moves)

    def close(self) -> None:
        """End the run where it is: its threads unwind, and it takes no more steps."""
        if not self._driver.dead:
            with self._laboratory:
                self._driven.outside = getcurrent()
                self._laboratory.watch(lambda: self._driven.paused.switch(None))
        self._driven.offered = ()
        self._laboratory.scheduler.close()

    def __del__(self) -> None:
        """Unwind the threads while the objects that they use still exist.

        From Python 3.15 on, the garbage collector also collects paused greenlets, and lets them
        continue when it has cleared half of their objects.
        """
        if not hasattr(self, "_driver") or self._driver.dead or sys.is_finalizing():
            return
        if self._made_in != threading.get_ident():
            _UNFINISHED.append(self._driver)
            return
        with suppress(Exception):  # nobody could handle it
            self.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _go(self, choice: Step | None) -> None:
        """Run to the next decision, or to the end. The modules are patched only meanwhile."""
        driven = self._driven
        driven.offered, driven.choices_offered = (), []
        driven.outside = getcurrent()
        with self._laboratory:
            if choice is None:
                self._laboratory.watch(self._driver.switch)
            else:
                self._laboratory.watch(lambda: driven.paused.switch(choice))
        if self._driver.dead:
            self._outcome = _outcome(driven)


class _Driven(Given):
    """Makes the given moves, and then asks the greenlet outside for every choice."""

    def __init__(self, scheduler: Scheduler, moves: Sequence[Move]) -> None:
        super().__init__(scheduler, moves)
        self.outside = getcurrent()
        self.paused = self.outside
        self.offered: tuple[Move, ...] = ()
        self.choices_offered: list[Step] = []
        self.threads: tuple[ThreadView, ...] = ()

    def pick(self, choices: list[Step]) -> Step | None:
        scheduler = self.scheduler
        self.choices_offered = choices[::-1]
        self.offered = tuple(map(move_of, self.choices_offered))
        self.record_threads(choices)
        self.paused = getcurrent()
        with scheduler.paused():
            choice: Step | None = self.outside.switch()
        return choice

    def at_end(self) -> None:
        self.record_threads([])

    def record_threads(self, choices: list[Step]) -> None:
        first = {choice.task: choice for choice in choices}
        views = []
        for task in self.scheduler.tasks:
            choice = first.get(task)
            if task.op is None:
                views.append(ThreadView(task.label, "ended", "", "", ()))
                continue
            does = described(task, choice.option if choice else 0)
            state: Literal["ready", "blocked"] = "ready" if choice else "blocked"
            view = ThreadView(
                task.label, state, does, "" if choice else waits(task), tuple(stack(task))
            )
            views.append(view)
        self.threads = tuple(views)
