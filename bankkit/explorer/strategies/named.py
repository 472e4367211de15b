"""The strategies that `explore` knows by name."""

from __future__ import annotations

from collections.abc import Callable

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.strategies.pct import Pct
from bankkit.explorer.strategies.pos import Pos
from bankkit.explorer.strategies.random_walk import RandomWalk
from bankkit.explorer.strategies.strategy import Bound, Strategy
from bankkit.explorer.strategies.surw import Surw

Factory = Callable[[Scheduler, Bound, int], Strategy]
"""Makes a strategy for a bound and a seed, such as its class."""

RANDOM: dict[str, Factory] = {"pct": Pct, "pos": Pos, "surw": Surw, "random": RandomWalk}
"""Those that draw schedules at random, and so never say that they have run all of them."""

NAMES = ("exhaustive", "delay", *RANDOM)


def is_random(strategy: str | Factory | None) -> bool:
    """Whether the strategy draws schedules, so that it never answers `ok`."""
    if callable(strategy):
        return not getattr(strategy, "exhaustive", False)
    return strategy in RANDOM
