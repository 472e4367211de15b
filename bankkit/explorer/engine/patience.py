"""Tells a schedule that is stuck from one that makes steps, or that waits for a busy machine."""

from __future__ import annotations

import sys
import time

TICK = 0.25
"""Seconds between two checks."""
LOOP_PATIENCE = 1.0
"""Seconds of its own CPU time that a thread may take without a step: then it is in a loop."""
WAIT_PATIENCE = 4.0
"""Seconds that a thread may wait without a step. Another process may answer late on a busy machine,
so this is longer."""


class Progress:
    """Looks at the schedule again and again; `TICK` is the time between two looks."""

    def __init__(self) -> None:
        self._seen = -1
        self._looks = 0
        self._cpu = 0.0

    def is_new(self, steps: int, cpu: float) -> bool:
        """Record how many steps were made, and the thread's CPU time; whether they are more."""
        self._looks += 1
        if steps == self._seen:
            return False
        self._seen, self._looks, self._cpu = steps, 0, cpu
        return True

    def is_stuck(self, cpu: float, slowness: float = 1.0) -> bool:
        """Whether the last step was too long ago, if a step takes so many times longer than usual.

        A wait counts looks instead of seconds: on a busy machine, few looks happen in a second.
        """
        is_in_a_loop = cpu - self._cpu >= LOOP_PATIENCE * slowness
        return is_in_a_loop or self._looks * TICK >= WAIT_PATIENCE * slowness


def cpu_time_of(thread: int) -> float:
    """The CPU time of a thread, in seconds; on Windows, that of the whole process."""
    if sys.platform == "win32":
        return time.process_time()
    return time.clock_gettime(time.pthread_getcpuclockid(thread))
