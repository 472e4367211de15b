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

from bankkit.explorer.running.laboratory import OUT_OF_TIME, Laboratory, Limits
from bankkit.explorer.running.settings import Settings
from bankkit.explorer.search.searched import Searched
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.named import RANDOM
from bankkit.explorer.strategies.one_deviation import OneDeviation
from bankkit.explorer.strategies.strategy import Bound, Strategy

WHOLE, BOUNDED, DRAWN = 1000, 500, 250
"""The first turns are so many schedules: without a bound, with bounds, and at random. Later turns
are twice as long each time, so the search without a bound gets more than half of them."""
NEAR = 100
"""After so many schedules without a bound come as many that deviate once from the first one."""
LONG = 200
"""A turn ends early if its schedules have more steps than this on average."""
SHARE = 0.2
"""The share of the time that is kept for random schedules."""
MOST_PLACES = 300_000
"""So many places may the search with growing bounds remember; then only the others go on."""
LAST = 40
"""So many with each strategy run if no other search can go on, because a schedule is too long."""
RANDOM_TURNS = ("pct", "pos", "surw")
"""The strategies that draw schedules, in turn."""


class Deepening:
    """A search of one scenario, in turns.

    One of several processes makes only one `part` beside random schedules: `whole` or `bounded`.
    Then it ends when it notices that it must not reduce, and says why. `number` is that process.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        settings: Settings,
        limits: Limits,
        part: str = "",
        number: int = 0,
    ) -> None:
        self._part = part
        self._laboratory = laboratory
        self._settings = settings
        self._limits = limits
        self._seconds = limits.deadline - time.monotonic()
        self._random_seconds = 0.0
        self._done = Searched()
        scheduler = laboratory.scheduler
        bound = Bound(None, settings.timeouts)
        draws = [RANDOM[name](scheduler, bound, settings.seed or 0) for name in RANDOM_TURNS]
        for search in draws:
            search.number, search.stride = number, settings.workers
        self._near: Strategy | None = OneDeviation(scheduler, bound) if not number else None
        self._draws = cycle(draws)
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
        else:
            self._whole = (
                SourceDpor(scheduler) if timeouts is None else BoundedSearch(scheduler, whole)
            )
            self._bounded = BoundedSearch(scheduler, first, deepens=True)
        if self._part == "bounded":
            self._whole = None
        elif self._part == "whole":
            self._bounded = None

    def run(self) -> Searched:
        """Search until a schedule fails, all have run, or a limit is reached."""
        is_over = self._search_whole(NEAR)
        if not is_over and self._near is not None:
            is_over = self._is_over(self._near, self._turn(self._near, NEAR))
        is_over = is_over or self._search_whole(WHOLE)
        size = 1
        while not is_over and self._goes_on:
            is_over = self._search_bounded(BOUNDED * size)
            if not is_over and self._goes_on:
                is_over = self._draw(DRAWN * size) or self._search_whole(WHOLE * size * 2)
            size *= 2
        if is_over:
            return self._done
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

    @property
    def _goes_on(self) -> bool:
        """Whether any search but the random ones can go on."""
        return self._whole is not None or self._bounded is not None

    def _search_bounded(self, number: int) -> bool:
        """Give the search with growing bounds its turn; whether all searching is over."""
        search = self._bounded
        if search is None:
            return False
        while number > 0:
            before = self._limits.ran
            reached = self._turn(search, number)
            ran = self._limits.ran - before
            number -= ran
            self._done.begun += ran
            if self._must_begin_again(search) or not search.exhausted:
                if isinstance(search, BoundedSearch) and search.places > MOST_PLACES:
                    self._bounded = None
                    self._done.limit = "there is too much to remember"
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
        part.pause_steps = self._laboratory.scheduler.steps + number * LONG
        self._done.found = self._laboratory.find(search, part)
        limits.ran = part.ran
        return part.reached

    def _must_begin_again(self, search: DepthFirst) -> bool:
        """Whether threads share what no reduction sees. Then all begins again without one."""
        why = self._laboratory.scheduler.unreducible
        if isinstance(search, BoundedSearch):
            why = why or search.unseen
        if not why or not self._reduces:
            return False
        self._done.unreduced = why
        if self._done.found is not None:
            return False
        if not self._part:
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
        must_sleep = self._laboratory.scheduler.spins
        if done.found is not None or must_sleep or (self._part and done.unreduced):
            return True
        if reached:
            done.limit = reached
        if reached and reached == search.over:  # without this schedule, the search cannot go on
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
        most_steps = self._laboratory.scheduler.steps + number * LONG
        is_over = is_paused = False
        while not (is_over or is_paused):
            reached = self._run(search, before + number - limits.ran, limits.deadline)
            too_long = reached and reached == search.over
            if (
                too_long and not self._laboratory.scheduler.spins
            ):  # a schedule that is too long is left out
                is_paused = (
                    limits.ran >= before + number or self._laboratory.scheduler.steps >= most_steps
                )
            else:
                is_paused = not reached
                is_over = done.found is not None or not is_paused
                done.limit = done.limit or reached
        done.random += limits.ran - before
        self._random_seconds += time.monotonic() - started
        return is_over
