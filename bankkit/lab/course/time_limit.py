"""Run a learner's code so that it always comes back: a time limit, and output that cannot flood.

On the main thread of a POSIX system an interval timer (SIGALRM) ends the code, also while it blocks
in a lock, a sleep or a call. It ticks from the start: a tick also wakes a blocking call that began
just after Ctrl-C was noted and would else sleep on.

Elsewhere the code runs in a thread of its own that gets an asynchronous exception, and is left
behind if that does not end it.

What neither can end is one single C call that never returns to Python, such as `10 ** 10 ** 10`;
nor can the Interrupt button.
"""

import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import CodeType, FrameType
from typing import Any, TypeVar

from bankkit.explorer.endable import Endable, lower_flag

T = TypeVar("T")

TICK = 0.05
"""Seconds between two looks at the clock, and between two attempts to end what swallowed one."""


class TimeUp(BaseException):
    """The limit has passed. No Exception: a learner's `except Exception` must let it through."""


def run_limited(work: Callable[[], T], limit: float, *, theirs: Callable[[CodeType], bool]) -> T:
    """Return `work()`, or raise `TimeUp` when it takes longer than `limit` seconds.

    `theirs` tells the learner's code from ours: a bare `except:` in it may swallow the first
    `TimeUp`, so after that every further line of theirs raises it again.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread and hasattr(signal, "setitimer"):
        return _run_under_timer(work, limit, theirs)
    return _run_in_thread(work, limit)


def _inside(work: Callable[[], T]) -> T:
    """Mark the stack: only while this frame is on it may `TimeUp` be raised."""
    return work()


def _run_under_timer(work: Callable[[], T], limit: float, theirs: Callable[[CodeType], bool]) -> T:
    started = time.monotonic()
    deadline = started + limit
    late = False

    def on_tick(signum: int, frame: FrameType | None) -> None:
        nonlocal late
        if time.monotonic() < deadline:
            return
        frames = []
        while frame is not None and frame.f_code is not _inside.__code__:
            frames.append(frame)
            frame = frame.f_back
        if frame is None:
            return  # the work was done a moment before
        late = True
        for each in frames:
            if theirs(each.f_code):
                each.f_trace = raise_again
        lower_flag()  # others send exceptions, too
        sys.settrace(lambda *_: None)  # switches tracing on; Python calls f_trace only then
        raise TimeUp

    def raise_again(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            raise TimeUp
        return raise_again

    trace_before = sys.gettrace()
    handler_before = signal.signal(signal.SIGALRM, on_tick)
    left_before, repeat_before = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        result = _inside(work)
    except BaseException:
        if late:  # whatever came of the first TimeUp on its way out
            raise TimeUp from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(trace_before)
        signal.signal(signal.SIGALRM, handler_before)
        if left_before:
            left = max(left_before - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, repeat_before)
    if late:
        raise TimeUp
    return result


def _run_in_thread(work: Callable[[], T], limit: float) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    endable = Endable(TimeUp)

    def run() -> None:
        try:
            results.append(endable.run(work))
        except BaseException as error:  # SystemExit included: it is told to the learner
            errors.append(error)

    worker = threading.Thread(target=run, name="bankkit-check", daemon=True)
    worker.start()
    deadline = time.monotonic() + limit
    try:
        # Short waits, because on Windows a long one cannot be interrupted.
        while worker.is_alive() and time.monotonic() < deadline:
            worker.join(min(TICK, limit))
        if worker.is_alive():
            raise TimeUp
    except BaseException:
        _end(worker, endable)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _end(worker: threading.Thread, endable: Endable) -> None:
    """Ask a thread to end, for a second; a thread that blocks or refuses is left behind."""
    for _ in range(round(1 / TICK)):
        if not worker.is_alive():
            return
        endable.end()
        worker.join(TICK)


class Printed(io.TextIOBase):
    """Keeps the first `keep` characters printed, and counts the rest."""

    def __init__(self, keep: int = 1000) -> None:
        self._room = keep
        self._parts: list[str] = []
        self.dropped = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        kept = text[: self._room]
        if kept:
            self._parts.append(kept)
            self._room -= len(kept)
        self.dropped += len(text) - len(kept)
        return len(text)

    def text(self) -> str:
        """What was printed, and a last line about what was left out."""
        kept = "".join(self._parts).rstrip("\n")
        return f"{kept}\n… and {self.dropped:,} more characters" if self.dropped else kept


_turns = threading.RLock()


@contextmanager
def printed() -> Iterator[Printed]:
    """Catch what is printed in this block, on stdout and stderr.

    These two are everybody's, so blocks in several threads take turns: each puts back what it
    found, which must not be the sink of another.
    """
    sink = Printed()
    with _turns, redirect_stdout(sink), redirect_stderr(sink):
        yield sink
