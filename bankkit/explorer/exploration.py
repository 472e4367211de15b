"""Runs a program of several threads under every schedule, and finds one that breaks it.

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

A scenario is a function that is called anew for each schedule. It makes its locks and threads, and
asserts what must hold, at any moment or at the end (to assert that two deposits add up is to check
that this history is linearizable). It must do the same each time: no random numbers, no real time.

Threads switch at operations of the primitives and at accesses of `shared` and `track`ed attributes;
with `lines=`, also at every access of the named code. The explorer does not see accesses of other
attributes. If several threads use one without a lock, `reduction` may skip a schedule that differs
only in the order of these accesses: track the attribute, or name its code. A search with a bound
notices such sharing if it meets it, says so, and runs every schedule; one without a bound cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from bankkit.explorer.laboratory import Found, Laboratory, Limits, Observer, Scenario, Timing
from bankkit.explorer.locations import NamingScheduler
from bankkit.explorer.overtaking import Key, Overtaken, Overtaking, show
from bankkit.explorer.patching import Patch
from bankkit.explorer.replay_run import Given, replay
from bankkit.explorer.schedule import Outcome, Schedule
from bankkit.explorer.scheduler import Scheduler
from bankkit.explorer.spinning import Spinning
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.depth_first import Bound, DepthFirst
from bankkit.explorer.strategies.dpor import SourceDpor
from bankkit.explorer.strategies.pct import Pct
from bankkit.explorer.text import counted

MINIMISING_SECONDS = 5.0
"""The longest time spent on shortening a failing schedule."""
SUSPICIOUS = 100
"""After so many steps in one schedule, we look whether threads wait in loops."""


@dataclass(frozen=True, slots=True)
class Result:
    """What `explore` found."""

    verdict: Literal["ok", "bug", "unknown"]
    """`ok`: every schedule within the bound was run; with `reduction`, one of each trace.
    `bug`: one of them fails. `unknown`: a limit was reached before all were run."""
    bound: Bound
    schedules: int
    """How many schedules were run, including those that were stopped early."""
    seconds: float
    bug: Outcome | None = None
    limit: str = ""
    """Why the verdict is `unknown`."""
    unreduced: str = ""
    """Why the search stopped using `reduction`: which state threads share unseen. Usually empty."""
    timing: Timing = "any"
    """Which timeouts could fire: any, or always the one that is due first."""
    overtaken: tuple[Overtaken, ...] = ()
    """If it was asked for: for each lock, the schedule in which a thread that waits for it is
    overtaken most often, the worst first."""

    def __str__(self) -> str:
        ran = counted(self.schedules, "schedule")
        if self.bug is not None:
            return f"bug after {ran} ({self.bound}): {self.bug}"
        if self.verdict == "ok":
            note = f" Run without reduction: {self.unreduced}." if self.unreduced else ""
            ok = f"ok: every schedule with {self.bound} ends well ({ran}, {self.seconds:.1f} s)."
            worst = f" In the worst of them, {self.overtaken[0]}." if self.overtaken else ""
            return ok + note + worst
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
    patch: Patch = (),
    lines: Iterable[object] = (),
    timing: Timing = "any",
    overtaken: bool = False,
) -> Result:
    """Run the scenario under every schedule within the bound, until one fails.

    The bound is the largest number of `preemptions` (which take the turn from a thread that could
    continue) and of early `timeouts` (which fire while another thread can run) in one schedule;
    None means no bound. Most bugs need two preemptions or fewer. With `reduction`, schedules that
    differ only in the order of unrelated steps are run once.

    `strategy="pct"` runs `schedules` random schedules within the bound instead, made from `seed`.
    They are good at finding bugs that need `depth` steps in a certain order, but the verdict is
    never `ok`.

    `schedules`, `seconds` and `steps` (of one schedule) are limits: if one is reached, the verdict
    is `unknown`. To test code that takes no `threading=`, name its modules in `patch`; stand-ins
    replace their `threading` and `time` during the search, and `patch="all"` stands for all loaded
    modules. A package stands for its modules. `lines` names functions, classes or modules. In their
    code every access of an attribute, an item, a global or a closure's variable becomes a step, and
    every operator, iteration or call that may look into an object.

    A timeout may fire, and a `sleep` may end, at any time and in any order, because a machine may
    be slow. With `timing="ordered"` those fire first that are due first; this search uses no
    reduction. `timeouts=0` also excludes that one fires while a thread can still run.

    A thread in a loop that only looks goes round again after a change of what it sees. How often it
    goes round, and how long that takes, is not explored.

    `overtaken=True` also measures how often, in the worst schedule, a waiting thread is overtaken:
    another asks later for the same lock or condition and gets it first. For a lock of your own, say
    where threads wait for it, with `threading.waiting`. This search uses no reduction, because that
    drops schedules which differ in who asked first.

    A bug comes with its schedule, which is shortened for at most five seconds, or half a second
    after the limit: to the fewest preemptions first, then to the fewest steps. Raises `Stuck` or
    `Diverged` for a scenario that cannot be explored, ValueError for another strategy, and
    TypeError or ValueError for `lines` that cannot be steps. Off the main thread, a real wait is
    noticed only when it ends.
    """
    started = time.monotonic()
    bound = Bound(preemptions, timeouts)
    limits = Limits(schedules, started + seconds)
    shortest: Schedule | None = None
    unreduced = ""
    with (
        closing(Scheduler(limit=steps)) as scheduler,
        Laboratory(scenario, patch, lines, scheduler=scheduler, timing=timing) as laboratory,
    ):
        scheduler.limit = min(steps, SUSPICIOUS)
        reduction = reduction and timing == "any" and not overtaken
        observe = Overtaking(scheduler).observe if overtaken else None
        if strategy == "pct":
            found, _ = _find(
                laboratory, lambda: Pct(scheduler, bound, depth, seed), limits, observe
            )
        elif strategy == "exhaustive":
            found, search = _find(
                laboratory, lambda: _search(scheduler, bound, reduction), limits, observe
            )
            if isinstance(search, BoundedSearch):
                unreduced = search.unseen
            if type(search) is not DepthFirst and found is None and scheduler.unreducible:
                unreduced, limits.reached = scheduler.unreducible, ""
                found, _ = _find(laboratory, lambda: DepthFirst(scheduler, bound), limits, observe)
        else:
            raise ValueError(f"strategy must be 'exhaustive' or 'pct', not {strategy!r}.")
        if found is not None:
            until = min(time.monotonic() + MINIMISING_SECONDS, limits.deadline + 0.5)
            shortest = _shortened(laboratory, found, timeouts, until)
        elif scheduler.spinning is not None:
            limits.reached = limits.reached or scheduler.spinning.hidden or scheduler.spinning.timed
    bug = None
    if shortest is not None:
        bug = replay(scenario, shortest, patch=patch, lines=lines, steps=steps, timing=timing)
    worst: list[Overtaken] = []
    if overtaken:
        worst = [
            _overtaken(scenario, schedule, key, patch, lines, steps, timing)
            for key, (_, schedule) in scheduler.overtaking.worst.items()
        ]
        worst.sort(key=lambda each: -each.times)
    verdict: Literal["ok", "bug", "unknown"] = "ok"
    if bug is not None:
        verdict = "bug"
    elif limits.reached:
        verdict = "unknown"
    return Result(
        verdict,
        bound,
        limits.ran,
        time.monotonic() - started,
        bug,
        limits.reached,
        unreduced,
        timing,
        tuple(worst),
    )


def _find(
    laboratory: Laboratory,
    make: Callable[[], DepthFirst],
    limits: Limits,
    observe: Observer | None,
) -> tuple[Found | None, DepthFirst]:
    """What a search finds, and the search.

    It begins again if its schedules become long because threads wait in loops.
    """
    scheduler = laboratory.scheduler
    search = make()
    found = laboratory.find(search, limits, observe=observe)
    if search.over and scheduler.spins and scheduler.spinning is None:
        Spinning(scheduler)
        limits.reached = ""
        limits.ran -= 1  # the schedule that became long is run again
        search = make()
        found = laboratory.find(search, limits, observe=observe)
    return found, search


def _overtaken(
    scenario: Scenario,
    schedule: Schedule,
    key: Key,
    patch: Patch,
    lines: Iterable[object],
    steps: int,
    timing: Timing,
) -> Overtaken:
    """What a schedule shows, with the names of the program."""
    with (
        closing(NamingScheduler(limit=steps)) as scheduler,
        Laboratory(scenario, patch, lines, scheduler=scheduler, timing=timing) as laboratory,
    ):
        Spinning(scheduler)
        Overtaking(scheduler)
        given = Given(scheduler, schedule.moves, schedule.threads)
        laboratory.run(given)
        return show(given, key)


def _search(scheduler: Scheduler, bound: Bound, reduction: bool) -> DepthFirst:
    if not reduction:
        return DepthFirst(scheduler, bound)
    return SourceDpor(scheduler) if bound == Bound() else BoundedSearch(scheduler, bound)


def _shortened(
    laboratory: Laboratory, found: Found, timeouts: int | None, until: float
) -> Schedule:
    """A schedule that fails in the same way with the fewest preemptions, then the fewest steps."""
    limits = Limits(1_000_000, until)

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
    while best.schedule:  # a schedule without steps cannot be shortened
        shorter = look_for(best.schedule.preemptions, len(best.schedule) - 1)
        if shorter is None:
            break
        best = shorter
    return best.schedule
