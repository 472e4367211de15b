"""Runs a learner's code with a time limit, and with a limit on its output.

On the main thread of a POSIX system an interval timer (SIGALRM) ends the code, even while it blocks
in a lock, a sleep or a call. The timer ticks from the start, because a tick also wakes a blocking
call that began just after Python received Ctrl-C; without a tick that call would sleep on.

Elsewhere the code runs in its own thread and gets an asynchronous exception. If that does not end
the thread, it is left running.

Neither way can end a single C call that never returns to Python, such as `10 ** 10 ** 10`. The
Interrupt button cannot, either.
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

from bankkit.explorer.engine.endable import Endable, lower_flag

T = TypeVar("T")

TICK = 0.05
"""Seconds between two looks at the clock, and between two attempts to end the code."""


class TimeUp(BaseException):
    """The time limit has passed. A learner's `except Exception` does not catch it."""


def run_limited(work: Callable[[], T], limit: float, *, theirs: Callable[[CodeType], bool]) -> T:
    """Return `work()`, or raise `TimeUp` when it takes longer than `limit` seconds.

    `theirs` says whether a code object is the learner's. A bare `except:` there may catch the first
    `TimeUp`, so after it every further line of the learner's code raises `TimeUp` again.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread and hasattr(signal, "setitimer"):
        return _run_under_timer(work, limit, theirs)
    return _run_in_thread(work, limit)


def _inside(work: Callable[[], T]) -> T:
    """Call `work`. `TimeUp` may be raised only while this frame is on the stack."""
    return work()


def _run_under_timer(work: Callable[[], T], limit: float, theirs: Callable[[CodeType], bool]) -> T:
    started = time.monotonic()
    deadline = started + limit
    late = looks = False

    def on_tick(signum: int, frame: FrameType | None) -> None:
        nonlocal looks
        if looks or time.monotonic() < deadline:
            return  # on a busy machine the next tick may come before this one has done its work
        looks = True
        try:
            end_work(frame)
        finally:
            looks = False

    def end_work(frame: FrameType | None) -> None:
        nonlocal late
        frames = []
        while frame is not None and frame.f_code is not _inside.__code__:
            frames.append(frame)
            frame = frame.f_back
        if frame is None:
            return  # the work ended just before
        late = True
        for each in frames:
            if theirs(each.f_code):
                each.f_trace = raise_again
        lower_flag()  # an exception sent to another thread may have raised it
        sys.settrace(lambda *_: None)  # without a trace function Python does not call f_trace
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
        if late:  # the learner's code may have replaced the first TimeUp
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
        except BaseException as error:  # the learner gets to see any error, SystemExit included
            errors.append(error)

    worker = threading.Thread(target=run, name="bankkit-check", daemon=True)
    worker.start()
    deadline = time.monotonic() + limit
    try:
        # The waits are short, because on Windows a long one cannot be interrupted.
        while worker.is_alive() and time.monotonic() < deadline:
            worker.join(min(TICK, limit))
        if worker.is_alive():
            raise TimeUp
    except BaseException:
        _end_thread(worker, endable)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _end_thread(worker: threading.Thread, endable: Endable) -> None:
    """Try for a second to end a thread; one that blocks or catches `TimeUp` is left running."""
    for _ in range(round(1 / TICK)):
        if not worker.is_alive():
            return
        endable.end()
        worker.join(TICK)


class Printed(io.TextIOBase):
    """A text stream that keeps the first `keep` characters and counts the rest."""

    def __init__(self, keep: int = 1000) -> None:
        self._room = keep
        self._parts: list[str] = []
        self.dropped = 0

    def writable(self) -> bool:
        """Always true."""
        return True

    def write(self, text: str) -> int:
        """Keep as much of the text as there is room for; return its whole length."""
        kept = text[: self._room]
        if kept:
            self._parts.append(kept)
            self._room -= len(kept)
        self.dropped += len(text) - len(kept)
        return len(text)

    def text(self) -> str:
        """The characters kept, and a last line that counts the others."""
        kept = "".join(self._parts).rstrip("\n")
        return f"{kept}\n… and {self.dropped:,} more characters" if self.dropped else kept


_turns = threading.RLock()


@contextmanager
def printed() -> Iterator[Printed]:
    """Catch what is printed in this block on stdout and stderr.

    All threads share these two streams, so blocks in several threads take turns: each restores the
    streams that it found, and these must not be the sink of another block.
    """
    sink = Printed()
    with _turns, redirect_stdout(sink), redirect_stderr(sink):
        yield sink
