"""Runs a few schedules again to see what threads have in common, for the certificate.

The first schedule has no preemptions, the second switches to the thread that has waited longest
whenever it may, and the others are random. Two operations
are *concurrent* if neither happens before the other (Lamport, "Time, clocks, and the ordering of
events in a distributed system", CACM 21, 1978). Vector clocks tell: Mattern, "Virtual time and
global states of distributed systems", 1989. One kind of clock knows only the starts and ends of
threads, and tells which objects threads use at the same time. The other knows every operation, and
tells with `plain_data` whether a lost update is possible that no schedule shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from bankkit.explorer.certificate.certificate import OPTIMISED, Certificate, nothing_in_common
from bankkit.explorer.certificate.plain_data import Watch
from bankkit.explorer.engine.scheduler import READ, Op, Task
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.lines.accesses import Memory
from bankkit.explorer.running.laboratory import Found, Limits
from bankkit.explorer.running.settings import Subject
from bankkit.explorer.source.locations import NamingScheduler, name
from bankkit.explorer.stand_ins import primitives, threads
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy

SCHEDULES = 4
"""The fewest schedules that a survey runs."""

ENOUGH = 8
"""How many it runs after a search of 128 schedules or more. In between it is one more for each
doubling: more schedules of the search mean more places where threads may meet."""

MOST = 100
"""How many it runs if the search tried several orders and the survey sees nothing in common yet.

The threads may have it in a branch that they rarely take.
"""

AFTER_DEADLINE = 0.5
"""The longest time that it takes after the deadline of the search, in seconds."""

Clock = dict[int, int]
"""By thread: how many of its operations, with the code after them, happen before."""


class Sample(Strategy):
    """Runs a schedule without preemptions, one that switches whenever it may, and random ones."""

    _times_out = False
    """Whether a timeout might have fired early in any schedule so far."""

    def choose(self, choices: list[Step]) -> Step:
        """The last choice, the one of the thread that made no step for longest, or any.

        In one schedule timeouts fire as soon as they may.
        """
        self._times_out = self._times_out or any(choice.early for choice in choices)
        if self.number == 2:
            return min(choices, key=lambda choice: choice.task.last)
        if self.number == 3 and any(choice.early for choice in choices):
            return self.random.choice([choice for choice in choices if choice.early])
        if self.number > 2 and self.random.random() < 0.5:
            return self.random.choice(choices)
        return choices[-1]

    def advance(self) -> bool:
        """Whether another schedule belongs to the survey."""
        scheduler = self.scheduler
        assert isinstance(scheduler, SurveyScheduler)
        if self.number == 2 and not self._times_out:
            self.number += 1  # the third schedule is for early timeouts
        return self.number < (MOST if scheduler.misses_something else scheduler.schedules)


class SurveyScheduler(NamingScheduler):
    """Also records the order of operations, and who uses what.

    `ran` is the number of schedules of the search before it.
    """

    slowness = 10.0  # it looks at each instruction

    def __init__(self, *, limit: int, ran: int) -> None:
        super().__init__(limit=limit)
        self._tried = ran > 1
        self.schedules = max(SCHEDULES, min(ran.bit_length(), ENOUGH))
        self.threads: dict[str, int] = {}
        self.common: dict[str, None] = {}
        self.active: dict[str, None] = {}
        """The threads that made steps, or ran, while another thread was running."""
        self._unstarted: dict[str, bool] = {}
        """Whether a thread with this name and work was never started."""
        self._first = True
        self.can_time_out = True
        """Whether a timeout may fire while a thread could still run."""
        self._watch = Watch(self)
        self.at_close.append(self._watch.close)
        self._reset()

    @property
    def misses_something(self) -> bool:
        """Whether the search has tried several orders, and nothing shows why."""
        return self._tried and len(self.active) > 1 and not self.common

    def _reset(self) -> None:
        self._count: dict[int, int] = {}
        self._clocks: dict[int, Clock] = {}
        self._forks: dict[int, Clock] = {}
        self._objects: dict[int, tuple[Clock, Clock]] = {}
        """By id: the clocks of the writes and of the reads of each object."""
        self._users: dict[int, dict[int, tuple[int, str]]] = {}
        """By object and thread: the thread's latest use, and the object's name."""
        self._busy: dict[int, list[tuple[int, Clock]]] = {}
        """By thread: when it did more than to start threads and to wait for their ends.

        The number of its last such step before it learned of other ends, and the others' clocks.
        """
        self._kept: list[Any] = []
        self._threads: list[Any] = []

    def run(self, work: Callable[[], Any], strategy: Any) -> None:
        """Run one schedule, and add to the survey what it shows."""
        self._reset()
        with self._watch.watching():
            super().run(work, strategy)
        if self._first:
            self._first = False
            self.threads = {task.label: self._steps_of(task) for task in self.tasks}
        for thread in self._threads:
            has_work = (
                thread.ident is not None  # a thread that has run has no target any more
                or getattr(thread, "_target", None) is not None
                or type(thread).run is not threads.Thread.run
            )
            if has_work:
                never = thread.ident is None
                self._unstarted[thread.name] = self._unstarted.get(thread.name, True) and never
        self._find_active()
        self._reset()  # otherwise it would keep the schedule's objects, with their finalizers

    def _steps_of(self, task: Task) -> int:
        return self._count.get(task.index, 0)

    def trust(self, thing: Any) -> None:
        """Leave the object, and what it has, out of the survey."""
        super().trust(thing)
        self._watch.ignore(thing)

    # What happens before what.

    def register(self, target: Any) -> None:
        """Also remember new threads."""
        super().register(target)
        if isinstance(target, threads.Thread) and not isinstance(target, threads.MainThread):
            self._threads.append(target)
            self._watch.know(getattr(target, "_target", None))

    def admit(self, work: Callable[[], Any], thread: Any, name: str, daemon: bool) -> Task:
        """Record that the new thread's operations happen after this start."""
        parent = self.current
        if self.is_running:
            self._watch.turn(parent)
        task = super().admit(work, thread, name, daemon)
        if thread is not None:
            self._watch.know_thread(thread)
        for clocks in (self._clocks, self._forks):
            clocks[task.index] = {**clocks.get(parent.index, {}), task.index: 1}
        if parent.index >= 0:
            self._tick(parent)
        return task

    def point(self, op: Op, target: Any, arg: Any = None, other: Any = None) -> int:
        """Also record the operation when it is done."""
        self.refuse_other_os_threads()
        me = self.current
        if not self.is_over:
            self._watch.rest(me)
        option = super().point(op, target, arg, other)
        self._count[me.index] = self._count.get(me.index, 0) + 1
        used = target if not option or other is None else other
        if not isinstance(target, threads.Thread):
            self.works(me)
        if target is not None and op is not primitives.INVOKE:  # no thread sees a recorded call
            self._use(me, used, op.mode(option))
        self._tick(me)
        self._watch.step(me, target)
        return option

    def notify(self, task: Task) -> None:
        """Record that the task's next step happens after this one, or after the thread's end."""
        super().notify(task)
        if self.is_running and not self.current.done:
            self._watch.turn(self.current)  # what a barrier's action did belongs to this step
            self._tick(self.current)
        self._join(self._clocks, task, self.current)
        if self.current.done:
            self._join(self._forks, task, self.current)

    def wait_for_end(self, task: Task) -> None:
        """Record that the next step happens after the end of the task."""
        self._watch.turn(self.current)
        for clocks in (self._clocks, self._forks):
            self._join(clocks, self.current, task)
        super().wait_for_end(task)

    def catch_up_with(self, task: Task) -> None:
        """Record that the next step happens after the end of the task, if it has ended."""
        super().catch_up_with(task)
        if task.done:
            self._watch.turn(self.current)
            self._end_is_used(task)
            for clocks in (self._clocks, self._forks):
                self._join(clocks, self.current, task)

    def wait_is_over(self, task: Task) -> None:
        """Record the same, unless the timeout might have fired before the end."""
        if self.can_time_out and task.done:
            super().catch_up_with(task)
            self._end_is_used(task)
        else:
            self.catch_up_with(task)

    def happens_before(self, me: Task, task: Task, number: int) -> bool:
        """Whether the thread's step of this number happens before the present step of `me`."""
        return task is me or self._clocks.get(me.index, {}).get(task.index, 0) >= number

    def number(self, task: Task) -> int:
        """The number of the thread's present step."""
        return self._clocks.get(task.index, {}).get(task.index, 1)

    def _tick(self, task: Task) -> None:
        for clocks in (self._clocks, self._forks):
            clock = clocks.setdefault(task.index, {})
            clock[task.index] = clock.get(task.index, 1) + 1

    def _join(self, clocks: dict[int, Clock], task: Task, other: Task) -> None:
        if other.index < 0:
            return
        mine = clocks.setdefault(task.index, {})
        for index, number in clocks.get(other.index, {}).items():
            if index != other.index or other.done:
                mine[index] = max(mine.get(index, 0), number)
            else:
                mine[index] = max(mine.get(index, 0), number - 1)

    def _use(self, me: Task, target: Any, mode: int) -> None:
        self._kept.append(target)  # so that no other object gets its id
        writes, reads = self._objects.setdefault(id(target), ({}, {}))
        mine = self._clocks.setdefault(me.index, {})
        if not isinstance(target, Memory):  # all named code uses it, but it guards nothing
            for seen in (writes,) if mode == READ else (writes, reads):
                for index, number in seen.items():
                    mine[index] = max(mine.get(index, 0), number)
            # The code after this operation comes later than what the next user of the object sees.
            for index, number in mine.items():
                seen = reads if mode == READ else writes
                seen[index] = max(seen.get(index, 0), number)
        self._used(me, target)
        runs_beside = any(not task.done for task in self.tasks[1:])
        if me.index == 0 and runs_beside and not isinstance(target, threads.Thread):
            self.active[me.label] = None

    def _used(self, me: Task, target: Any) -> None:
        users = self._users.setdefault(id(target), {})
        fork = self._forks.setdefault(me.index, {})
        for index, (number, _) in users.items():
            if index != me.index and fork.get(index, 0) < number:
                self.common[name(target)] = None
        users[me.index] = fork.get(me.index, 0) + 1, name(target)

    def _end_is_used(self, task: Task) -> None:
        if self._forks.get(self.current.index, {}).get(task.index, 0) < self.number(task):
            self.common[f"the end of {task.label}"] = None

    def works(self, task: Task) -> None:
        """The thread does more in its present step than to start threads or wait for their ends."""
        clock = dict(self._forks.get(task.index, {}))
        now = clock.pop(task.index, 1), clock
        work = self._busy.setdefault(task.index, [])
        if work and work[-1][1] == clock:
            work[-1] = now
        else:
            work.append(now)

    def _find_active(self) -> None:
        """Find the threads that run while another one does."""
        others = self.tasks[1:]
        for one in others:
            self.works(one)  # after its last step, too
        for one in others:
            if any(self._overlap(one, other) for other in others if other is not one):
                self.active[one.label] = None

    def _overlap(self, one: Task, other: Task) -> bool:
        """Whether each of the two threads does something before the other one's end is known."""
        return any(
            clock.get(other.index, 0) < others_number and others_clock.get(one.index, 0) < number
            for number, clock in self._busy[one.index]
            for others_number, others_clock in self._busy[other.index]
        )

    def is_tracked(self, value: Any) -> bool:
        """Whether to get to this container or iterator through tracked data is a step."""
        return self.tracker is not None and self.tracker.has_version(value)

    def is_missed(self, value: Any) -> bool:
        """Whether tracked data holds this value, and there is a doubt about that."""
        return self.tracker is not None and self.tracker.misses(value)

    def doubt(self, sentence: str) -> None:
        """Add something that was not looked at."""
        self.doubts[sentence] = None

    def certificate(self, earlier: dict[str, None]) -> Certificate:
        """What the survey has found, with the doubts of the search before it."""
        doubts = dict(earlier) | self.doubts
        for each, never in self._unstarted.items():
            if never:
                doubts[
                    f"thread {each} was made but never started, so its code did not run: call its "
                    f"`start`"
                ] = None
        if not __debug__:
            doubts[OPTIMISED] = None
        if len(self.active) > 1 and not (self.common or self._watch.has_doubts):
            doubts[nothing_in_common(list(self.active), self._tried)] = None
        return Certificate(self.threads, tuple(self.common), tuple(doubts))


def survey(
    code: Subject, bound: Bound, earlier: dict[str, None], deadline: float, *, ran: int
) -> tuple[Certificate, Found | None]:
    """Make the certificate; `earlier` are the doubts of the search, `deadline` is its own.

    `ran` is the number of schedules of the search.

    If a schedule of the survey fails, the search has missed it; then this schedule comes, too.
    """
    found = None
    with closing(SurveyScheduler(limit=code.steps, ran=ran)) as scheduler:
        try:
            with code.laboratory(scheduler) as laboratory:
                scheduler.can_time_out = bound.timeouts != 0 and not scheduler.ordered
                limits = Limits(MOST + 1, deadline + AFTER_DEADLINE)
                # Preemptions do not count here: the accesses that race need not be steps.
                sample = Sample(scheduler, Bound(None, bound.timeouts))
                while (found := laboratory.find(sample, limits)) is not None:
                    if bound.preemptions is None or (
                        found.schedule.preemptions <= bound.preemptions
                    ):
                        break
                    if not sample.advance():
                        found = None
                        break
        except ScenarioError as error:
            scheduler.doubt(f"a schedule that was run again to see its steps failed: {error}")
        else:
            if laboratory.check is not None:
                laboratory.check.require_calls()
        return scheduler.certificate(earlier), found
