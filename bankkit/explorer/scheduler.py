"""Runs a program of several threads on one OS thread, one step at a time, in an order one chooses.

A *virtual thread* is a greenlet. It runs until it is about to do an operation that other threads
can notice (take a lock, notify, read a tracked attribute); there it says which, and the scheduler
decides who goes on. That operation with the plain code after it, up to the thread's next operation,
is one *step*. The `primitives` beside this file announce the operations; a *strategy* (see
`search`) makes the decisions.

Some moves are no decision, because they commute with everything that others do: a thread that was
started runs up to its first operation, a `join` returns once its thread has ended, a waiter of an
Event or a Barrier goes on once it is let go. They happen at once, and so the main thread that
starts and joins the others does not multiply the schedules.

Time is virtual and passes only when a timeout fires or somebody sleeps. Each thread has a clock of
its own, and an operation on an object carries the time over from the threads that used the object
before: Lamport's rule, "Time, clocks, and the ordering of events in a distributed system", CACM 21
(1978). So time never runs backwards along cause and effect, and schedules that differ only in the
order of unrelated operations tell the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from greenlet import getcurrent, greenlet

READ, WRITE = 0, 1
"""How an operation uses its object. Two of the same object conflict unless both read."""


class Abandoned(BaseException):
    """Unwinds a virtual thread whose schedule is over. No Exception: code must let it through."""


class Op:
    """A kind of operation: when it can be done, and which others it conflicts with."""

    __slots__ = ("code", "fires", "modes", "options", "waits", "words")

    def __init__(
        self,
        code: int,
        words: Sequence[str],
        options: Callable[[Task], Sequence[int]],
        modes: Sequence[int] = (WRITE,),
        *,
        fires: bool = False,
        waits: bool = False,
    ) -> None:
        self.code = code
        self.words = words
        """What it does, a phrase for each option; `{}` stands for the object's name."""
        self.options = options
        """The ways in which the task can do it now, the best last; none while it is blocked."""
        self.modes = modes
        """READ or WRITE for each option."""
        self.fires = fires
        """Option 1 is a timeout: no reason to call the thread able to run."""
        self.waits = waits
        """It is possible only while its object is available (a lock free, a semaphore above 0)."""

    def mode(self, option: int) -> int:
        return self.modes[min(option, len(self.modes) - 1)]

    def phrase(self, option: int, name: str) -> str:
        return self.words[min(option, len(self.words) - 1)].format(name)


class Task:
    """The scheduler's side of a virtual thread. Tasks are used again from schedule to schedule."""

    __slots__ = (
        "arg", "base", "daemon", "done", "greenlet", "index", "joiners", "key", "label", "last",
        "made", "notified", "now", "op", "option", "other", "past", "target", "thread", "work",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        """The how-manieth thread that was started; the main thread is 0."""
        self.work: Callable[[], Any] = _outside
        self.thread: Any = None
        self.label = ""
        """Its name, made unique within the schedule."""
        self.daemon = False
        self.greenlet: greenlet | None = None
        """Where it runs, from its first line to its last."""
        self.done = False
        self.op: Op | None = None
        """The operation it is about to do; None before its first and after its last."""
        self.target: Any = None
        """The object of that operation; None if it touches nothing shared."""
        self.other: Any = None
        """The object of option 1, if that is another."""
        self.arg: Any = None
        """What else the operation needs to know; its meaning is the operation's own."""
        self.option = 0
        """Which of the operation's options was chosen."""
        self.notified = False
        """A wait that has been answered."""
        self.joiners: list[Task] = []
        self.last = -1
        """The number of its last step, -1 before the first."""
        self.past: list[int] = []
        """Steps of others that let it come this far since: who started it, notified it, ended."""
        self.key = 0
        """The same number in all schedules that are equivalent; of its objects as well."""
        self.base = 0
        self.made = 0
        self.now = 0.0

    def reset(self, work: Callable[[], Any], thread: Any, label: str, daemon: bool) -> None:
        """Make ready for another thread. What is not set here is set before it is read."""
        self.work = work
        self.thread = thread
        self.label = label
        self.daemon = daemon
        self.greenlet = None
        self.done = False
        self.op = None
        self.last = -1
        self.made = 0
        self.now = 0.0
        if self.joiners:
            self.joiners = []
        self.past = []


class Strategy(Protocol):
    """Makes the decisions."""

    def decide(self) -> Task | None:
        """The task that goes next, its `option` and the scheduler's `depth` set; None ends it."""


class Scheduler:
    """The state of one schedule while it runs, and the operations that change it.

    `run` is called once for each schedule, and returns when a thread has raised something (see
    `failure`) or when the strategy says that nobody goes on.
    """

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        """The most steps of one schedule; the strategy keeps to it."""
        self.steps = 0
        """Grows with every operation of every schedule: a sign of life for the watchdog."""
        self.decide: Callable[[], Task | None] = _outside
        self.tasks: list[Task] = []
        self.depth = 0
        """How many steps were decided in this schedule."""
        self.eager: list[Task] = []
        """Tasks that go on at once, without a decision."""
        self.ended: list[Task] = []
        """Tasks that ended in the latest step; strategies that care empty it."""
        self.rescued: list[Task] = []
        """Tasks whose timeout the latest step made impossible, by letting them go."""
        self.only: Task | None = None
        """The one task that may be chosen, while it makes a choice of its own."""
        self.late = False
        """Some time has passed: only then clocks need to be compared."""
        self.failure: tuple[Task, BaseException] | None = None
        """Which thread of the scenario raised what, in this schedule."""
        self.raised: BaseException | None = None
        """Not the scenario's: KeyboardInterrupt, or an error of the scheduler's own."""
        self._spare: list[Task] = []
        self._idle: list[greenlet] = []
        self._labels: dict[str, int] = {}
        self._hub = Task(-1)
        self.current = self._hub
        self.family: dict[str, type[Any]] = {}
        """The primitives' classes that belong to this scheduler, by their names."""

    @property
    def is_running(self) -> bool:
        """A virtual thread has the turn."""
        return self.current is not self._hub

    @property
    def outer_frame(self) -> FrameType | None:
        """Where the code that called `run` stands, while a virtual thread has the turn."""
        hub = self._hub.greenlet
        return hub.gr_frame if hub is not None and self.is_running else None

    # The run of one schedule.

    def run(self, work: Callable[[], Any], strategy: Strategy) -> None:
        """Run `work` as the main thread until all threads have ended or nobody can go on."""
        self._spare += reversed(self.tasks)  # so that the first started is the first again
        self.tasks.clear()
        self.depth = 0
        self.eager.clear()
        self.ended.clear()
        self.rescued.clear()
        self.only = None
        self.late = False
        self.failure = self.raised = None
        self._labels.clear()
        self._hub.greenlet = getcurrent()
        self.decide = strategy.decide
        main = self.admit(work, None, "main", False)
        main.key = 1
        main.base = 1 << 20
        self.eager.clear()
        self.current = main
        try:
            while self.current is not self._hub:
                task = self.current
                if task.greenlet is None:
                    task.greenlet = self._idle.pop() if self._idle else greenlet(self._work)
                task.greenlet.switch()
        finally:
            self.abandon()
        if self.raised is not None:
            raise self.raised

    def abandon(self) -> None:
        """Unwind every thread that has not ended. Their operations no longer count."""
        self.decide = _unwind
        self.eager.clear()
        for task in self.tasks:
            if task.greenlet is not None and not task.greenlet.dead:
                self.current = task
                task.greenlet.throw(Abandoned)
            task.op = None
        self.decide = _outside
        self.current = self._hub

    @contextmanager
    def paused(self) -> Iterator[None]:
        """In this block, which a strategy enters in `decide`, the schedule stands still."""
        decide, current = self.decide, self.current
        self.decide, self.current = _outside, self._hub
        try:
            yield
        finally:
            self.decide, self.current = decide, current

    def close(self) -> None:
        """Give the workers up. No schedule can be run after this."""
        while self._idle:
            self._idle.pop().throw()

    def admit(self, work: Callable[[], Any], thread: Any, name: str, daemon: bool) -> Task:
        """A new task. It runs up to its first operation once the present one comes to its next."""
        task = self._spare.pop() if self._spare else Task(len(self.tasks))
        count = self._labels[name] = self._labels.get(name, 0) + 1
        task.reset(work, thread, name if count == 1 else f"{name}-{count}", daemon)
        parent = self.current
        task.past.append(parent.last)
        if parent.past:
            task.past += parent.past
        task.now = parent.now
        self.tasks.append(task)
        self.eager.append(task)
        return task

    def point(self, op: Op, target: Any, arg: Any = None, other: Any = None) -> int:
        """The present thread is about to do this; returns the option chosen, once it is its turn.

        What the caller does next, up to its next operation, is part of the step.
        """
        me = self.current
        me.op = op
        me.target = target
        me.arg = arg
        me.other = other
        self.steps += 1
        if self.eager:
            chosen: Task | None = self.eager.pop(0)
        else:
            try:
                chosen = self.decide()
            except Exception as error:
                if self.decide is _outside:
                    raise
                self.raised = error  # the strategy's: the scenario is not to blame, nor told
                chosen = None
        if chosen is not me:
            self._switch(chosen or self._hub)
        if self.late and target is not None:
            me.now = target.now = max(me.now, target.now)
        return me.option

    def choose(self, op: Op, n: int, what: str) -> int:
        """One of n, as the strategy decides. The thread goes on: nobody else can tell."""
        me = self.current
        me.op = op
        me.target = None
        me.arg = n
        me.other = what
        self.steps += 1
        self.only = me
        chosen = self.decide()
        self.only = None
        if chosen is None:
            self._switch(self._hub)
        return me.option

    def pause(self, op: Op, target: Any, arg: Any = None) -> int:
        """As `point`, for a wait that ends when somebody calls `let_go`, or by its timeout."""
        self.current.notified = False
        return self.point(op, target, arg)

    def let_go(self, task: Task) -> None:
        """End the task's `pause`: it goes on before anybody else does a step."""
        self.tell(task)
        task.option = 0
        self.eager.append(task)

    def tell(self, task: Task) -> None:
        """Answer a task's wait: what it does from now on comes after the present step."""
        task.notified = True
        me = self.current
        task.past += [me.last, *me.past]
        if self.late:
            task.now = max(task.now, me.now)
        if task.op is not None and task.op.fires:
            self.rescued.append(task)

    def wait_for_end(self, task: Task) -> None:
        """The present thread now comes after the last step of a task that has ended."""
        me = self.current
        me.past += [task.last, *task.past]
        if self.late:
            me.now = max(me.now, task.now)

    def let_time_pass(self, seconds: float) -> None:
        """The present thread has waited so long."""
        if seconds > 0:
            self.late = True
            self.current.now += seconds

    def register(self, target: Any) -> None:
        """Give a new object a number that does not depend on what unrelated threads do."""
        me = self.current
        me.made += 1
        target.key = me.base + me.made
        target.now = me.now

    # Greenlets. A worker that has finished a task waits for the next: making one costs more.

    def _switch(self, task: Task) -> None:
        self.current = task
        worker = task.greenlet
        if worker is None:
            if self._idle:
                worker = task.greenlet = self._idle.pop()
            else:
                # A greenlet inherits the depth of the stack that starts it. Were a worker started
                # by another, which was started by another, the recursion limit would be reached.
                worker = self._hub.greenlet
        assert worker is not None
        worker.switch()

    def _work(self) -> None:
        while True:
            task = self.current
            chosen: Task | None = None
            try:
                task.work()
            except Abandoned:
                self.current = self._hub
                return
            except (SystemExit, Exception) as error:
                if self.decide is _unwind:
                    return
                if not isinstance(error, SystemExit):  # which ends a thread quietly
                    self.failure = task, error
            except BaseException as error:
                self.raised = error
            task.done = True
            task.op = None
            if self.failure is None and self.raised is None:
                try:
                    chosen = self._after(task)
                except BaseException as error:
                    self.raised = error
            self._idle.append(getcurrent())
            task.greenlet = None
            self._switch(chosen or self._hub)

    def _after(self, task: Task) -> Task | None:
        for joiner in task.joiners:
            self.let_go(joiner)
        self.ended.append(task)
        return self.eager.pop(0) if self.eager else self.decide()


def _outside() -> Task | None:
    raise RuntimeError("This object belongs to a schedule that is not running.")


def _unwind() -> Task | None:
    raise Abandoned
