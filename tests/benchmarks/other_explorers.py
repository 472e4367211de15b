"""The same broken lock in other explorers: `python -m tests.benchmarks.other_explorers`.

The program has one reader and one writer. They use the lock `first-draft`, which loses a wakeup,
or the same lock with its two lines in the right order. Each explorer must say whether both threads
end under every schedule. We try frontrun, interleave-test and ploom if they are installed; frontrun
also needs its own command: `frontrun python -m …`.

We count schedules, which do not depend on the machine. The explorers differ in what counts as a
step: bankkit switches at operations of locks. interleave-test can do the same on request; by
default it switches at every bytecode instruction.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

from bankkit.locks import FirstDraftLock


class Corrected(FirstDraftLock):
    """The same lock, but it releases the writers' mutex before any reader can look at it."""

    def release_write(self) -> None:
        """Release the writers' mutex, and only then wake the waiters."""
        with self._changed:
            self._writer = None
            self._writers_mutex.release()
            self._changed.notify_all()


LOCKS: dict[str, type[FirstDraftLock]] = {"broken": FirstDraftLock, "corrected": Corrected}


def read(lock: FirstDraftLock) -> None:
    """Acquire the lock once to read."""
    with lock.read():
        pass


def write(lock: FirstDraftLock) -> None:
    """Acquire the lock once to write."""
    with lock.write():
        pass


def program(make: type[FirstDraftLock], threading: Any) -> None:
    """Run one reader and one writer, and wait for both."""
    lock = make(threading=threading)
    threads = [threading.Thread(target=task, args=(lock,)) for task in (read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ours(make: type[FirstDraftLock], **bound: Any) -> str:
    """The result of bankkit's explorer."""
    from bankkit import lab

    result = lab.explore(lambda threading: program(make, threading), **bound)
    said = result.bug.kind if result.bug is not None else result.verdict
    return f"{said} after {result.schedules:,} schedules"


def interleave_test(make: type[FirstDraftLock], most: int, **settings: Any) -> str:
    """The result of interleave-test, with 2 preemptions and at most `most` schedules."""
    import interleave_test

    try:
        result = interleave_test.explore(
            lambda: program(make, threading),  # interleave-test patches this module while it runs
            strategy="dfs", max_preemptions=2, iterations=most, **settings,
        )  # fmt: skip
    except interleave_test.InterleaveError as error:
        ran = error.result.schedules_run
        return f"{type(error).__name__} after {ran:,} schedules"
    said = "ok, exhausted" if result.exhausted else "no failure, not exhausted"
    return f"{said} after {result.schedules_run:,} schedules"


def frontrun(make: type[FirstDraftLock], **settings: Any) -> str:
    """The result of frontrun."""
    import frontrun

    result = frontrun.explore(
        setup=lambda: make(threading=threading),
        workers=[read, write],
        invariant=lambda _: True,
        **settings,
    )
    words = {True: "holds", False: "does not hold", None: "inconclusive"}
    return f"{words[result.property_holds]} after {result.num_explored:,} schedules"


def explorers(most: int) -> Iterator[tuple[str, Callable[[type[FirstDraftLock]], str]]]:
    """The explorers that are installed, each with a function that tries a lock."""
    if importlib.util.find_spec("greenlet") and importlib.util.find_spec("ipywidgets"):
        yield "bankkit, no bound", ours
        yield "bankkit, 2 preemptions", lambda make: ours(make, preemptions=2)
        yield (
            "bankkit, 2 preemptions, no reduction",
            lambda make: ours(make, preemptions=2, reduction=False),
        )
    if importlib.util.find_spec("interleave_test"):
        name = f"interleave-test {metadata.version('interleave-test')}, 2 preemptions"
        yield (
            f"{name}, at primitives",
            lambda make: interleave_test(make, most, include=["/nowhere"]),
        )
        yield f"{name}, at bytecodes", lambda make: interleave_test(make, most)
    if importlib.util.find_spec("frontrun"):
        name = f"frontrun {metadata.version('frontrun')}"
        if os.environ.get("FRONTRUN_ACTIVE"):
            yield name, frontrun
            yield f"{name}, clock='virtual'", lambda make: frontrun(make, clock="virtual")
        else:
            yield name, lambda make: "run this with `frontrun python -m …`"
    if importlib.util.find_spec("ploom"):
        name = f"ploom {metadata.version('ploom')}"
        yield name, lambda make: "has no Condition, which this lock needs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each explorer finds with either lock."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.other_explorers")
    parser.add_argument(
        "--most", type=int, default=20_000, help="most schedules per search (%(default)s)"
    )
    options = parser.parse_args(arguments)
    for name, attempt in explorers(options.most):
        print(name)
        for kind, make in LOCKS.items():
            print(f"    {kind:10} {attempt(make)}", flush=True)


if __name__ == "__main__":
    main()
