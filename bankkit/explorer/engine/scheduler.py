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

import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from sys import getrefcount
from threading import ExceptHookArgs, get_ident
from types import FrameType
from typing import Any, NoReturn, Protocol

from greenlet import GreenletExit, getcurrent, greenlet
from greenlet import error as GreenletError

from bankkit.explorer.engine.endable import SENT
from bankkit.explorer.engine.unwinding import Abandoned, Insistence, keep_forever
from bankkit.explorer.errors import NotInSchedule, ScenarioError, Unsupported

READ, WRITE = 0, 1
"""How an operation uses its object. Two operations on one object conflict unless both read."""

Use = tuple[int, int, bool]
"""An object's key, READ or WRITE, and whether a thread that waits for the object could continue."""

PATIENT, INSISTENT = 20, 40
"""After so many operations while it is unwound, a thread is traced; then it is left as it is."""


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
        waits: Sequence[int] = (),
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
        """The options that need an available object (a lock that is free, a semaphore above 0)."""

    def mode(self, option: int) -> int:
        """READ or WRITE: how this option uses the object."""
        return self.modes[min(option, len(self.modes) - 1)]

    def phrase(self, option: int, name: str) -> str:
        """What this option does with the object of this name, in words."""
        return self.words[min(option, len(self.words) - 1)].format(name)


REAL_THREAD = (
    "a real thread used an object of the explorer's `threading`, and the order of its steps was "
    "not varied: start threads with the `threading` that the scenario is given"
)


class Task:
    """The scheduler's record of a virtual thread. The next schedule uses the same tasks again."""

    __slots__ = (
        "arg", "asked", "base", "daemon", "done", "due", "ended", "greenlet", "index", "joiners",
        "key", "label", "last", "made", "notified", "now", "op", "option", "other", "past",
        "target", "thread", "work",
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
        """Whether it has made its last step."""
        self.ended = False
        """Whether a thread has seen its end, which may come later than its last step."""
        self.asked: set[int] = set()
        """The threads that have seen it alive after its last step."""
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
        self.due = 0.0
        """When the timeout of its operation fires, on the same clock."""

    def reset(self, work: Callable[[], Any], thread: Any, label: str, daemon: bool) -> None:
        """Prepare for another thread. Attributes not set here are set before they are read."""
        self.work = work
        self.thread = thread
        self.label = label
        self.daemon = daemon
        self.greenlet = None
        self.done = self.ended = False
        if self.asked:
            self.asked = set()
        self.op = None
        self.last = -1
        self.made = 0
        self.now = 0.0
        if self.joiners:
            self.joiners = []
        self.past = []


class Decider(Protocol):
    """Decides which thread makes the next step, and which option it takes."""

    def decide(self) -> Task | None:
        """The next task, with its `option` and the scheduler's `depth` set; None ends the run."""


class Watcher(Protocol):
    """Watches the decisions of a schedule."""

    def begin(self, decide: Callable[[], Task | None]) -> Callable[[], Task | None]:
        """A new schedule begins. Return what decides in it, which calls `decide`."""


class Scheduler:
    """The state of one schedule while it runs, and the operations that change it.

    Call `run` once for each schedule. It returns when a thread has raised an exception (see
    `failure`) or when the strategy ends the schedule.
    """

    __slots__ = (
        "_hub", "_idle", "_labels", "_os_thread", "_read_at", "_registered", "_spare", "_unwound",
        "also", "at_close", "clock", "current", "decide", "depth", "doubts", "eager", "end",
        "excepthook", "failure", "family", "insistence", "is_unwinding", "late", "left", "limit",
        "living", "most", "nested", "only", "ordered", "overtaking", "raised", "rescued",
        "schedule", "spinning", "spins", "steps", "tasks", "tracker", "trusted", "unreducible",
        "watchers",
    )  # fmt: skip

    slowness = 1.0
    """How many times longer than usual a step may take before its schedule counts as stuck."""

    def __init__(self, *, limit: int) -> None:
        self.most = limit
        """The most steps of one schedule."""
        self.limit = limit
        """The number of steps after which the strategy asks whether the schedule may go on."""
        self.spins = False
        """Whether a thread was found in a loop that only looks, when a schedule became long."""
        self.spinning: Any = None
        """What puts threads in such loops to sleep, a `Spinning`, if that is asked for."""
        self.overtaking: Any = None
        """What counts how often waiting threads are overtaken, if that is asked for."""
        self.watchers: list[Watcher] = []
        """What else watches the decisions."""
        self.steps = 0
        """Counts the operations of all schedules, so that the watchdog sees progress."""
        self.schedule = 0
        """The number of the present schedule."""
        self.decide: Callable[[], Task | None] = _outside
        self.tasks: list[Task] = []
        self.depth = 0
        """How many steps of this schedule are decided."""
        self.eager: list[Task] = []
        """Tasks that continue at once, without a decision."""
        self.also: list[Use] = []
        """What the latest step has used beside its target, such as a thread that it started.
        A strategy that needs the list also clears it."""
        self.rescued: list[tuple[int, int, int, bool]] = []
        """The timeouts that cannot fire any more, because the latest step has answered the wait.
        Each is a task's index, the key and mode of its use, and whether it needs that available."""
        self.only: Task | None = None
        """The only task that may be chosen, while that task is in `choose`."""
        self.late = False
        """Whether any time has passed; before that, all clocks are equal."""
        self._read_at: dict[int, float] = {}
        """The latest time at which each object was read, by its key."""
        self.nested = False
        """Whether threads other than main have started some, so that start order may vary."""
        self.failure: tuple[Task, BaseException] | None = None
        """The scenario's exception in this schedule, and the thread that raised it."""
        self.raised: BaseException | None = None
        """An exception that is not the scenario's: KeyboardInterrupt, or a scheduler's error."""
        self.living = 0
        """How many threads have not ended, without daemon threads."""
        self.end = 0
        """The depth at which the last of them ended."""
        self.excepthook: Callable[[Any], object] | None = None
        """What the scenario has set as `threading.excepthook` in this schedule."""
        self.unreducible = ""
        """Which operation of the scenario has effects that no reduction knows of; empty if none."""
        self.ordered = False
        """Whether timeouts fire in the order in which they are due."""
        self.clock = 0.0
        """When the latest timeout fired, if they fire in order."""
        self._registered: list[Any] = []
        """The objects of the present schedule."""
        self.is_unwinding = False
        """Whether the schedule is over and its threads are being unwound."""
        self.insistence = Insistence()
        self.left = 0
        """How many threads could not be unwound, because they catch every exception and go on."""
        self._unwound = 0
        """Operations of the thread that is being unwound, which all raise `Abandoned`."""
        self.doubts: dict[str, None] = {}
        """What was not looked at in any schedule so far, in sentences: these are the keys."""
        self.tracker: Any = None
        """The `tracking.Tracker` of its schedules, once there is one."""
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
    def in_thread(self) -> bool:
        """Whether the caller is code of a virtual thread."""
        return self.is_running and getcurrent() is not self._hub.greenlet

    @property
    def is_over(self) -> bool:
        """Whether the schedule is over, so that its threads only unwind."""
        return self.is_unwinding

    @property
    def outer_frame(self) -> FrameType | None:
        """The frame of the code that called `run`, while a virtual thread has the turn."""
        hub = self._hub.greenlet
        return hub.gr_frame if hub is not None and self.is_running else None

    def run(self, work: Callable[[], Any], strategy: Decider) -> None:
        """Run `work` as the main thread until all threads have ended or none can continue.

        Raises an exception that is not the scenario's; `failure` has the scenario's.
        """
        self._spare += reversed(self.tasks)  # each task gets the same start order again
        self.tasks.clear()
        self.decide = _abandoned  # what is finalized now belongs to the schedule before
        self.failure = self.raised = None
        self.depth = 0
        self.eager.clear()
        self.also.clear()
        self.rescued.clear()
        self.trusted.clear()
        self.only = None
        self.late = self.nested = False
        self._read_at.clear()
        self.schedule += 1
        self.living = 0
        self.excepthook = None
        self.clock = 0.0
        self._labels.clear()
        self._retire()
        self._hub.greenlet = getcurrent()
        self._os_thread = get_ident()
        self.decide = strategy.decide
        for watcher in self.watchers:
            self.decide = watcher.begin(self.decide)
        main = self.admit(work, None, "main", False)
        main.greenlet = self._idle.pop() if self._idle else greenlet(self._work)
        main.greenlet.gr_context = copy_context()  # the other threads start with an empty one
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
            for watcher in self.watchers:
                watcher.begin(_outside)  # it keeps nothing of the schedule
        if self.raised is not None:
            raise self.raised

    def stop(self, error: BaseException) -> None:
        """End the running schedule at its next operation; then `run` raises this error.

        An earlier error stays, and a schedule that is over keeps its end. A signal handler may call
        this, and the named code of `lines=`.
        """
        if self.is_running and not self.is_unwinding:
            if self.raised is None:
                self.raised = error
            self.decide = self._stop

    def mute(self) -> None:
        """Until the next schedule, operations raise `Abandoned`: they belong to finalizers."""
        self.decide = _abandoned

    def abandon(self) -> None:
        """Unwind every thread that has not ended; its further operations raise `Abandoned`."""
        self.is_unwinding = True
        self.decide = self._unwind
        self.eager.clear()
        self.insistence.end()
        for task in self.tasks:
            if task.greenlet:  # not for one that has not begun
                self.current = task
                self._unwound = 0
                task.greenlet.throw(Abandoned)
                self.insistence.end()
            # Whatever a thread has kept alive is finalized now, not in the next schedule.
            task.greenlet = task.op = task.thread = task.target = task.other = task.arg = None
            task.work = _outside
            if task.joiners:
                task.joiners = []
        self.decide = _outside
        self.current = self._hub
        self.is_unwinding = False

    def leave(self) -> None:
        """Leave the present thread as it is: it never continues, and it is never freed."""
        self.left += 1
        keep_forever(getcurrent())
        self.current.greenlet = None
        self._switch(self._hub)

    def _unwind(self) -> Task | None:
        if self.in_thread:  # not in a finalizer
            self._unwound += 1
            if self._unwound > INSISTENT:
                self.leave()
            if self._unwound > PATIENT:
                self.insistence.begin(sys._getframe(1))
        raise Abandoned

    def _stop(self) -> Task | None:
        """End the schedule instead of deciding."""
        if self.is_unwinding:
            raise Abandoned
        return None

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
        if parent.index > 0:
            self.nested = True
        task.past.append(parent.last)
        if parent.past:
            task.past += parent.past
        task.now = parent.now
        self.tasks.append(task)
        if not self.is_unwinding:
            self.eager.append(task)
        if not daemon:
            self.living += 1
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
        if self.eager and not self.is_unwinding:
            chosen: Task | None = self.eager.pop(0)
        else:
            try:
                chosen = self.decide()
            except Exception as error:
                if self.decide is _outside:
                    raise
                if isinstance(error, RecursionError):
                    error = _too_deep(me)
                self.raised = error  # an error of the strategy, which the scenario must not see
                chosen = None
        if chosen is not me:
            self._switch(chosen or self._hub)
        if self.late and target is not None:
            used = target if other is None or not me.option else other
            now = max(me.now, used.explorer_now)
            if op.mode(me.option) == READ:  # reads commute, so none may delay another
                self._read_at[used.explorer_key] = max(
                    now, self._read_at.get(used.explorer_key, 0.0)
                )
            else:
                used.explorer_now = now = max(now, self._read_at.get(used.explorer_key, 0.0))
            me.now = now
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
        try:
            chosen = self.decide()
        except Exception as error:
            if self.decide is _outside:
                raise
            if isinstance(error, RecursionError):
                error = _too_deep(me)
            self.raised, chosen = error, None
        self.only = None
        if chosen is None:
            self._switch(self._hub)
        return me.option

    def pause(self, op: Op, target: Any, arg: Any = None) -> int:
        """Like `point`, for a wait that ends by a call of `let_go` or by its timeout."""
        self.current.notified = False
        return self.point(op, target, arg)

    def pause_for(self, op: Op, target: Any, seconds: float) -> bool:
        """Like `timed`, for a wait that ends by a call of `let_go` or by its timeout."""
        self.current.notified = False
        return self.timed(op, target, seconds)

    def let_go(self, task: Task) -> None:
        """End the task's `pause`: it continues before any other thread makes a step."""
        self.notify(task)
        task.option = 0
        if not self.is_unwinding:
            self.eager.append(task)

    def notify(self, task: Task) -> None:
        """Answer a task's wait: its next step happens after the present step."""
        task.notified = True
        me = self.current
        task.past += [me.last, *me.past]
        if self.late:
            task.now = max(task.now, me.now)
        if task.op is not None and task.op.fires:
            used = task.target if task.other is None else task.other
            self.rescued.append(
                (task.index, used.explorer_key, task.op.mode(1), 1 in task.op.waits)
            )

    def wait_for_end(self, task: Task) -> None:
        """Record that the present thread's next step happens after the end of this task."""
        me = self.current
        task.ended = True
        me.past += [task.last, *task.past]
        self.catch_up_with(task)

    def catch_up_with(self, task: Task) -> None:
        """Advance the present thread's clock to the end of this task, if it has ended."""
        if self.late and task.done:
            self.current.now = max(self.current.now, task.now)

    def wait_is_over(self, task: Task) -> None:
        """Do the same when a wait for the end of this task with a timeout is over."""
        self.catch_up_with(task)

    def timed(
        self, op: Op, target: Any, seconds: float, arg: Any = None, other: Any = None
    ) -> bool:
        """Like `point`, for an operation whose option 1 is a timeout; whether that has fired."""
        me = self.current
        if self.ordered:
            me.now = max(me.now, self.clock)
            me.due = me.now + seconds
        if not self.point(op, target, arg, other):
            return False
        if self.ordered:
            self.clock = me.due
        self.let_time_pass(seconds)
        return True

    def let_time_pass(self, seconds: float) -> None:
        """Advance the present thread's clock."""
        if seconds > 0:
            self.late = True
            self.current.now += seconds

    def register(self, target: Any) -> None:
        """Give a new object a key that does not depend on the steps of unrelated threads."""
        me = self.current
        me.made += 1
        target.explorer_key = me.base + me.made
        target.explorer_now = me.now
        self._registered.append(target)

    def trust(self, thing: Any) -> None:
        """Do not look at the code of this object for the rest of the schedule."""
        self.trusted.append(thing)

    def refuse(self, reason: str) -> NoReturn:
        """End the search with `Unsupported`, even if the scenario catches every exception."""
        self.stop(Unsupported(reason))
        raise Abandoned

    def _retire(self) -> None:
        """Make the objects of the last schedule unusable, if the scenario has kept them."""
        for target in self._registered:
            if getrefcount(target) > _UNSHARED and hasattr(target, "_explorer"):
                target._explorer = _FINISHED
        self._registered.clear()

    def refuse_other_os_threads(self) -> None:
        """Raise RuntimeError in any other OS thread than the one that runs the schedule."""
        if get_ident() == self._os_thread:
            return
        self.doubts[REAL_THREAD] = None
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
                if (returned := task.work()) is not None:
                    self._note_returned(task, returned)
            except Abandoned:
                self.current = self._hub
                return
            except ScenarioError as error:
                self.raised = self.raised or error
            except BaseException as error:
                if self.is_unwinding:
                    return
                if _is_for_the_caller(error):
                    self.raised = error
                elif not isinstance(error, SystemExit):  # SystemExit only ends its thread
                    hook = None if task is self.tasks[0] else self.excepthook
                    if hook is not None and not isinstance(task.work, _Hook):
                        task.work = _Hook(hook, task.thread, error)
                        continue  # the thread goes on with the hook
                    self.failure = task, error
                else:
                    self.doubts[
                        f"thread {task.label} called sys.exit, and what it would have done after "
                        f"that was not looked at: return from the function instead"
                    ] = None
            returned = None  # a waiting worker would keep it alive
            if self.is_unwinding:  # the code has caught `Abandoned` and returned
                return
            task.done = True
            task.op = None
            if not task.daemon:
                self.living -= 1
                self.end = self.depth
            if self.failure is None and self.raised is None:
                try:
                    chosen = self._after(task)
                except BaseException as error:
                    self.raised = error
            worker = getcurrent()
            if worker.gr_context is not None:  # the next thread starts with an empty one
                worker.gr_context = None
            self._idle.append(worker)
            task.greenlet = None
            self._switch(chosen or self._hub)

    def _note_returned(self, task: Task, returned: Any) -> None:
        """Note if the work was only prepared: a coroutine or a generator has not run any of it."""
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
        self.also.append((task.key, WRITE, True))
        return self.eager.pop(0) if self.eager else self.decide()


def _is_for_the_caller(error: BaseException) -> bool:
    """Whether an exception of the scenario ends the search, and not only its thread.

    Those of pytest are for pytest, except for that of `pytest.fail`: it is about the program.
    """
    outcomes = sys.modules.get("_pytest.outcomes")
    if outcomes is not None and isinstance(error, (outcomes.OutcomeException, outcomes.Exit)):
        return type(error) is not outcomes.Failed  # that of `xfail` is a subclass
    return isinstance(error, (KeyboardInterrupt, GreenletExit, *SENT))


def _too_deep(task: Task) -> ScenarioError:
    return ScenarioError(
        f"Thread {task.label} is so deep in calls that those of the explorer reach the recursion "
        f"limit: find out why it calls itself so often, or raise the limit with "
        f"`sys.setrecursionlimit`."
    )


def _outside() -> Task | None:
    raise NotInSchedule("This object belongs to a schedule that is not running.")


class _Hook:
    """The scenario's `excepthook`, about to be called with the exception that ended a thread."""

    def __init__(self, hook: Callable[[Any], object], thread: Any, error: BaseException) -> None:
        self._hook = hook
        self._args = ExceptHookArgs((type(error), error, error.__traceback__, thread))

    def __call__(self) -> None:
        self._hook(self._args)


class _Finished:
    """What objects of an earlier schedule have in place of their scheduler."""

    is_running = False
    current = Task(-2)

    def __getattr__(self, name: str) -> NoReturn:
        raise NotInSchedule(
            "The scenario uses a primitive of an earlier schedule, so that schedule is not running "
            "any more. Make the primitive in the scenario, or where its module is imported."
        )


_FINISHED = _Finished()


def _references(targets: list[Any]) -> int:
    """What `getrefcount` gives in `Scheduler._retire` for an object that nobody else has."""
    for target in targets:
        return getrefcount(target)
    return 0


_UNSHARED = _references([object()])


def _abandoned() -> Task | None:
    raise Abandoned
