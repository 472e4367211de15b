"""The search that needs no thought: without a bound, with growing bounds, and at random, in turn.

A small scenario is searched without a bound before any other search begins. For a large one that
may never end, so preemptions are bounded by 0, 1, 2, … meanwhile: most bugs need few of them
(Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded
programs", PLDI 2007). What a bound excludes is kept, so a schedule within a smaller bound is not
run again. Random schedules get a share, because a bug may be far from where a search begins.

All turns are counts of schedules. So the same scenario is searched in the same way each time, as
long as the time is not up.
"""

from __future__ import annotations

import time
from itertools import cycle

from bankkit.explorer.laboratory import OUT_OF_TIME, Found, Laboratory, Limits
from bankkit.explorer.searched import Searched
from bankkit.explorer.settings import Settings
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.named import RANDOM
from bankkit.explorer.strategies.strategy import Bound, Strategy

FIRST = 1000
"""So many schedules of the search without a bound come first."""
WHOLE, BOUNDED, DRAWN = 500, 1000, 250
"""Then a turn of each search has so many schedules: without a bound, with bounds, at random."""
SHARE = 0.2
"""The share of the time that is kept for random schedules."""
LAST = 40
"""So many with each strategy run if no other search can go on, because a schedule is too long."""
RANDOM_TURNS = ("pct", "pos", "surw")
"""The strategies that draw schedules, in turn."""


class Deepening:
    """A search of one scenario, in turns."""

    def __init__(self, laboratory: Laboratory, settings: Settings, limits: Limits) -> None:
        self._laboratory = laboratory
        self._settings = settings
        self._limits = limits
        self._seconds = limits.deadline - time.monotonic()
        self._random_seconds = 0.0
        self._found: Found | None = None
        self._done = Searched()
        scheduler = laboratory.scheduler
        bound = Bound(None, settings.timeouts)
        self._draws = cycle(
            [RANDOM[name](scheduler, bound, settings.seed or 0) for name in RANDOM_TURNS]
        )
        self._whole: DepthFirst | None
        self._bounded: DepthFirst | None
        self._begin(reduces=settings.reduces)

    def _begin(self, *, reduces: bool) -> None:
        scheduler, timeouts = self._laboratory.scheduler, self._settings.timeouts
        self._reduces = reduces
        whole, first = Bound(None, timeouts), Bound(0, timeouts)
        self._done.exhausted = None
        self._done.begun = 0
        if not reduces:
            self._whole = DepthFirst(scheduler, whole)
            self._bounded = DepthFirst(scheduler, first)
            return
        self._whole = SourceDpor(scheduler) if timeouts is None else BoundedSearch(scheduler, whole)
        self._bounded = BoundedSearch(scheduler, first, deepens=True)

    def run(self) -> Searched:
        """Search until a schedule fails, all have run, or a limit is reached."""
        number = FIRST
        while self._whole or self._bounded:
            if self._search_whole(number) or self._search_bounded() or self._draw(DRAWN):
                return self._done
            number = WHOLE
        for _ in RANDOM_TURNS:
            if self._draw(LAST):
                break
        return self._done

    def _search_whole(self, number: int) -> bool:
        """Give the search without a bound its turn; whether all searching is over."""
        search = self._whole
        if search is None:
            return False
        reached = self._turn(search, number)
        if not self._must_begin_again(search) and search.exhausted:
            return self._is_complete()
        return self._is_over(search, reached)

    def _search_bounded(self) -> bool:
        """Give the search with growing bounds its turn; whether all searching is over."""
        search = self._bounded
        if search is None:
            return False
        left = BOUNDED
        while left > 0:
            before = self._limits.ran
            reached = self._turn(search, left)
            ran = self._limits.ran - before
            left -= ran
            self._done.begun += ran
            if self._must_begin_again(search) or not search.exhausted:
                return self._is_over(search, reached)
            self._done.exhausted, self._done.begun = search.bound, 0
            search.exhausted = False
            if not search.deepen():
                return self._is_complete()
        return False

    def _turn(self, search: Strategy, number: int) -> str:
        """Run schedules of this search; return the limit that was reached, if any."""
        kept = max(0.0, SHARE * self._seconds - self._random_seconds)
        return self._run(search, number, self._limits.deadline - kept)

    def _run(self, search: Strategy, number: int, deadline: float) -> str:
        limits = self._limits
        part = Limits(limits.schedules, deadline, limits.ran, pause=limits.ran + number)
        self._done.found = self._laboratory.find(search, part)
        limits.ran = part.ran
        return part.reached

    def _must_begin_again(self, search: DepthFirst) -> bool:
        """Whether threads share what no reduction sees. Then all begins again without one."""
        why = self._laboratory.scheduler.unreducible
        if isinstance(search, BoundedSearch):
            why = why or search.unseen
        if not why or not self._reduces or self._done.found is not None:
            return False
        self._done.unreduced = why
        self._begin(reduces=False)
        return True

    def _is_complete(self) -> bool:
        self._done.exhausted = Bound(None, self._settings.timeouts)
        self._done.begun = 0
        self._done.limit = ""
        return True

    def _is_over(self, search: Strategy, reached: str) -> bool:
        """Whether all searching is over, after a turn that reached this limit."""
        done = self._done
        if done.found is not None:
            return True
        if reached:
            done.limit = reached
        if search.over:  # the schedule is too long, and this search cannot go on without it
            if search is self._whole:
                self._whole = None
            elif search is self._bounded:
                self._bounded = None
            return False
        if reached == OUT_OF_TIME:
            while not self._draw(DRAWN):
                pass
        return bool(reached)

    def _draw(self, number: int) -> bool:
        """Run random schedules, with another strategy each time; whether all searching is over."""
        search, limits, done = next(self._draws), self._limits, self._done
        started, before = time.monotonic(), limits.ran
        is_over = False
        while limits.ran < before + number and not is_over:
            reached = self._run(search, before + number - limits.ran, limits.deadline)
            is_over = done.found is not None or bool(reached and not search.over)
            if is_over:
                done.limit = done.limit or reached
        done.random += limits.ran - before
        self._random_seconds += time.monotonic() - started
        return is_over
