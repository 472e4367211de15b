"""Divides a search among processes: each searches below other prefixes of the tree of schedules.

The prefixes are the places that a search reaches in its first few steps. They differ from each
other, so no schedule is run twice. A reduction remembers only what its own process has seen, so
that it may run a few more schedules than in one process, and never fewer traces.
"""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.delay import DelayBounded
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step

Prefix = tuple[tuple[int, int], ...]
"""The thread of each step, by start order, with the option that it took."""


class _Prefixes(DepthFirst):
    """Stops each schedule at a depth, and keeps what led there."""

    depth = 0
    """In steps."""

    def __init__(self, scheduler: Scheduler, bound: Bound) -> None:
        super().__init__(scheduler, bound)
        self.found: list[Prefix] = []

    def _new_step(self) -> Step | None:
        step = super()._new_step()
        if step is None or self.scheduler.depth < self.depth:
            return step
        self.leave(step)
        self.found.append(tuple((each.task.index, each.option) for each in self.path))
        self.cut = True
        return None


class _Below(DepthFirst):
    """Searches below one prefix after the other."""

    prefix: Prefix = ()

    def go_below(self, prefix: Prefix) -> None:
        """Continue with the schedules that begin like this; call it when all others have run."""
        self.prefix = prefix
        self.fixed = 0
        self.exhausted = False

    def _new_step(self) -> Step | None:
        depth = self.scheduler.depth
        if depth >= len(self.prefix):
            return super()._new_step()
        for choice in self.choices():
            if (choice.task.index, choice.option) == self.prefix[depth]:
                step = choice.after(self.path[-1] if self.path else None, [])
                self.enter(step)
                return step
        self.diverged = (
            f"The scenario is not deterministic: in another process, step {depth + 1} of the same "
            f"schedule was a different one."
        )
        return None


class _EveryPrefix(_Prefixes, DepthFirst):
    pass


class _ReducedPrefixes(_Prefixes, BoundedSearch):
    pass


class _DelayedPrefixes(_Prefixes, DelayBounded):
    pass


class _EveryBelow(_Below, DepthFirst):
    pass


class _ReducedBelow(_Below, BoundedSearch):
    pass


class _DelayedBelow(_Below, DelayBounded):
    pass


def prefixes(scheduler: Scheduler, bound: Bound, depth: int, *, reduces: bool) -> _Prefixes:
    """A search that finds the prefixes of this many steps, and runs all shorter schedules."""
    kinds: Sequence[type[_Prefixes]] = (_EveryPrefix, _ReducedPrefixes, _DelayedPrefixes)
    search = kinds[_kind(bound, reduces)](scheduler, bound)
    search.depth = depth
    if isinstance(search, BoundedSearch):
        search.whole = 0  # what is not new would be divided, too
    return search


def below_prefixes(scheduler: Scheduler, bound: Bound, *, reduces: bool) -> _Below:
    """A search of the same schedules below the prefixes that it is given."""
    kinds: Sequence[type[_Below]] = (_EveryBelow, _ReducedBelow, _DelayedBelow)
    return kinds[_kind(bound, reduces)](scheduler, bound)


def _kind(bound: Bound, reduces: bool) -> int:
    if bound.delays is not None:
        return 2
    return 1 if reduces else 0
