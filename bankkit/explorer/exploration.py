"""Runs a program of several threads under every schedule, and finds the one that breaks it.

    from bankkit import lab

    def scenario(threading):
        lock = MyLock(threading=threading)
        account = threading.shared(balance=0)

        def deposit():
            with lock:
                account.balance += 100

        threads = [threading.Thread(target=deposit) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert account.balance == 200

    print(lab.explore(scenario, preemptions=2))

A scenario is a program: called anew for each schedule, it makes its locks and threads, and asserts
what must hold, at any moment or over the results at the end (that two deposits add up is
linearizability of that history). It must do the same each time: no random numbers, no real time.

Switches happen at operations of the primitives and at accesses of what is `shared` or `track`ed;
`lines=` adds every line of the code that it names. Plain attributes that several threads use
without a lock are seen at no other moment, and with `reduction` a schedule may be left out because
it differs from another only in their order: track them, or name their code. A search within a bound
notices such sharing when it comes by, says so, and runs every schedule; one without a bound cannot.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from bankkit.explorer.bounded import BoundedSearch
from bankkit.explorer.depth_first import Bound, DepthFirst
from bankkit.explorer.dpor import SourceDpor
from bankkit.explorer.laboratory import Found, Laboratory, Limits, Scenario
from bankkit.explorer.pct import Pct
from bankkit.explorer.replay_run import replay
from bankkit.explorer.schedule import Outcome, Schedule
from bankkit.explorer.scheduler import Scheduler
from bankkit.explorer.text import counted

MINIMISING_SECONDS = 5.0
"""How long a found schedule is made shorter, at the most."""


@dataclass(frozen=True, slots=True)
class Result:
    """What `explore` found."""

    verdict: Literal["ok", "bug", "unknown"]
    """`ok`: every schedule within the bound was run, one of each kind where `reduction` is on.
    `bug`: one of them breaks. `unknown`: a limit was reached before all were run."""
    bound: Bound
    schedules: int
    """How many were run, those included that were left before their end."""
    seconds: float
    bug: Outcome | None = None
    limit: str = ""
    """Why it is `unknown`."""
    unreduced: str = ""
    """Why `reduction` was given up, if it was: what the threads share unseen."""

    def __str__(self) -> str:
        ran = counted(self.schedules, "schedule")
        if self.bug is not None:
            return f"bug after {ran} ({self.bound}): {self.bug}"
        if self.verdict == "ok":
            note = f" Run without reduction: {self.unreduced}." if self.unreduced else ""
            ok = f"ok: every schedule with {self.bound} ends well ({ran}, {self.seconds:.1f} s)."
            return ok + note
        return f"unknown: {self.limit} ({ran} with {self.bound} ended well)."


def explore(
    scenario: Scenario,
    *,
    preemptions: int | None = None,
    timeouts: int | None = None,
    reduction: bool = True,
    strategy: Literal["exhaustive", "pct"] = "exhaustive",
    depth: int = 3,
    seed: int = 0,
    schedules: int = 1_000_000,
    seconds: float = 60.0,
    steps: int = 10_000,
    patch: Iterable[ModuleType] = (),
    lines: Iterable[object] = (),
) -> Result:
    """Run the scenario under every schedule within the bound, until one breaks.

    The bound: at most so many `preemptions` (the turn taken from a thread that could go on) and
    `timeouts` (that fire although another thread could go on) in one schedule; None is no bound.
    Most bugs need two preemptions or fewer. With `reduction`, schedules that differ only in the
    order of steps that do not concern each other are run once.

    `strategy="pct"` runs `schedules` random ones instead, made from `seed`, which are good at
    bugs that need `depth` steps in one order; it never says `ok`.

    `schedules`, `seconds` and `steps` (of one schedule) are limits: past one the verdict is
    `unknown`. Code that takes no `threading=` is tested by naming its modules in `patch`; their
    `threading` and `time` are stand-ins meanwhile. `lines` names functions, classes or modules
    whose every line becomes a step.

    A bug comes with its schedule, made as short as five seconds allow: fewest preemptions first,
    then fewest steps. Raises `Stuck` and `Diverged` for a scenario that cannot be explored. On
    any thread but the main one, a scenario that waits for real is noticed only once it stops.
    """
    started = time.monotonic()
    bound = Bound(preemptions, timeouts)
    limits = Limits(schedules, started + seconds)
    shortest: Schedule | None = None
    unreduced = ""
    with (
        closing(Scheduler(limit=steps)) as scheduler,
        Laboratory(scenario, patch, lines, scheduler=scheduler) as laboratory,
    ):
        if strategy == "pct":
            found = laboratory.find(Pct(scheduler, depth, seed), limits)
        elif strategy == "exhaustive":
            search = _search(scheduler, bound, reduction)
            found = laboratory.find(search, limits)
            if isinstance(search, BoundedSearch) and search.unseen:
                unreduced, limits.reached = search.unseen, ""
                found = laboratory.find(DepthFirst(scheduler, bound), limits)
        else:
            raise ValueError(f"strategy must be 'exhaustive' or 'pct', not {strategy!r}.")
        if found is not None:
            shortest = _shortened(laboratory, found, timeouts)
    bug = None
    if shortest is not None:
        bug = replay(scenario, shortest, patch=patch, lines=lines, steps=steps)
    verdict: Literal["ok", "bug", "unknown"] = "ok"
    if bug is not None:
        verdict = "bug"
    elif limits.reached:
        verdict = "unknown"
    return Result(
        verdict, bound, limits.ran, time.monotonic() - started, bug, limits.reached, unreduced
    )


def _search(scheduler: Scheduler, bound: Bound, reduction: bool) -> DepthFirst:
    if not reduction:
        return DepthFirst(scheduler, bound)
    return SourceDpor(scheduler) if bound == Bound() else BoundedSearch(scheduler, bound)


def _shortened(laboratory: Laboratory, found: Found, timeouts: int | None) -> Schedule:
    """The same bug with the fewest preemptions, and of those with the fewest steps."""
    limits = Limits(1_000_000, time.monotonic() + MINIMISING_SECONDS)

    def look_for(preemptions: int, steps: int | None) -> Found | None:
        bound = Bound(preemptions, timeouts, steps)
        search = BoundedSearch(laboratory.scheduler, bound)
        return laboratory.find(search, limits, found.failure)

    best = found
    for preemptions in range(found.schedule.preemptions):
        fewer = look_for(preemptions, None)
        if fewer is not None:
            best = fewer
            break
    while best.schedule:  # none is shorter than the one without a step
        shorter = look_for(best.schedule.preemptions, len(best.schedule) - 1)
        if shorter is None:
            break
        best = shorter
    return best.schedule
