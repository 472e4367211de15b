"""Divides a search among processes, and joins what they report.

A search with one bound is divided by the prefixes of its tree. Random schedules are divided by
their numbers. The default search is divided by its parts: one process searches without a bound,
another with growing bounds, and each draws schedules in between.
"""

from __future__ import annotations

import queue
import time
from contextlib import closing
from dataclasses import replace

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.parallel.messages import Job, Report, packed
from bankkit.explorer.parallel.team import Team
from bankkit.explorer.running.laboratory import Diverged, Found, Limits, out_of_schedules
from bankkit.explorer.running.replay_run import Given
from bankkit.explorer.running.settings import Settings, Subject
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.search.deepening import RANDOM_TURNS
from bankkit.explorer.search.searched import Searched
from bankkit.explorer.search.searching import finished
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.named import RANDOM
from bankkit.explorer.strategies.prefixes import Prefix, prefixes
from bankkit.explorer.strategies.strategy import Bound

EACH = 8
"""About so many prefixes for each process, so that all are busy until the end."""
DEEPEST = 40
"""The longest prefixes, in steps."""
GRACE = 10.0
"""So long may a process be silent after the time limit, in seconds."""
DISAGREE = (
    "threads share state that is neither tracked nor guarded by a lock: two processes came to "
    "different next steps"
)


def search_together(code: Subject, settings: Settings, limits: Limits) -> Searched:
    """Search with `settings.workers` processes until one has found a bug, or all are done."""
    done = _Joint(code, settings, limits).run()
    if done.unreduced and done.found is None and settings.reduces and not done.sleeps:
        again = _Joint(code, replace(settings, reduction=False), limits).run()
        again.unreduced = done.unreduced
        again.doubts |= done.doubts
        return again
    return done


class _Joint:
    def __init__(self, code: Subject, settings: Settings, limits: Limits) -> None:
        self._code = code
        self._settings = settings
        self._limits = limits
        self._before = limits.ran
        self._shares: dict[int, int] = {}
        """How many schedules each process may run."""
        self._done = Searched()
        self._waiting: list[Prefix] = []

    def run(self) -> Searched:
        """Search until a schedule fails, all have run, or a limit is reached."""
        settings, done = self._settings, self._done
        parts = self._parts()
        packed(self._job(0, parts[0]))  # code that cannot be imported is refused first
        if parts[0] == "prefixes":
            self._find_prefixes()
            if self._is_settled:
                return done
            if not self._waiting:
                done.exhausted = settings.bound
                return done
        jobs = [packed(self._job(number, part)) for number, part in enumerate(parts)]
        with Team(jobs) as team:
            self._join(team, parts)
        if parts[0] == "prefixes" and not self._is_settled:
            done.exhausted = settings.bound
        return done

    def _parts(self) -> list[str]:
        """What each process does."""
        settings = self._settings
        if callable(settings.strategy) or settings.strategy in RANDOM:
            return ["drawn"] * settings.workers
        alone = settings.strategy == "exhaustive"
        if settings.deepens or (alone and settings.bound == Bound() and settings.reduces):
            return ["whole", "bounded", *["drawn"] * (settings.workers - 2)]
        return ["prefixes"] * settings.workers

    def _job(self, number: int, part: str) -> Job:
        settings = self._settings
        if part == "drawn" and settings.strategy in (None, "exhaustive"):
            settings = replace(settings, strategy=RANDOM_TURNS[number % len(RANDOM_TURNS)])
        elif part in ("whole", "bounded"):
            settings = replace(settings, strategy=None)
        if part != "prefixes":
            share, more = divmod(settings.schedules - self._before, settings.workers)
            self._shares[number] = max(share + (number < more), 0)
            settings = replace(settings, schedules=self._shares[number])
        left = self._limits.deadline - time.monotonic()
        return Job(self._code, settings, part, number, left)

    def _find_prefixes(self) -> None:
        """Find enough prefixes, in this process, and run the schedules that are shorter."""
        settings, limits, done = self._settings, self._limits, self._done
        with (
            closing(Scheduler(limit=self._code.steps)) as scheduler,
            self._code.laboratory(scheduler, searches=True) as laboratory,
        ):
            for depth in range(2, DEEPEST, 2):
                limits.ran = self._before
                search = prefixes(scheduler, settings.bound, depth, reduces=settings.reduces)
                done.found = laboratory.find(search, limits)
                done.limit = limits.reached
                finished(done, scheduler)
                if settings.reduces and isinstance(search, BoundedSearch):
                    done.unreduced = scheduler.unreducible or search.unseen
                self._waiting = search.found[::-1]
                enough = len(self._waiting) >= EACH * settings.workers
                if self._is_settled or enough or not self._waiting:
                    return

    @property
    def _is_settled(self) -> bool:
        done = self._done
        return done.found is not None or bool(done.limit or done.unreduced or done.sleeps)

    def _join(self, team: Team, parts: list[str]) -> None:
        """Take reports until all have sent their last, or the search is over."""
        limits, done = self._limits, self._done
        ran = dict.fromkeys(range(len(parts)), 0)
        before = limits.ran
        working = set(ran)
        seen: dict[int, int] = {}
        while working:
            try:
                number, report = team.next(limits.deadline + GRACE - time.monotonic())
            except queue.Empty:
                done.limit = "a worker did not answer after the time limit"
                return
            if report is None:
                if number not in working:
                    continue
                done.exhausted = None
                done.limit = (
                    f"worker {number + 1} of {len(parts)} died (exit status {team.status(number)})"
                )
                return
            if report.error is not None:
                raise report.error
            ran[number] = report.ran
            limits.ran = before + sum(ran.values())
            if report.limit == out_of_schedules(self._shares.get(number, 0)):
                report.limit = out_of_schedules(self._settings.schedules)
            if self._is_over(report, parts[number], seen):
                return
            if not report.wants_more:
                working.discard(number)
            elif limits.ran >= limits.schedules and self._waiting:
                done.limit = out_of_schedules(limits.schedules)
                return
            else:
                team.send(number, self._waiting.pop() if self._waiting else None)

    def _is_over(self, report: Report, part: str, seen: dict[int, int]) -> bool:
        """Add a report to what is known; whether it settles the search."""
        done = self._done
        done.doubts |= report.doubts
        if report.sleeps:
            done.sleeps = True
            return True
        if report.found is not None:
            done.found = self._checked(report.found)
            return True
        if report.unreduced:
            done.unreduced = report.unreduced
            return self._settings.reduces
        for total, ops in report.seen.items():
            if seen.setdefault(total, ops) != ops:
                done.unreduced = DISAGREE
                return True
        done.random += report.random
        if part in ("whole", "bounded"):
            if report.exhausted == self._settings.bound and not report.limit:
                done.exhausted, done.begun, done.limit = report.exhausted, 0, ""
                return True
            if part == "bounded":
                done.exhausted, done.begun = report.exhausted, report.begun
        done.limit = done.limit or report.limit
        return bool(report.limit) and part == "prefixes"

    def _checked(self, schedule: Schedule) -> Found:
        """The schedule that failed in another process, run again in this one."""
        with (
            closing(Scheduler(limit=self._code.steps)) as scheduler,
            self._code.laboratory(scheduler) as laboratory,
        ):
            given = Given(scheduler, schedule.moves, schedule.threads)
            laboratory.run(given)
            if scheduler.failure is None and given.ending is None:
                raise Diverged("The scenario failed in another process, but not in this one.")
            return Found(schedule, laboratory.failure_of(given))
