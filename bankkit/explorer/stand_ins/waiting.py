"""The block in which a scenario says that a thread waits for a lock of the program's own."""

from __future__ import annotations

from types import TracebackType

from bankkit.explorer.engine.scheduler import Scheduler


class Waiting:
    """A block from the moment at which a thread asks for something to that at which it gets it."""

    def __init__(self, scheduler: Scheduler, what: str) -> None:
        self._scheduler = scheduler
        self._what = what
        self._counts = False

    def __enter__(self) -> None:
        overtaking = self._scheduler.overtaking
        if overtaking is not None and not self._scheduler.is_over:
            self._counts = overtaking.enter(self._what)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._counts and not self._scheduler.is_over:
            self._scheduler.overtaking.leave(has_got_it=kind is None)
