"""Ends a schedule that does not end by itself: by a signal, at its deadline, or when it is stuck.

On the main thread, the handlers of signals run while a schedule runs, but what they raise (Ctrl-C
raises KeyboardInterrupt) is kept and ends the exploration. Raised in the scenario it could be
caught there, and raised in the explorer it would cut a change of its state in two.

On the main thread of a POSIX system, an interval timer also interrupts the code wherever it is,
even in `time.sleep`, in `recv` or in a wait for a real lock. Elsewhere a watchdog thread checks: it
can interrupt a loop, but a real wait only when the wait returns to Python.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bankkit.explorer.engine.endable import Endable
from bankkit.explorer.engine.ownership import is_own
from bankkit.explorer.engine.patience import TICK, Progress, cpu_time_of
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.engine.unwinding import Abandoned

PATIENT, INSISTENT = 1, 4
"""After so many exceptions that it has caught, a thread is traced; then it is left as it is."""


class OutOfTime(Exception):
    """The deadline has passed while a schedule was running."""


class Watchdog:
    """Watches schedules while its `with` block runs. They must run in `endable`.

    `report` makes the exception for a schedule that is stuck, from the frame where it is. `endable`
    must send `Abandoned`. Existing signal handlers and timers keep working during the block and are
    restored after it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        report: Callable[[FrameType | None], BaseException],
        endable: Endable,
    ) -> None:
        self.deadline: float | None = None
        """On the clock of `time.monotonic`; None outside of a search."""
        self._scheduler = scheduler
        self._report = report
        self._endable = endable
        self._progress = Progress()
        self._interrupt: BaseException | None = None
        self._raised_in: object = None
        self._times_raised = 0
        self._checks_history = False

    @contextmanager
    def checking(self) -> Iterator[None]:
        """In this block, a check of a history runs after its schedule. It may take its time."""
        self._checks_history = True
        try:
            yield
        finally:
            self._checks_history = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch during the block. Raises what a signal handler has raised meanwhile."""
        self._thread = threading.get_ident()
        on_main_thread = threading.current_thread() is threading.main_thread()
        with self._handlers() if on_main_thread else _nothing():
            has_timer = on_main_thread and hasattr(signal, "setitimer")
            with self._timer() if has_timer else self._checks():
                yield

    def check_interrupt(self) -> None:
        """Raise what a signal handler has raised."""
        if self._interrupt is not None:
            raise self._interrupt

    # Signals.

    @contextmanager
    def _handlers(self) -> Iterator[None]:
        """Keep what the handlers of signals raise, and raise it at the end of the block."""
        before: dict[signal.Signals, Any] = {}
        try:
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if callable(handler):
                    before[number] = handler
                    signal.signal(number, self._kept(handler))
            yield
        finally:
            interrupt, self._interrupt = self._interrupt, None
            for number, handler in before.items():
                signal.signal(number, handler)
            if interrupt is not None:
                raise interrupt

    def _kept(self, handler: Callable[[int, FrameType | None], object]) -> Callable[..., None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._handles(handler, number, frame):
                self._end(frame)

        return on_signal

    def _handles(
        self,
        handler: Callable[[int, FrameType | None], object],
        number: int,
        frame: FrameType | None,
    ) -> bool:
        """Call a handler; return whether it has raised.

        The handler may look for the frames of the code around the exploration, which the stack of
        a greenlet does not contain.
        """
        try:
            handler(number, self._scheduler.outer_frame or frame)
        except BaseException as error:
            if self._interrupt is None:
                self._interrupt = error
            return True
        return False

    # The timer.

    @contextmanager
    def _timer(self) -> Iterator[None]:
        started = time.monotonic()

        def on_tick(number: int, frame: FrameType | None) -> None:
            is_due = left_before and time.monotonic() - started >= left_before
            if is_due and callable(handler_before):  # the time limit of code around ours
                self._handles(handler_before, number, frame)
            self._look(frame)

        # Stop the old timer first: a tick between the next two lines would call it too early.
        left_before, repeat_before = signal.setitimer(signal.ITIMER_REAL, 0)
        handler_before = signal.signal(signal.SIGALRM, on_tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler_before)
            if left_before:
                left = max(left_before - (time.monotonic() - started), 0.001)
                signal.setitimer(signal.ITIMER_REAL, left, repeat_before)

    def _look(self, frame: FrameType | None) -> None:
        """End the schedule if it has to end."""
        error, moves = self._verdict(frame)
        if error is not None:
            self._end(frame, error, moves=moves)

    def _verdict(self, frame: FrameType | None) -> tuple[BaseException | None, bool]:
        """Why the running schedule has to end, if it has to; and whether it still makes steps."""
        scheduler = self._scheduler
        cpu = cpu_time_of(self._thread)
        moves = self._progress.is_new(scheduler.steps if scheduler.is_running else -1, cpu)
        if not scheduler.is_running and not self._checks_history:
            return None, True
        if self._interrupt is not None:
            return self._interrupt, moves
        if scheduler.raised is not None:
            return scheduler.raised, moves
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return OutOfTime(), moves
        if not self._checks_history and self._progress.is_stuck(cpu, scheduler.slowness):
            return self._report(frame), False
        return None, moves

    def _end(
        self, frame: FrameType | None, error: BaseException | None = None, *, moves: bool = True
    ) -> None:
        """End the schedule: at its next operation, and at once if it is in the scenario's code.

        The explorer's own code is not interrupted, unless the scenario has called C code from it.
        """
        scheduler = self._scheduler
        error = error or self._interrupt
        assert error is not None
        if self._checks_history:
            raise error
        scheduler.stop(error)
        if not scheduler.in_thread or (moves and is_own(frame)):
            return
        times = self._count_raised()
        if times > INSISTENT:
            scheduler.leave()
        if times > PATIENT:
            scheduler.insistence.begin(frame)
        raise Abandoned

    def _count_raised(self) -> int:
        """How often an exception is now raised in the present thread from outside."""
        thread = self._scheduler.current.greenlet
        if self._raised_in is not thread:
            self._raised_in, self._times_raised = thread, 0
        self._times_raised += 1
        return self._times_raised

    # Where there is no timer.

    @contextmanager
    def _checks(self) -> Iterator[None]:
        over = threading.Event()
        insistence = self._scheduler.insistence

        class Relentless(Abandoned):
            """Python makes the exception in the thread that gets it, before its handler runs."""

            def __init__(self) -> None:
                insistence.begin(sys._getframe(1))

        def must_end() -> bool | type[BaseException]:
            error, moves = self._verdict(sys._current_frames().get(self._thread))
            if error is None:
                return False
            if self._checks_history:
                self._scheduler.raised = error
                return True
            self._scheduler.stop(error)
            if moves:
                return False
            return Relentless if self._count_raised() > PATIENT else True

        def watch() -> None:
            while not over.wait(TICK):
                self._endable.end(must_end)

        watchdog = threading.Thread(target=watch, name="bankkit-watchdog", daemon=True)
        watchdog.start()
        try:
            yield
        finally:
            over.set()
            watchdog.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield
