"""Notices when a virtual thread keeps the one OS thread to itself, in a loop or in a real wait.

On the main thread of a POSIX system an interval timer interrupts the code wherever it is, also in
`time.sleep`, in `recv` or in waiting for a real lock. Elsewhere a second thread looks on: it can
interrupt a loop, but real waiting only when that comes back to Python.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bankkit.explorer.endable import Endable
from bankkit.explorer.scheduler import Abandoned, Scheduler

TICK = 0.25
"""Seconds between two looks."""


@contextmanager
def stalls_ended(
    scheduler: Scheduler,
    patience: float,
    report: Callable[[FrameType | None], BaseException],
    endable: Endable,
) -> Iterator[None]:
    """While the block runs, end a schedule that makes no step for `patience` seconds.

    Schedules run in `endable`, which is made for `Abandoned`. What `report` makes of the code's
    present frame becomes the scheduler's `raised`. Signal handlers and timers are as before
    afterwards, and go on working meanwhile.
    """
    seen = scheduler.steps
    looks = 0

    def is_stuck() -> bool:
        nonlocal seen, looks
        looks += 1
        if scheduler.steps != seen or not scheduler.is_running:
            seen, looks = scheduler.steps, 0
        # Not by the clock: where others have the processor, few looks come in a second.
        return looks * TICK >= patience

    def end(frame: FrameType | None) -> None:
        if scheduler.raised is None:
            scheduler.raised = report(frame)

    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread and hasattr(signal, "setitimer"):
        with _timer(scheduler, is_stuck, end):
            yield
    else:
        with _onlooker(is_stuck, end, endable):
            yield


@contextmanager
def _timer(
    scheduler: Scheduler,
    is_stuck: Callable[[], bool],
    end: Callable[[FrameType | None], None],
) -> Iterator[None]:
    started = time.monotonic()

    def on_tick(signum: int, frame: FrameType | None) -> None:
        if left_before and callable(handler_before) and time.monotonic() - started >= left_before:
            # Somebody else's limit, inside which we run. A greenlet's own stack ends at its root.
            handler_before(signum, scheduler.outer_frame or frame)
        if is_stuck():
            end(frame)
            raise Abandoned

    # Stopped first: a tick of theirs between the two would find a handler that is not ready.
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


@contextmanager
def _onlooker(
    is_stuck: Callable[[], bool], end: Callable[[FrameType | None], None], endable: Endable
) -> Iterator[None]:
    watched_thread = threading.get_ident()
    over = threading.Event()

    def is_to_end() -> bool:
        if not is_stuck():
            return False
        end(sys._current_frames().get(watched_thread))
        return True

    def look_on() -> None:
        while not over.wait(TICK):
            endable.end(is_to_end)

    onlooker = threading.Thread(target=look_on, name="bankkit-watchdog", daemon=True)
    onlooker.start()
    try:
        yield
    finally:
        over.set()
        onlooker.join()
