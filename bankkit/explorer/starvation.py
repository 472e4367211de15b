"""Measures whether a waiting thread is overtaken without limit as the others go on.

    def readers_and_a_writer(threading, rounds):
        lock = ReadWriteLock("readers", threading=threading)

        def read():
            for _ in range(rounds):
                with threading.waiting("the lock"):
                    lock.acquire_read()
                time.sleep(1)
                lock.release_read()

        def write():
            with threading.waiting("the lock"):
                lock.acquire_write()
            lock.release_write()

        threading.together(read, read, write)

    print(explore_starvation(readers_and_a_writer, patch=["__main__"]))

In the field's words, a lock whose waiters are overtaken a bounded number of times has *bounded
bypass*; if each waiter gets the lock in the end, it is free of starvation (Lynch, "Distributed
algorithms", 1996, chapter 10). No number of rounds proves either. So the answer says what was
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from bankkit.explorer.answers.overtaking import Overtaken
from bankkit.explorer.answers.result import Result
from bankkit.explorer.exploration import explore
from bankkit.explorer.strategies.strategy import Bound

Rounds = Callable[[Any, int], object]
"""A scenario that also takes how often each thread repeats what it does."""


@dataclass(frozen=True, slots=True)
class Starvation:
    """What `explore_starvation` has measured."""

    verdict: Literal["starves", "bounded", "unknown"]
    """`starves`: for one lock, each round more lets a thread be overtaken more often. `bounded`:
    for every lock, the last round adds nothing. `unknown`: neither, or a schedule fails, or a limit
    was reached before all schedules were run."""
    lock: str
    """The lock with the most overtaking; empty if there is none."""
    rounds: tuple[int, ...]
    times: tuple[int, ...]
    """How often a thread that waits for it is overtaken at most, for each number of rounds."""
    worst: Overtaken | None
    """The worst schedule with the most rounds, which can be replayed."""
    results: tuple[Result, ...] = field(repr=False)
    """What `explore` found for each number of rounds."""

    @property
    def bound(self) -> Bound:
        """The schedules that were run: those with at most this many preemptions and timeouts."""
        return self.results[0].bound

    def __str__(self) -> str:
        for rounds, result in zip(self.rounds, self.results, strict=True):
            if result.verdict != "ok":
                return f"unknown: with {_rounds(rounds)}, {result}"
        measured = (
            f"Measured in every schedule with {self.bound} of {_list(self.rounds)} rounds; this is "
            f"no proof for more rounds."
        )
        if self.worst is None:
            return f"does not starve: no waiting thread is overtaken. {measured}"
        thread, numbers = self.worst.thread, _list(self.times)
        if self.verdict == "starves":
            return (
                f"starves: {thread} waits for {self.lock} and is overtaken more often with each "
                f"round that the others make: up to {numbers} times. {measured}"
            )
        if self.verdict == "bounded":
            return (
                f"does not starve: a thread that waits for {self.lock} is overtaken up to "
                f"{numbers} times. {measured}"
            )
        return (
            f"unknown: {thread} waits for {self.lock} and is overtaken up to {numbers} times. "
            f"{measured} Measure more rounds."
        )


def explore_starvation(
    scenario: Rounds,
    *,
    rounds: Sequence[int] = (1, 2, 3),
    preemptions: int | None = 0,
    **options: Any,
) -> Starvation:
    """Explore a scenario with more and more rounds, and compare how often threads are overtaken.

    `scenario(threading, rounds)` has each thread repeat what it does that often. `options` are
    those of `explore`; without preemptions, threads switch where they wait or sleep, so let them
    sleep while they hold the lock. The verdict is a measurement of these numbers of rounds. Raises
    ValueError for fewer than two numbers of rounds, or if they do not increase.
    """
    rounds = tuple(rounds)
    if len(rounds) < 2 or any(one >= other for one, other in pairwise(rounds)):
        raise ValueError(f"rounds must be at least two numbers that increase, not {rounds!r}.")
    results: list[Result] = []
    for number in rounds:
        result = explore(
            partial(_with, scenario, number), preemptions=preemptions, overtaken=True, **options
        )
        results.append(result)
        if result.verdict != "ok":
            return Starvation("unknown", "", rounds[: len(results)], (), None, tuple(results))
    locks = dict.fromkeys(each.lock for result in results for each in result.overtaken)
    times = {lock: tuple([_most(result, lock) for result in results]) for lock in locks}
    growing = [lock for lock in locks if _grows(times[lock])]
    unclear = [lock for lock in locks if times[lock][-1] != times[lock][-2]]
    lock = max(growing or unclear or locks, key=lambda each: times[each][-1], default="")
    verdict: Literal["starves", "bounded", "unknown"] = "unknown" if unclear else "bounded"
    if growing:
        verdict = "starves"
    worst = next((each for each in results[-1].overtaken if each.lock == lock), None)
    return Starvation(verdict, lock, rounds, times.get(lock, ()), worst, tuple(results))


def _with(scenario: Rounds, rounds: int, threading: Any) -> None:
    scenario(threading, rounds)


def _most(result: Result, lock: str) -> int:
    return max((each.times for each in result.overtaken if each.lock == lock), default=0)


def _grows(times: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(times))


def _rounds(number: int) -> str:
    return f"{number:,} round{'' if number == 1 else 's'}"


def _list(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
