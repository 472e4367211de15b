"""A stand-in for the module `time`."""

from __future__ import annotations

import sys
import time as real
from typing import Any

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.stand_ins import primitives


class Time:
    """Stands in for the module `time`, with the scheduler's virtual clock, which starts at 0."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def monotonic(self) -> float:
        """The present thread's virtual time, in seconds."""
        scheduler = self._scheduler
        if scheduler.spinning is not None:
            scheduler.spinning.clock_is_read(sys._getframe(1))
        now = scheduler.current.now
        return max(now, scheduler.clock) if scheduler.ordered else now

    time = perf_counter = monotonic

    def monotonic_ns(self) -> int:
        """The present thread's virtual time, in nanoseconds."""
        return round(self.monotonic() * 1e9)

    time_ns = perf_counter_ns = monotonic_ns

    def sleep(self, seconds: float) -> None:
        """Wait for a timeout, which advances the thread's clock. Raises ValueError below 0."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if seconds:
            self._scheduler.timed(primitives.SLEEP, None, seconds)
        else:
            self._scheduler.point(primitives.YIELD, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)
