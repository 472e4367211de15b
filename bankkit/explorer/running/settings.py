"""What `explore` was asked to do, with all arguments checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.loops.long_schedules import SUSPICIOUS
from bankkit.explorer.loops.spinning import Spinning
from bankkit.explorer.patch.patching import Patch
from bankkit.explorer.running.laboratory import Laboratory, Scenario, Timing
from bankkit.explorer.schedules.history_check import Check
from bankkit.explorer.strategies.named import Factory
from bankkit.explorer.strategies.strategy import Bound


@dataclass(frozen=True)
class Subject:
    """A scenario, and how the explorer gets at its code."""

    scenario: Scenario
    patch: Patch = ()
    lines: tuple[object, ...] = ()
    steps: int = 10_000
    timing: Timing = "any"
    check: Check | None = None
    sleeps: bool = False
    """Whether a thread sleeps in a loop that only looks, until what it sees changes."""

    @property
    def options(self) -> dict[str, Any]:
        """What `replay` takes beside a scenario and a schedule."""
        return {
            "patch": self.patch,
            "lines": self.lines,
            "steps": self.steps,
            "timing": self.timing,
            "check": self.check,
        }

    def laboratory(self, scheduler: Scheduler, *, searches: bool = False) -> Laboratory:
        """Everything that the scenario needs to run.

        One that `searches` notices that threads seem to wait in loops; see `long_schedules`.
        """
        if self.sleeps:
            Spinning(scheduler)
        elif searches:
            scheduler.limit = min(self.steps, SUSPICIOUS)
        return Laboratory(
            self.scenario,
            self.patch,
            self.lines,
            scheduler=scheduler,
            timing=self.timing,
            check=self.check,
        )


@dataclass(frozen=True)
class Settings:
    """The bound, the strategy and the limits of a search, as `explore` describes them."""

    preemptions: int | None = None
    timeouts: int | None = None
    delays: int | None = None
    reduction: bool = True
    strategy: str | Factory | None = None
    depth: int | None = None
    seed: int | None = None
    schedules: int = 1_000_000
    seconds: float = 60.0
    workers: int = 1
    timing: Timing = "any"
    overtaken: bool = False

    @property
    def bound(self) -> Bound:
        """The schedules that may be run."""
        return Bound(self.preemptions, self.timeouts, delays=self.delays)

    @property
    def reduces(self) -> bool:
        """Whether the search runs one of several equivalent schedules."""
        return self.reduction and self.timing == "any" and not self.overtaken

    @property
    def deepens(self) -> bool:
        """Whether the search raises its bound until it has run every schedule."""
        return self.strategy is None and self.preemptions is None
