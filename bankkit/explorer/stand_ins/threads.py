"""Stand-ins for `threading.Thread` and `threading.Timer`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from bankkit.explorer.engine.scheduler import WRITE, Scheduler, Task
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.stand_ins.primitives import Primitive

_INHERITS = bool(getattr(sys.flags, "thread_inherit_context", False))
"""Whether a new thread starts with a copy of its starter's context (Python 3.14, an option)."""


class Thread(Primitive):
    """A virtual thread. Subclasses may override `run`."""

    explorer_context: Context | None = None
    """The context in which it runs; None for an empty one."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        context: Context | None = None,
    ) -> None:
        assert group is None, "group argument must be None for now"
        self._target = target
        self._args = args
        self._kwargs = {} if kwargs is None else kwargs
        self._name = str(name or getattr(target, "__name__", None) or type(self).__name__)
        self._daemonic = self._explorer.current.daemon if daemon is None else daemon
        if context is not None:
            self.explorer_context = context
        self.explorer_task: Task | None = None
        self.explorer_starter: Task | None = None
        self._explorer.register(self)

    def __repr__(self) -> str:
        return f"<Thread {self._name}>"

    @property
    def name(self) -> str:
        """Its name. A schedule calls it by the name that it has when it starts."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = str(name)

    @property
    def daemon(self) -> bool:
        """Whether the program may end before it. Raises RuntimeError if set after the start."""
        return self._daemonic

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        if self.explorer_task is not None:
            raise RuntimeError("cannot set daemon status of active thread")
        self._daemonic = bool(daemon)

    @property
    def ident(self) -> int | None:
        """The start order plus 1; the main thread has 1. None before the start."""
        return None if self.explorer_task is None else self.explorer_task.index + 1

    native_id = ident

    def start(self) -> None:
        """Have `run` called in a new virtual thread. Raises RuntimeError the second time."""
        scheduler = self._explorer
        me = scheduler.current
        try:
            has_started = self.explorer_task is not None
        except AttributeError:
            raise RuntimeError("thread.__init__() not called") from None
        if has_started or self.explorer_key >> 20 != me.key:  # made by another thread
            scheduler.point(primitives.START, self)
        else:
            scheduler.also.append((self.explorer_key, WRITE, True))
        if self.explorer_task is not None:
            raise RuntimeError("threads can only be started once")
        if scheduler.depth:  # otherwise it has started for everybody
            self.explorer_starter = me
        work: Callable[[], object] = self.run
        context = self.explorer_context
        if context is None and _INHERITS:
            context = copy_context()
        if context is not None:
            work = partial(context.run, work)
        self.explorer_task = task = scheduler.admit(work, self, self._name, self._daemonic)
        task.key = self.explorer_key
        task.base = self.explorer_key << 20

    def run(self) -> object:
        """Call the target with its arguments; return what it returns, so that it can be checked."""
        try:
            return None if self._target is None else self._target(*self._args, **self._kwargs)
        finally:
            del self._target, self._args, self._kwargs  # as the real one does

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread ends or the timeout fires.

        Raises RuntimeError before the start of the thread, and in the thread itself.
        """
        scheduler = self._explorer
        me = scheduler.current
        if self.explorer_task is me:
            raise RuntimeError("cannot join current thread")
        if timeout is not None:
            if timeout <= 0:
                scheduler.point(primitives.IS_ALIVE, self)
            else:
                scheduler.timed(primitives.JOIN_TIMED, self, timeout)
        elif self.explorer_task is None or self.explorer_starter not in (None, me):
            scheduler.point(primitives.JOIN, self)  # it may start only later
        task = self.explorer_task
        if task is None:
            raise RuntimeError("cannot join thread before it is started")
        if timeout is not None:
            if timeout > 0 and not scheduler.current.option:
                task.ended = True
            scheduler.wait_is_over(task)
            return
        if not task.done:
            task.joiners.append(me)
            scheduler.pause(primitives.PAUSE, self)
            return
        scheduler.wait_for_end(task)

    def is_alive(self) -> bool:
        """Whether the thread has started and not ended. To ask is a step."""
        self._explorer.point(primitives.IS_ALIVE, self)
        return self.explorer_task is not None and is_alive(self._explorer, self.explorer_task)

    def explorer_done(self) -> bool:
        """Whether the thread has ended, or not started; this is not a step."""
        return self.explorer_task is None or self.explorer_task.done

    # The old names, which the real module keeps.

    def getName(self) -> str:
        """The old name of `name`."""
        return self.name

    def setName(self, name: str) -> None:
        """The old name of setting `name`."""
        self.name = name

    def isDaemon(self) -> bool:
        """The old name of `daemon`."""
        return self.daemon

    def setDaemon(self, daemonic: bool) -> None:
        """The old name of setting `daemon`."""
        self.daemon = daemonic


def is_alive(scheduler: Scheduler, task: Task) -> bool:
    """Whether a started thread is alive. After its last step it may be so for a while.

    The present thread is told so at most once, and not after a thread that waited for the end has
    made another step.
    """
    if not task.done:
        return True
    me = scheduler.current
    if any(each.done or each.last > task.last for each in task.joiners):
        task.ended = True
    if not task.ended and me.index not in task.asked:
        if scheduler.choose(primitives.CHOOSE, 2, f"{task.label} is still about to end"):
            task.asked.add(me.index)
            return True
        task.ended = True
    scheduler.catch_up_with(task)
    return False


class MainThread(Thread):
    """The thread that `current_thread()` returns in the scenario's own function."""

    def __init__(self, task: Task) -> None:
        maker = self._explorer.current
        made = maker.made
        super().__init__(name="main", daemon=False)
        maker.made = made  # which thread asks for this object first must not change other keys
        self.explorer_key = task.key
        self.explorer_task = task


class Timer(Thread):
    """A thread that calls a function after an interval in seconds, unless it is cancelled."""

    def __init__(
        self,
        interval: float,
        function: Callable[..., object],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name=getattr(function, "__name__", None))
        self.interval = interval
        self.function = function
        self.args = args if args is not None else []
        self.kwargs = kwargs if kwargs is not None else {}
        self.finished = self._explorer.family["Event"]()

    def cancel(self) -> None:
        """Keep the function from being called, if it has not been."""
        self.finished.set()

    def run(self) -> None:
        """Wait for the interval to pass; then call the function, unless it is cancelled."""
        self.finished.wait(self.interval)
        if not self.finished.is_set():
            self.function(*self.args, **self.kwargs)
        self.finished.set()


FAMILY = (*primitives.FAMILY, Thread, MainThread, Timer)
