"""Detects a virtual thread that keeps the one OS thread to itself, in a loop or in a real wait.

On the main thread of a POSIX system, an interval timer interrupts the code wherever it is, even in
`time.sleep`, in `recv` or in a wait for a real lock. Elsewhere a watchdog thread checks: it can
interrupt a loop, but a real wait only when the wait returns to Python.
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
"""Seconds between two checks."""

WAITS = 5
"""How much longer a thread may wait than it may compute."""


@contextmanager
def stalls_ended(
    scheduler: Scheduler,
    patience: float,
    report: Callable[[FrameType | None], BaseException],
    endable: Endable,
) -> Iterator[None]:
    """End a schedule that makes no step while the block runs.

    A loop may take `patience` seconds of its thread's CPU time. A wait may last `WAITS` times as
    long, because another process may answer late on a busy machine.

    Schedules must run in `endable`, which must send `Abandoned`. The exception that `report` makes
    from the stuck code's frame becomes the scheduler's `raised`. Existing signal handlers and
    timers keep working during the block and are restored after it.
    """
    seen = scheduler.steps
    checks = 0
    thread = threading.get_ident()
    used = _cpu_time(thread)

    def is_stuck() -> bool:
        nonlocal seen, checks, used
        checks += 1
        if scheduler.steps != seen or not scheduler.is_running:
            seen, checks, used = scheduler.steps, 0, _cpu_time(thread)
        # This counts checks instead of seconds: on a busy machine, few checks happen in a second.
        return checks * TICK >= patience * WAITS or _cpu_time(thread) - used >= patience

    def end(frame: FrameType | None) -> None:
        if scheduler.raised is None:
            scheduler.raised = report(frame)

    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread and hasattr(signal, "setitimer"):
        with _timer(scheduler, is_stuck, end):
            yield
    else:
        with _watchdog(is_stuck, end, endable):
            yield


def _cpu_time(thread: int) -> float:
    """The CPU time of a thread, in seconds; on Windows, that of the whole process."""
    if sys.platform == "win32":
        return time.process_time()
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


@contextmanager
def _timer(
    scheduler: Scheduler,
    is_stuck: Callable[[], bool],
    end: Callable[[FrameType | None], None],
) -> Iterator[None]:
    started = time.monotonic()

    def on_tick(signum: int, frame: FrameType | None) -> None:
        if left_before and callable(handler_before) and time.monotonic() - started >= left_before:
            # This is the time limit of code around ours. The handler needs the frames of that code,
            # and the stack of a greenlet does not contain them.
            handler_before(signum, scheduler.outer_frame or frame)
        if is_stuck():
            end(frame)
            raise Abandoned

    # Stop the old timer first: a tick between the next two lines would call `on_tick` too early.
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
def _watchdog(
    is_stuck: Callable[[], bool], end: Callable[[FrameType | None], None], endable: Endable
) -> Iterator[None]:
    watched_thread = threading.get_ident()
    over = threading.Event()

    def must_end() -> bool:
        if not is_stuck():
            return False
        end(sys._current_frames().get(watched_thread))
        return True

    def watch() -> None:
        while not over.wait(TICK):
            endable.end(must_end)

    watchdog = threading.Thread(target=watch, name="bankkit-watchdog", daemon=True)
    watchdog.start()
    try:
        yield
    finally:
        over.set()
        watchdog.join()
