"""Runs a program of several threads on one OS thread, one step at a time, in a chosen order.

A *virtual thread* is a greenlet. It runs until it is about to do an operation that other threads
can observe (take a lock, notify, read a tracked attribute). There it announces the operation, and
the scheduler decides which thread continues. An operation and the plain code after it, up to the
thread's next operation, are one *step*. The classes in `primitives` announce the operations; a
*strategy* (see `depth_first`) makes the decisions.

Some moves need no decision, because they commute with everything that other threads do: a started
thread runs up to its first operation, a `join` returns once its thread has ended, and a released
waiter of an Event or a Barrier continues. They happen at once, so a main thread that starts and
joins the others does not multiply the schedules.

Time is virtual and passes only when a timeout fires or a thread sleeps. Each thread has its own
clock, and an operation on an object advances that clock to the time of the threads that used the
object before: Lamport's rule, "Time, clocks, and the ordering of events in a distributed system",
CACM 21 (1978). So time never runs backwards from cause to effect, and schedules that differ only in
the order of unrelated operations give the same times.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from types import FrameType
from typing import Any, Protocol

from greenlet import error as GreenletError
from greenlet import getcurrent, greenlet

READ, WRITE = 0, 1
"""How an operation uses its object. Two operations on one object conflict unless both read."""


class Abandoned(BaseException):
    """Unwinds a virtual thread after its schedule. `except Exception` in a scenario misses it."""


class Op:
    """A kind of operation: when it is possible, and which operations it conflicts with."""

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
        """A phrase for each option; `{}` stands for the object's name."""
        self.options = options
        """The options that a task has now, the preferred one last; none while it is blocked."""
        self.modes = modes
        """READ or WRITE for each option."""
        self.fires = fires
        """Whether option 1 is a timeout, which does not make the thread count as able to run."""
        self.waits = waits
        """Whether its object must be available (a lock that is free, a semaphore above 0)."""

    def mode(self, option: int) -> int:
        """READ or WRITE: how this option uses the object."""
        return self.modes[min(option, len(self.modes) - 1)]

    def phrase(self, option: int, name: str) -> str:
        """What this option does with the object of this name, in words."""
        return self.words[min(option, len(self.words) - 1)].format(name)


class Task:
    """The scheduler's record of a virtual thread. The next schedule uses the same tasks again."""

    __slots__ = (
        "arg", "base", "daemon", "done", "greenlet", "index", "joiners", "key", "label", "last",
        "made", "notified", "now", "op", "option", "other", "past", "target", "thread", "work",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        """Start order; the main thread is 0."""
        self.work: Callable[[], Any] = _outside
        self.thread: Any = None
        self.label = ""
        """Its name, made unique within the schedule."""
        self.daemon = False
        self.greenlet: greenlet | None = None
        """The greenlet that runs it, from its first line to its last."""
        self.done = False
        self.op: Op | None = None
        """The operation that it is about to do; None before its first and after its last."""
        self.target: Any = None
        """The object of that operation; None if it uses nothing shared."""
        self.other: Any = None
        """The object of option 1, if that is a different one."""
        self.arg: Any = None
        """More data for the operation, which defines what it means."""
        self.option = 0
        """The chosen option of the operation."""
        self.notified = False
        """Whether its wait has been answered."""
        self.joiners: list[Task] = []
        self.last = -1
        """The number of its last step, -1 before the first."""
        self.past: list[int] = []
        """Other threads' steps that let it continue since: they started it, notified it, ended."""
        self.key = 0
        """A number that is the same in all equivalent schedules. Objects have such a key, too."""
        self.base = 0
        """The keys of the objects that it makes come after this number."""
        self.made = 0
        """How many objects it has made."""
        self.now = 0.0
        """Its clock, in seconds of virtual time."""

    def reset(self, work: Callable[[], Any], thread: Any, label: str, daemon: bool) -> None:
        """Prepare for another thread. Attributes not set here are set before they are read."""
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
    """Decides which thread makes the next step, and which option it takes."""

    def decide(self) -> Task | None:
        """The next task, with its `option` and the scheduler's `depth` set; None ends the run."""


class Scheduler:
    """The state of one schedule while it runs, and the operations that change it.

    Call `run` once for each schedule. It returns when a thread has raised an exception (see
    `failure`) or when the strategy ends the schedule.
    """

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        """The most steps of one schedule; the strategy enforces it."""
        self.steps = 0
        """Counts the operations of all schedules, so that the watchdog sees progress."""
        self.decide: Callable[[], Task | None] = _outside
        self.tasks: list[Task] = []
        self.depth = 0
        """How many steps of this schedule are decided."""
        self.eager: list[Task] = []
        """Tasks that continue at once, without a decision."""
        self.ended: list[Task] = []
        """Tasks that ended in the latest step. A strategy that needs the list also clears it."""
        self.rescued: list[Task] = []
        """Tasks whose wait the latest step answered, so that their timeout cannot fire any more."""
        self.only: Task | None = None
        """The only task that may be chosen, while that task is in `choose`."""
        self.late = False
        """Whether any time has passed; before that, all clocks are equal."""
        self.failure: tuple[Task, BaseException] | None = None
        """The scenario's exception in this schedule, and the thread that raised it."""
        self.raised: BaseException | None = None
        """An exception that is not the scenario's: KeyboardInterrupt, or a scheduler's error."""
        self.doubts: dict[str, None] = {}
        """What was not looked at in any schedule so far, in sentences: these are the keys."""
        self.trusted: list[Any] = []
        """The objects of this schedule whose code is not looked at, by the scenario's wish."""
        self.at_close: list[Callable[[], object]] = []
        """Called by `close`."""
        self._spare: list[Task] = []
        self._idle: list[greenlet] = []
        self._labels: dict[str, int] = {}
        self._os_thread = get_ident()
        self._hub = Task(-1)
        self.current = self._hub
        self.family: dict[str, type[Any]] = {}
        """This scheduler's own subclasses of the primitives, by name."""

    @property
    def is_running(self) -> bool:
        """Whether a virtual thread has the turn."""
        return self.current is not self._hub

    @property
    def outer_frame(self) -> FrameType | None:
        """The frame of the code that called `run`, while a virtual thread has the turn."""
        hub = self._hub.greenlet
        return hub.gr_frame if hub is not None and self.is_running else None

    def run(self, work: Callable[[], Any], strategy: Strategy) -> None:
        """Run `work` as the main thread until all threads have ended or none can continue.

        Raises an exception that is not the scenario's; `failure` has the scenario's.
        """
        self._spare += reversed(self.tasks)  # each task gets the same start order again
        self.tasks.clear()
        self.depth = 0
        self.eager.clear()
        self.ended.clear()
        self.rescued.clear()
        self.trusted.clear()
        self.only = None
        self.late = False
        self.failure = self.raised = None
        self._labels.clear()
        self._hub.greenlet = getcurrent()
        self._os_thread = get_ident()
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
        """Unwind every thread that has not ended; its further operations raise `Abandoned`."""
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
        """Pause the schedule during this block, which a strategy enters in `decide`."""
        decide, current = self.decide, self.current
        self.decide, self.current = _outside, self._hub
        try:
            yield
        finally:
            self.decide, self.current = decide, current

    def close(self) -> None:
        """End the worker greenlets. No schedule can run after this."""
        for clean_up in self.at_close:
            clean_up()
        while self._idle:
            self._idle.pop().throw()

    def admit(self, work: Callable[[], Any], thread: Any, name: str, daemon: bool) -> Task:
        """Add a task. It runs to its first operation when the present task reaches its next one."""
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
        """Announce an operation of the present thread; return the chosen option when it may run.

        What the caller does then, up to its next operation, is part of the step.
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
                self.raised = error  # an error of the strategy, which the scenario must not see
                chosen = None
        if chosen is not me:
            self._switch(chosen or self._hub)
        if self.late and target is not None:
            me.now = target.now = max(me.now, target.now)
        return me.option

    def choose(self, op: Op, n: int, what: str) -> int:
        """A number below n, as the strategy decides. The choice is visible only to this thread."""
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
        """Like `point`, for a wait that ends by a call of `let_go` or by its timeout."""
        self.current.notified = False
        return self.point(op, target, arg)

    def let_go(self, task: Task) -> None:
        """End the task's `pause`: it continues before any other thread makes a step."""
        self.notify(task)
        task.option = 0
        self.eager.append(task)

    def notify(self, task: Task) -> None:
        """Answer a task's wait: its next step happens after the present step."""
        task.notified = True
        me = self.current
        task.past += [me.last, *me.past]
        if self.late:
            task.now = max(task.now, me.now)
        if task.op is not None and task.op.fires:
            self.rescued.append(task)

    def wait_for_end(self, task: Task) -> None:
        """Record that the present thread's next step happens after the end of this task."""
        me = self.current
        me.past += [task.last, *task.past]
        self.catch_up_with(task)

    def catch_up_with(self, task: Task) -> None:
        """Advance the present thread's clock to the end of this task, if it has ended."""
        if self.late and task.done:
            self.current.now = max(self.current.now, task.now)

    def let_time_pass(self, seconds: float) -> None:
        """Advance the present thread's clock."""
        if seconds > 0:
            self.late = True
            self.current.now += seconds

    def register(self, target: Any) -> None:
        """Give a new object a key that does not depend on the steps of unrelated threads."""
        me = self.current
        me.made += 1
        target.key = me.base + me.made
        target.now = me.now

    def refuse_other_os_threads(self) -> None:
        """Raise RuntimeError in any other OS thread than the one that runs the schedule."""
        if get_ident() == self._os_thread:
            return
        self.doubts[
            "a real thread used an object of the explorer's `threading`, and the order of its "
            "steps was not varied: start threads with the `threading` that the scenario is given"
        ] = None
        raise RuntimeError("This object belongs to the explorer; a real thread cannot use it.")

    # A worker greenlet that has finished a task is used for another: to create one costs more.

    def _switch(self, task: Task) -> None:
        self.current = task
        worker = task.greenlet
        if worker is None:
            if self._idle:
                worker = task.greenlet = self._idle.pop()
            else:
                # A greenlet inherits the stack depth of its starter. If each worker started the
                # next one, they would reach the recursion limit, so the hub starts them all.
                worker = self._hub.greenlet
        assert worker is not None
        try:
            worker.switch()
        except GreenletError:
            self.refuse_other_os_threads()
            raise

    def _work(self) -> None:
        while True:
            task = self.current
            chosen: Task | None = None
            try:
                self._note_returned(task, task.work())
            except Abandoned:
                self.current = self._hub
                return
            except (SystemExit, Exception) as error:
                if self.decide is _unwind:
                    return
                if not isinstance(error, SystemExit):  # SystemExit only ends its thread
                    self.failure = task, error
                else:
                    self.doubts[
                        f"thread {task.label} called sys.exit, and what it would have done after "
                        f"that was not looked at: return from the function instead"
                    ] = None
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

    def _note_returned(self, task: Task, returned: Any) -> None:
        """Note if the work was only prepared: a coroutine or a generator has not run any of it."""
        if returned is None:
            return
        if hasattr(type(returned), "__await__") or isinstance(returned, Generator | AsyncGenerator):
            kind = type(returned).__name__.replace("_", " ")
            self.doubts[
                f"the function of thread {task.label} returned a {kind}, and none of its code ran: "
                f"give the explorer a plain function"
            ] = None
            if hasattr(returned, "close"):
                returned.close()

    def _after(self, task: Task) -> Task | None:
        for joiner in task.joiners:
            self.let_go(joiner)
        self.ended.append(task)
        return self.eager.pop(0) if self.eager else self.decide()


def _outside() -> Task | None:
    raise RuntimeError("This object belongs to a schedule that is not running.")


def _unwind() -> Task | None:
    raise Abandoned
