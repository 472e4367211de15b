"""The stand-in for `threading` that scenarios and patched modules use."""

from __future__ import annotations

import threading as real
from collections.abc import Callable
from typing import Any, TypeVar, cast

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.stand_ins import primitives, queues, threads
from bankkit.explorer.stand_ins.local import Local
from bankkit.explorer.stand_ins.recorded_calls import (
    OperationHistory,
    RecordedHistories,
    RecordedObject,
    methods_of,
)
from bankkit.explorer.stand_ins.tracking import Shared, Tracker
from bankkit.explorer.stand_ins.waiting import Waiting
from bankkit.histories.operation import Operation

T = TypeVar("T")


class Threading:
    """Stands in for the module `threading`, with additions for scenarios.

    `shared` and `track` make accesses of plain attributes steps, so that other threads can run
    between them; `points` does so for method calls; `choose` leaves a choice to the scheduler. What
    only the real module has cannot be explored: a scenario that uses it ends with `Unsupported`.
    """

    TIMEOUT_MAX = real.TIMEOUT_MAX
    ThreadError = real.ThreadError
    BrokenBarrierError = real.BrokenBarrierError
    ExceptHookArgs = real.ExceptHookArgs

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.tracker = Tracker(scheduler)
        scheduler.tracker = self.tracker
        scheduler.at_close.append(self.tracker.begin)
        self._histories = RecordedHistories(scheduler)
        family = scheduler.family
        for base in (*threads.FAMILY, queues.SimpleQueue):
            parents = [
                family[each.__name__] for each in base.__mro__[1:] if each.__name__ in family
            ]
            family[base.__name__] = type(
                base.__name__,
                (base, *parents[:1]),
                {"_explorer": scheduler, "__doc__": base.__doc__, "__module__": base.__module__},
            )
        self.Lock = family["Lock"]
        self.RLock = family["RLock"]
        self.Condition = family["Condition"]
        self.Semaphore = family["Semaphore"]
        self.BoundedSemaphore = family["BoundedSemaphore"]
        self.Event = family["Event"]
        self.Barrier = family["Barrier"]
        self.Thread = family["Thread"]
        self.Timer = family["Timer"]
        self.local = type("local", (Local,), {"__slots__": (), "_explorer": scheduler})

    def get_ident(self) -> int:
        """The present virtual thread's start order plus 1; the main thread has 1."""
        return self._scheduler.current.index + 1

    get_native_id = get_ident

    def stack_size(self, size: int = 0) -> int:
        """Does nothing: virtual threads have no stack of their own. Returns 0."""
        return 0

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

    def enumerate(self) -> list[Any]:
        """The threads that have started and not ended. To ask is a step.

        A search then runs without reduction, because every start and every end matters.
        """
        scheduler = self._scheduler
        scheduler.point(primitives.LIST_THREADS, None)
        scheduler.unreducible = "the scenario lists all threads that are alive"
        return [
            self._thread(task)
            for task in list(scheduler.tasks)
            if threads.is_alive(scheduler, task)
        ]

    def active_count(self) -> int:
        """The number of threads that have started and not ended; see `enumerate`."""
        return len(self.enumerate())

    @property
    def excepthook(self) -> Callable[[Any], object]:
        """What handles the exceptions that end threads: by default, they end the schedule.

        A scenario may set it. Then these exceptions do not count as bugs.
        """
        return self._scheduler.excepthook or self._fail

    @excepthook.setter
    def excepthook(self, hook: Callable[[Any], object]) -> None:
        self._scheduler.excepthook = None if hook == self._fail else hook

    def _fail(self, args: Any) -> None:
        raise args.exc_value

    __excepthook__ = _fail

    def settrace(self, func: object) -> None:
        """Accepts None only: tracing does not survive the switches between virtual threads."""
        if func is not None:
            self._scheduler.refuse("`threading.settrace` is not supported by the explorer.")

    def setprofile(self, func: object) -> None:
        """Accepts None only, like `settrace`."""
        if func is not None:
            self._scheduler.refuse("`threading.setprofile` is not supported by the explorer.")

    def gettrace(self) -> None:
        """None: no trace function is set."""

    getprofile = gettrace

    def currentThread(self) -> Any:
        """The old name of `current_thread`."""
        return self.current_thread()

    def activeCount(self) -> int:
        """The old name of `active_count`."""
        return self.active_count()

    def __getattr__(self, name: str) -> Any:
        if hasattr(real, name) and self._scheduler.is_running:
            self._scheduler.refuse(
                f"The scenario uses `threading.{name}`, for which the explorer has no stand-in."
            )
        raise AttributeError(f"The explorer's `threading` has no attribute {name!r}.")

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

        The object gets a subclass of its class that otherwise behaves the same: its `__class__` is
        the class itself, but `type(object)` is not, so compare by `__class__`. What the attributes
        hold is tracked, too. A dict, list, set, deque or bytearray can be tracked itself: use the
        tracked one that this returns. A module, a class, an int, a property or an attribute that
        does not exist cannot be tracked, which ends the search with ScenarioError.
        """
        return self.tracker.track(thing, attributes)

    def waiting(self, what: str) -> Waiting:
        """A block in which a thread asks for a lock of your own: `with threading.waiting("lock"):`.

        `explore(..., overtaken=True)` then counts how often another thread that asks later gets it
        first. Threads that ask for the same thing use the same name. It is not a step.
        """
        return Waiting(self._scheduler, what)

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
        self._scheduler.trust(thing)
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

    def recorded(self, thing: T, *methods: str, unknown: tuple[type[BaseException], ...] = ()) -> T:
        """A proxy for an object that records each call of these methods, for `explore(check=)`.

        By default it records all public methods. Each call begins with a step of its own. After an
        exception of the types `unknown`, such as a timeout, nobody knows whether the call took
        effect; another exception is a response. Raises TypeError for a name that is not a method.
        """
        target = thing.explorer_thing() if isinstance(thing, RecordedObject) else thing
        names = methods_of(target, methods)
        return cast(T, RecordedObject(self._histories.of(target), target, names, unknown))

    def history(self) -> OperationHistory:
        """A history in which a scenario records calls itself, for `explore(check=)`.

        One object needs one history: a check looks at each history apart.
        """
        return self._histories.add("")

    def explorer_operations(self) -> tuple[Operation, ...]:
        """The calls that this schedule has recorded."""
        return self._histories.operations()


class PointProxy:
    """Passes everything on to `thing`; calls of some methods are steps.

    They are steps on `target`, which the scheduler knows; by default, on this object.
    """

    explorer_key: int
    explorer_now: float

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
