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
asserts what must hold, at any moment or at the end. It must do the same each time: no random
numbers, no real time. It can also record what its threads call and get, for a `check` that finds an
order that explains the answers:

    from bankkit.histories import QueueModel, linearizable

    def scenario(threading):
        queue = threading.recorded(MyQueue(threading), "put", "get")
        threading.together(lambda: queue.put(1), queue.get)

    print(lab.explore(scenario, check=linearizable(QueueModel())))

Threads switch at operations of the primitives and at accesses of `shared` and `track`ed attributes;
with `lines=`, also at every access of the named code. The explorer does not see accesses of other
attributes. If several threads use one without a lock, `reduction` may skip a schedule that differs
only in the order of these accesses: track the attribute, or name its code. A search with a bound
notices such sharing if it meets it, says so, and runs every schedule. The default search has such a
part, unless it ends before that begins.

An `ok` comes with a certificate: the threads, their steps, and what they have in common. If the
search could not see something that matters (a real thread or lock, a coroutine that never ran,
plain data that two threads change without a lock, threads with nothing in common), the verdict is
`unknown`, and `doubts` says what was not looked at and how to look.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import Literal

from bankkit.explorer.answers.explanation import explained
from bankkit.explorer.answers.overtaking import Overtaking
from bankkit.explorer.answers.result import Result, Verdict
from bankkit.explorer.answers.worst_waits import worst_waits
from bankkit.explorer.certificate.certificate import ONLY_WATCHED, Certificate
from bankkit.explorer.certificate.survey import survey
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.parallel.together import search_together
from bankkit.explorer.patch.patching import Patch
from bankkit.explorer.running.arguments import checked_code, checked_settings
from bankkit.explorer.running.laboratory import Diverged, Limits, Scenario, Timing, causes
from bankkit.explorer.running.replay_run import replay
from bankkit.explorer.running.settings import Settings, Subject
from bankkit.explorer.schedules.history_check import Check
from bankkit.explorer.search.searched import Searched
from bankkit.explorer.search.searching import finished, search
from bankkit.explorer.search.shortening import shortened
from bankkit.explorer.strategies.named import Factory

StrategyName = Literal["exhaustive", "delay", "pct", "pos", "surw", "random"]


def explore(
    scenario: Scenario,
    *,
    preemptions: int | None = None,
    timeouts: int | None = None,
    delays: int | None = None,
    reduction: bool = True,
    strategy: StrategyName | Factory | None = None,
    depth: int | None = None,
    seed: int | None = None,
    schedules: int = 1_000_000,
    seconds: float = 60.0,
    steps: int = 10_000,
    patch: Patch = (),
    lines: Iterable[object] = (),
    timing: Timing = "any",
    workers: int = 1,
    check: Check | None = None,
    overtaken: bool = False,
) -> Result:
    """Run the scenario under every schedule within the bound, until one fails.

    By default there is no bound, and a small scenario is searched whole. In a large one, schedules
    without preemptions are also run first, then those with one, with two, and so on; a share of the
    time is for random schedules. The result names the largest bound that was exhausted.

    The bound is the largest number of `preemptions` (which take the turn from a thread that could
    continue) and of early `timeouts` (which fire while another thread can run) in one schedule;
    None means no bound. Most bugs need two preemptions or fewer. With `reduction`, schedules that
    differ only in the order of unrelated steps are run once.

    `strategy="exhaustive"` runs one search with one bound, also if that is no bound.
    `strategy="delay"` bounds `delays` instead, which pass over the next thread in turn; without a
    number it raises them until all schedules have run. `pct`, `pos`, `surw` and `random` draw
    schedules within the bound, from `seed`, until a limit is reached; their verdict is never `ok`.
    `pct` is good at finding bugs that need `depth` steps in a certain order, by default 3. A
    strategy of your own is a subclass of `Strategy`, or a function that makes one.

    `schedules`, `seconds` and `steps` (of one schedule) are limits: if one is reached, the verdict
    is `unknown`. To test code that takes no `threading=`, name its modules in `patch`; stand-ins
    replace their `threading` and `time` during the search, and `patch="all"` stands for all loaded
    modules. A package stands for its modules. `lines` names functions, classes or modules. In their
    code every access of an attribute, an item, a global or a closure's variable becomes a step, and
    every operator, iteration or call that may look into an object.

    `workers` processes share the search, if they can import the scenario and all other code that is
    given. The verdict is that of one process, but a search that ends at a limit may come less far.

    A timeout may fire, and a `sleep` may end, at any time and in any order, because a machine may
    be slow. With `timing="ordered"` those fire first that are due first; this search uses no
    reduction. `timeouts=0` also excludes that one fires while a thread can still run.

    `check` is called with the recorded calls of the schedules that end well, once for each history;
    see `threading.recorded` and `bankkit.histories.linearizable`. The schedule is a bug if it
    returns an explanation or False, or raises AssertionError. The times of the calls say only which
    calls of an object returned before which others began.

    A thread in a loop that only looks goes round again after a change of what it sees. How often it
    goes round, and how long that takes, is not explored.

    `overtaken=True` also measures how often, in the worst schedule, a waiting thread is overtaken:
    another asks later for the same lock or condition and gets it first. For a lock of your own, say
    where threads wait for it, with `threading.waiting`. This search uses no reduction, because that
    drops schedules which differ in who asked first.

    A bug comes with its schedule, which is shortened for at most five seconds, or half a second
    after the limit: to the fewest preemptions first, then to the fewest steps. Its `why` names the
    two steps whose order decides; that search has the same limits. Raises `Stuck` or `Diverged` for
    a scenario that cannot be explored, and TypeError or ValueError for an argument that is bad or
    that the strategy does not use, and for `lines` that cannot be steps. Off the main thread, a
    real wait is noticed only when it ends.
    """
    options = dict(locals())
    code = checked_code(options.pop("scenario"), options)
    settings = checked_settings(options)
    started = time.monotonic()
    limits = Limits(settings.schedules, started + settings.seconds)
    certificate: Certificate | None = None
    done = _searched(code, settings, limits)
    if done.sleeps:
        code = replace(code, sleeps=True)
        limits.reached = ""
        limits.ran -= 1  # the schedule that became long is run again
        done = _searched(code, settings, limits)
    found = done.found
    if found is None:
        certificate, found = survey(
            code, settings.bound, done.doubts, limits.deadline, ran=limits.ran
        )
        done.doubts |= dict.fromkeys(certificate.doubts)
    bug = None
    if found is not None:
        shortest = shortened(code, found, settings.timeouts, limits.deadline)
        bug = replay(scenario, shortest, **code.options)
        if bug.kind != "ended":
            certificate = None
            bug = explained(code, bug, limits.deadline)
        elif certificate is not None:
            bug = None
            certificate = replace(certificate, doubts=(*certificate.doubts, ONLY_WATCHED))
        else:
            raise Diverged(
                f"The scenario is not deterministic: a schedule that failed ended well when it was "
                f"run again. {causes(done.doubts)}"
            )
    verdict: Verdict = "unknown"
    if bug is not None:
        verdict = "bug"
    elif done.exhausted == settings.bound and not (
        done.limit or (certificate and certificate.doubts)
    ):
        verdict = "ok"
    return Result(
        verdict,
        settings.bound,
        limits.ran,
        time.monotonic() - started,
        bug,
        done.limit if bug is None else "",
        done.unreduced,
        settings.timing,
        done.exhausted,
        done.begun,
        done.random,
        certificate,
        worst_waits(code, done.overtaken),
    )


def _searched(code: Subject, settings: Settings, limits: Limits) -> Searched:
    """What a search has found; it ends early if threads wait in loops and do not sleep there."""
    if settings.workers > 1:
        return search_together(code, settings, limits)
    with (
        closing(Scheduler(limit=code.steps)) as scheduler,
        code.laboratory(scheduler, searches=True) as laboratory,
    ):
        if settings.overtaken:
            laboratory.observe = Overtaking(scheduler).observe
        return finished(search(laboratory, settings, limits), scheduler)
