"""What is unseen is told whatever way the threads come about, and by all that asks the explorer."""

import concurrent.futures
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bankkit import explorer
from tests.explorer import unseen_helper
from tests.explorer.specimens import together

THIS = [sys.modules[__name__]]


class Counter:
    """A counter without a lock."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> None:
        """Lose an addition, if another thread comes between the two steps of this one."""
        self.n += 1


def in_a_pool(_: Any) -> None:
    """Two tasks of a pool use the counter."""
    counter = Counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(counter.add) for _ in range(2)]:
            future.result()


def in_timers(_: Any) -> None:
    """Two timers use the counter."""
    counter = Counter()
    timers = [threading.Timer(1.0, counter.add) for _ in range(2)]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.join()


def in_threads(_: Any) -> None:
    """Two threads of the replaced module use the counter."""
    counter, mutex = Counter(), threading.Lock()

    def work() -> None:
        with mutex:
            pass
        counter.add()

    together(threading, work, work)


def in_a_locked_pool(_: Any) -> None:
    """Each task holds a lock while it uses the counter."""
    counter, mutex = Counter(), threading.Lock()

    def work() -> None:
        with mutex:
            counter.add()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work) for _ in range(2)]:
            future.result()
    assert counter.n == 2


@pytest.mark.parametrize("scenario", [in_a_pool, in_timers, in_threads])
def test_under_patch_the_data_is_found(scenario: Any) -> None:
    """The doubt names the attribute; when its code is named in `lines=`, there is none."""
    result = explorer.explore(scenario, patch=THIS, preemptions=1)
    assert result.verdict == "unknown"
    assert "`self.n` is plain data" in result.doubts[0]
    assert explorer.explore(scenario, patch=THIS, preemptions=1, lines=[Counter]).verdict == "ok"


def test_a_lock_under_patch_guards_the_data() -> None:
    """The pool's own queue and locks are no doubt either."""
    result = explorer.explore(in_a_locked_pool, patch=THIS, preemptions=1)
    assert result.verdict == "ok", result


def test_one_function_that_is_not_named_is_told() -> None:
    """Its accesses are not steps, although those of the other function are."""

    def scenario(threading: Any) -> None:
        counter, event = Counter(), threading.Event()

        def unnamed() -> None:
            event.is_set()
            counter.n += 1

        def named() -> None:
            event.is_set()
            counter.add()

        together(threading, unnamed, named)

    result = explorer.explore(scenario, lines=[Counter.add], preemptions=1)
    assert result.verdict == "unknown"


def test_a_test_that_shows_nothing_fails() -> None:
    """`explored` raises, and says what was not looked at."""

    @explorer.explored(patch=THIS)
    def test(threading: Any) -> None:
        in_threads(threading)

    with pytest.raises(explorer.NotExplored, match=r"`self\.n` is plain data"):
        test()


def scenario(threading: Any) -> None:
    """For the command: two threads use a global of another module."""
    lock = threading.Lock()

    def work() -> None:
        with lock:
            pass
        unseen_helper.add()

    together(threading, work, work)


def test_the_command_does_not_exit_with_success() -> None:
    """Its status is 3, and it prints the verdict with the doubt."""
    done = subprocess.run(
        [sys.executable, "-m", "bankkit", "explore", f"{__name__}:scenario"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 3, done
    assert done.stdout.startswith("unknown: not everything was looked at: `total` is plain data")
