"""Runs the schedules of a scenario in the way that its settings ask for."""

from __future__ import annotations

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.running.laboratory import Laboratory, Limits
from bankkit.explorer.running.settings import Settings
from bankkit.explorer.search.deepening import Deepening
from bankkit.explorer.search.searched import Searched
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.delay import DelayBounded
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.named import RANDOM
from bankkit.explorer.strategies.pct import Pct
from bankkit.explorer.strategies.strategy import Bound, Strategy


def search(laboratory: Laboratory, settings: Settings, limits: Limits) -> Searched:
    """Search until a schedule fails, all have run, or a limit is reached."""
    if settings.deepens:
        return Deepening(laboratory, settings, limits).run()
    if settings.strategy == "delay":
        return _delayed(laboratory, settings, limits)
    if settings.strategy in (None, "exhaustive"):
        return _exhausted(laboratory, settings, limits)
    return drawn(laboratory, settings, limits)


def finished(done: Searched, scheduler: Scheduler) -> Searched:
    """What a search has done, with what its scheduler has noticed meanwhile."""
    done.doubts, done.sleeps = scheduler.doubts, scheduler.spins
    if done.found is None and scheduler.spinning is not None:
        done.limit = done.limit or scheduler.spinning.hidden or scheduler.spinning.timed
    if scheduler.overtaking is not None:
        done.overtaken = scheduler.overtaking.worst
    return done


def _exhausted(laboratory: Laboratory, settings: Settings, limits: Limits) -> Searched:
    """Run every schedule within the bound, or one of each trace."""
    scheduler, bound = laboratory.scheduler, settings.bound
    search = exhaustive_search(laboratory, bound, reduces=settings.reduces)
    done = Searched(laboratory.find(search, limits))
    if isinstance(search, BoundedSearch):
        done.unreduced = search.unseen
    if done.found is None and scheduler.unreducible and type(search) is not DepthFirst:
        done.unreduced, limits.reached = scheduler.unreducible, ""
        search = DepthFirst(scheduler, bound)
        done.found = laboratory.find(search, limits)
    return _told(done, search, limits)


def exhaustive_search(laboratory: Laboratory, bound: Bound, *, reduces: bool) -> DepthFirst:
    """The search that runs every schedule within this bound, or one of each trace."""
    scheduler = laboratory.scheduler
    if not reduces:
        return DepthFirst(scheduler, bound)
    return SourceDpor(scheduler) if bound == Bound() else BoundedSearch(scheduler, bound)


def _delayed(laboratory: Laboratory, settings: Settings, limits: Limits) -> Searched:
    """Run every schedule with so many delays; by default with 0, 1, 2, … until there is no more."""
    grows = settings.delays is None
    bound = Bound(settings.preemptions, settings.timeouts, delays=settings.delays or 0)
    search = DelayBounded(laboratory.scheduler, bound)
    done = Searched()
    while True:
        before = limits.ran
        done.found = laboratory.find(search, limits)
        done.begun = limits.ran - before
        if not search.exhausted:
            return _told(done, search, limits)
        done.exhausted, done.begun = search.bound, 0
        search.exhausted = False
        if not grows or not search.deepen():
            break
    if grows:
        done.exhausted = settings.bound
    return done


def drawn(
    laboratory: Laboratory, settings: Settings, limits: Limits, number: int = 0, stride: int = 1
) -> Searched:
    """Run schedules of a strategy that is not built in, or draws them at random.

    One of `stride` processes begins with the schedule of its `number`.
    """
    strategy, seed = settings.strategy, settings.seed or 0
    scheduler, bound = laboratory.scheduler, settings.bound
    if strategy == "pct" and settings.depth is not None:
        search: Strategy = Pct(scheduler, bound, seed, settings.depth)
    else:
        make = strategy if callable(strategy) else RANDOM[str(strategy)]
        search = make(scheduler, bound, seed)
    if not isinstance(search, Strategy):
        raise TypeError(
            f"strategy must make a bankkit.explorer.Strategy, not {type(search).__name__}."
        )
    search.number, search.stride = number, stride
    done = Searched(laboratory.find(search, limits))
    if search.exhausted and not search.exhaustive:
        limits.reached = "the strategy has no more schedules"
    done.random = 0 if search.exhaustive else limits.ran
    return _told(done, search, limits)


def _told(done: Searched, search: Strategy, limits: Limits) -> Searched:
    done.limit = limits.reached
    if search.exhausted and search.exhaustive:
        done.exhausted = search.bound
    return done
