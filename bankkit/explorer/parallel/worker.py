"""A process of a parallel search: it gets a job on standard input, and reports on standard output.

It ends at once when its input ends, because then the process that started it has ended.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Any, BinaryIO

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.parallel.messages import ELSEWHERE, Job, Report, Task, portable
from bankkit.explorer.running.laboratory import Found, Laboratory, Limits
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.search.deepening import Deepening
from bankkit.explorer.search.searched import Searched
from bankkit.explorer.search.searching import drawn, finished
from bankkit.explorer.strategies.bounded import BoundedSearch
from bankkit.explorer.strategies.prefixes import below_prefixes


def main() -> None:
    """Work until the job is done. Standard output is for reports, so prints go to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that ends us
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, inbox), daemon=True).start()

    def send(report: Report) -> None:
        pickle.dump(report, reports, pickle.HIGHEST_PROTOCOL)
        reports.flush()

    try:
        send(_work(_unpacked(inbox.get()), inbox, send))
    except BaseException as error:
        send(Report(error=portable(error)))


def _receive(source: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            inbox.put(pickle.load(source))
        except EOFError:
            os._exit(1)


def _unpacked(data: bytes) -> Job:
    try:
        job: Job = pickle.loads(data)
    except Exception as error:
        raise ValueError(f"{ELSEWHERE}: {type(error).__name__}: {error}.") from None
    return job


def _work(job: Job, inbox: queue.SimpleQueue[Task], send: Any) -> Report:
    limits = Limits(job.settings.schedules, time.monotonic() + job.seconds)
    with (
        closing(Scheduler(limit=job.code.steps)) as scheduler,
        job.code.laboratory(scheduler, searches=True) as laboratory,
    ):
        if job.part == "prefixes":
            return _below_prefixes(job, laboratory, limits, inbox, send)
        if job.part == "drawn":
            done = drawn(laboratory, job.settings, limits, job.number, job.settings.workers)
        else:
            done = Deepening(laboratory, job.settings, limits, job.part, job.number).run()
        return _report(finished(done, scheduler), limits)


def _report(done: Searched, limits: Limits) -> Report:
    return Report(
        limits.ran, _schedule(done.found), done.limit, done.unreduced,
        done.exhausted, done.begun, done.random, sleeps=done.sleeps, doubts=done.doubts,
    )  # fmt: skip


def _below_prefixes(
    job: Job, laboratory: Laboratory, limits: Limits, inbox: queue.SimpleQueue[Task], send: Any
) -> Report:
    bound, reduces = job.settings.bound, job.settings.reduces
    search = below_prefixes(laboratory.scheduler, bound, reduces=reduces)
    report = Report(wants_more=True)
    while not (report.found or report.limit or report.unreduced):
        send(report)
        prefix = inbox.get()
        if prefix is None:
            break
        search.go_below(prefix)
        found = laboratory.find(search, limits)
        unseen = search.unseen if isinstance(search, BoundedSearch) else ""
        report = replace(
            report,
            ran=limits.ran,
            found=_schedule(found),
            limit=limits.reached,
            unreduced=laboratory.scheduler.unreducible if reduces else "",
        )
        report.unreduced = report.unreduced or unseen
    seen = search.prefixes_seen if isinstance(search, BoundedSearch) else {}
    done = finished(Searched(limit=report.limit), laboratory.scheduler)
    return replace(
        report,
        limit="" if report.found else done.limit,
        wants_more=False,
        seen=seen,
        sleeps=done.sleeps,
        doubts=done.doubts,
    )


def _schedule(found: Found | None) -> Schedule | None:
    return None if found is None else found.schedule
