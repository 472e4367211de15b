"""The stand-ins for `threading` and `time` that scenarios and patched modules use."""

from __future__ import annotations

import threading as real
import time as real_time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar, cast

from bankkit.explorer import primitives
from bankkit.explorer.scheduler import Scheduler, Task
from bankkit.explorer.tracking import Shared, Tracker

T = TypeVar("T")


class Threading:
    """Stands in for the module `threading`, with additions for scenarios.

    `shared` and `track` make accesses of plain attributes steps, so that other threads can run
    between them; `points` does so for method calls; `choose` leaves a choice to the scheduler. If
    only the real module has an attribute, AttributeError is raised.
    """

    TIMEOUT_MAX = real.TIMEOUT_MAX
    ThreadError = real.ThreadError
    BrokenBarrierError = real.BrokenBarrierError

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.tracker = Tracker(scheduler)
        scheduler.at_close.append(self.tracker.begin)
        for base in primitives.FAMILY:
            scheduler.family[base.__name__] = type(
                base.__name__, (base,), {"_scheduler": scheduler, "__doc__": base.__doc__}
            )
        family = scheduler.family
        self.Lock = family["Lock"]
        self.RLock = family["RLock"]
        self.Condition = family["Condition"]
        self.Semaphore = family["Semaphore"]
        self.BoundedSemaphore = family["BoundedSemaphore"]
        self.Event = family["Event"]
        self.Barrier = family["Barrier"]
        self.Thread = family["Thread"]
        self.local = type("local", (Local,), {"_scheduler": scheduler})

    def get_ident(self) -> int:
        """The present virtual thread's start order plus 1; the main thread has 1."""
        return self._scheduler.current.index + 1

    get_native_id = get_ident

    def current_thread(self) -> Any:
        """The present virtual thread's `Thread`."""
        return self._thread(self._scheduler.current)

    def main_thread(self) -> Any:
        """The `Thread` in which the scenario's own function runs."""
        return self._thread(self._scheduler.tasks[0])

    def _thread(self, task: Task) -> Any:
        if task.thread is None:
            task.thread = self._scheduler.family["MainThread"](task)
        return task.thread

    # Additions to the real module.

    def choose(self, n: int, what: str = "one") -> int:
        """A number from 0 to n - 1; the explorer tries every one.

        Use it for what the outside world decides: whether a message is lost, whether a lease has
        expired. `what` names the choice in a schedule. Raises ValueError if n < 1.
        """
        if n < 1:
            raise ValueError(f"A choice needs at least 1 option, not {n!r}.")
        return self._scheduler.choose(primitives.CHOOSE, n, what)

    def shared(self, **attributes: Any) -> Any:
        """An object with these attributes; each read and each write of one is a step.

        So `account.balance += 1` is two steps, and another thread may run between them. Dicts,
        lists, sets, deques and bytearrays in it, and objects of the program's classes, are tracked.
        """
        return self.tracker.track(Shared(attributes), ())

    def track(self, thing: T, *attributes: str) -> T:
        """Make each access of these attributes of an object a step; by default, of all.

        The object gets a subclass of its class that otherwise behaves the same. What the attributes
        hold is tracked, too. A dict, list, set, deque or bytearray can be tracked itself: use the
        tracked one that this returns. A module, a class, an int, a property or an attribute that
        does not exist cannot be tracked, which ends the search with ScenarioError.
        """
        return self.tracker.track(thing, attributes)

    def together(self, *targets: Callable[[], object]) -> None:
        """Run each target in its own thread, and wait until all have ended."""
        threads = [self.Thread(target=target) for target in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def trust(self, thing: T) -> T:
        """Leave the methods of an object out of the check for real locks and plain data.

        Use it for code that is not under test and that needs no steps of its own: each call of it
        counts as part of the step in which it is made, although it may take a real lock meanwhile.
        """
        self._scheduler.trusted.append(thing)
        return thing

    def points(self, thing: T, *methods: str) -> T:
        """A proxy for an object in which each call of these methods is a step.

        Use it for state outside of Python: `store = threading.points(store, "read", "commit")`.
        Each call counts as a change of the object, so no two calls are assumed to commute. Raises
        TypeError for a name that is not a method.
        """
        for method in methods:
            if not callable(getattr(thing, method)):
                raise TypeError(f"{method!r} is not a method of {thing!r}.")
        return cast(T, PointProxy(self._scheduler, thing, frozenset(methods)))


class Time:
    """Stands in for the module `time`, with the scheduler's virtual clock, which starts at 0."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def monotonic(self) -> float:
        """The present thread's virtual time, in seconds."""
        return self._scheduler.current.now

    time = perf_counter = monotonic

    def monotonic_ns(self) -> int:
        """The present thread's virtual time, in nanoseconds."""
        return round(self.monotonic() * 1e9)

    time_ns = perf_counter_ns = monotonic_ns

    def sleep(self, seconds: float) -> None:
        """Advance the present thread's clock, in one step. Raises ValueError below 0."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._scheduler.point(primitives.SLEEP, None)
        self._scheduler.let_time_pass(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(real_time, name)


@contextmanager
def patched(
    modules: Iterable[ModuleType], threading: Threading, scheduler: Scheduler
) -> Iterator[None]:
    """Replace `threading` and `time`, and their members, in these modules while the block runs.

    This replaces the attributes of each module, under any name. References that a module has stored
    elsewhere, in a default argument or a base class, stay real.
    """
    time = Time(scheduler)
    stand_ins: dict[int, Any] = {id(real): threading, id(real_time): time}
    for module, stand_in, names in (
        (real, threading, _REAL_THREADING),
        (real_time, time, _REAL_TIME),
    ):
        stand_ins |= {id(getattr(module, name)): getattr(stand_in, name) for name in names}
    before: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in modules:
            for name, value in list(vars(module).items()):
                if id(value) in stand_ins:
                    before.append((module, name, value))
                    setattr(module, name, stand_ins[id(value)])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


_REAL_THREADING = (
    "Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier", "Thread",
    "local", "get_ident", "get_native_id", "current_thread", "main_thread",
)  # fmt: skip
_REAL_TIME = (
    "monotonic", "monotonic_ns", "time", "time_ns", "perf_counter", "perf_counter_ns", "sleep",
)  # fmt: skip


class Local:
    """Like `threading.local`: each virtual thread has its own attributes."""

    _scheduler: Scheduler

    def __new__(cls, *args: Any, **kwargs: Any) -> Local:
        """Prepare the present thread's attributes; each other thread gets its own on first use."""
        self = object.__new__(cls)
        object.__setattr__(self, "_made_with", (args, kwargs))
        object.__setattr__(self, "_of_task", {cls._scheduler.current.index: {}})
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name != "__dict__":
            return object.__getattribute__(self, name)
        own = _own(self)
        if name == "__dict__":
            return own
        return own[name] if name in own else object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _own(self)[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del _own(self)[name]
        except KeyError:
            raise AttributeError(name) from None


def _own(local: Local) -> dict[str, Any]:
    """The present thread's attributes. The `__init__` of a subclass runs once for each thread."""
    of_task = object.__getattribute__(local, "_of_task")
    index = type(local)._scheduler.current.index
    if index not in of_task:
        of_task[index] = {}
        args, kwargs = object.__getattribute__(local, "_made_with")
        local.__init__(*args, **kwargs)  # type: ignore[misc]
    own: dict[str, Any] = of_task[index]
    return own


class PointProxy:
    """Passes everything on to `thing`; calls of some methods are steps.

    They are steps on `target`, which the scheduler knows; by default, on this object.
    """

    key: int
    now: float

    def __init__(
        self,
        scheduler: Scheduler,
        thing: object,
        methods: frozenset[str],
        target: object | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._thing = thing
        self._methods = methods
        self._target = target
        if target is None:
            scheduler.register(self)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if name not in self._methods:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            target = self if self._target is None else self._target
            self._scheduler.point(primitives.CALL, target, name)
            return value(*args, **kwargs)

        return call
