"""Keeps the finalizers of one schedule out of the next.

The garbage collector finalizes objects in cycles at any time, also those of earlier schedules, and
a finalizer may use a lock. So it is off while a schedule runs, and runs between two schedules. All
objects from before the exploration are frozen meanwhile: otherwise each collection would visit
them, and take milliseconds instead of microseconds.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.engine.unwinding import Abandoned
from bankkit.explorer.errors import NotInSchedule

MOST = 1000
"""About so many new objects may wait for a collection."""
FROZEN = 1000
"""A program that freezes its objects has more of them. Python 3.12 begins with 375 frozen ones."""
FULL = 100
"""After so many collections of new objects, one visits all objects of the exploration."""


class Garbage:
    """The cyclic garbage of the schedules that run in the block `collecting`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._collections = 0
        self._always = False
        """Whether the scenario collects garbage itself. Then none may be left for it."""

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Turn the collector off, and freeze what exists."""
        was_on = gc.isenabled()
        freezes = gc.get_freeze_count() < FROZEN  # somebody else may freeze objects
        hook_before = sys.unraisablehook

        def on_unraisable(unraisable: Any) -> None:
            """Say nothing of a finalizer that uses a lock of a schedule that is over."""
            if not isinstance(unraisable.exc_value, (Abandoned, NotInSchedule)):
                hook_before(unraisable)

        gc.disable()
        if freezes:
            gc.freeze()
        gc.callbacks.append(self._on_collection)
        sys.unraisablehook = on_unraisable
        try:
            yield
        finally:
            self._collect()
            if sys.unraisablehook is on_unraisable:
                sys.unraisablehook = hook_before
            gc.callbacks.remove(self._on_collection)
            if freezes:
                gc.unfreeze()
            if was_on:
                gc.enable()

    def collect_if_due(self) -> None:
        """Collect the garbage of earlier schedules, if there is much."""
        if self._always or gc.get_count()[0] >= MOST:
            self._collections += 1
            is_full = self._always or self._collections % FULL == 0
            self._collect(2 if is_full else 1)

    def _collect(self, generation: int = 2) -> None:
        decide = self._scheduler.decide
        self._scheduler.mute()
        gc.collect(generation)
        self._scheduler.decide = decide

    def _on_collection(self, phase: str, info: object) -> None:
        if phase == "start" and self._scheduler.is_running:
            self._always = True
