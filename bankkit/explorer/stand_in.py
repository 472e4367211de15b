"""The stand-in for `threading` that scenarios and patched modules use."""

from __future__ import annotations

import threading as real
from collections.abc import Callable, Iterator
from types import MemberDescriptorType
from typing import Any, TypeVar, cast

from bankkit.explorer import primitives, queues, threads
from bankkit.explorer.local import Local
from bankkit.explorer.scheduler import Scheduler, Task
from bankkit.explorer.waiting import Waiting

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
        return [self._thread(task) for task in scheduler.tasks if not task.done]

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

        So `account.balance += 1` is two steps, and another thread may run between them.
        """
        return self.track(_Shared(attributes), *attributes)

    def track(self, thing: T, *attributes: str) -> T:
        """Make each access of these attributes of an object a step; by default, all it has now.

        The object gets a subclass of its class that otherwise behaves the same. Raises TypeError
        for an object whose class cannot be changed (an int, a list, a SimpleNamespace).
        """
        names = attributes or tuple(_attributes(thing))
        cls: type[Any] = type(thing)
        tracked = {name: _Tracked(self._scheduler, cls, name) for name in names}
        try:
            thing.__class__ = type(cls.__name__, (cls,), {"__slots__": (), **tracked})
        except TypeError:
            raise TypeError(
                f"{thing!r} cannot be tracked; use threading.shared(...), or track an object of a "
                f"class of your own."
            ) from None
        return thing

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


class _Shared:
    def __init__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)

    def __repr__(self) -> str:
        return f"shared({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def _attributes(thing: object) -> Iterator[str]:
    yield from getattr(thing, "__dict__", ())
    for cls in type(thing).__mro__:
        for name, value in vars(cls).items():
            if isinstance(value, MemberDescriptorType) and hasattr(thing, name):
                yield name


class Attribute:
    """One attribute of a tracked object, as the target of operations."""

    __slots__ = ("attribute", "explorer_key", "explorer_name", "explorer_now")
    explorer_key: int
    explorer_now: float

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute


class _Tracked:
    """A descriptor that makes each read and each write of the attribute `name` a step."""

    def __init__(self, scheduler: Scheduler, cls: type[Any], name: str) -> None:
        self._scheduler = scheduler
        self._name = name
        slot = getattr(cls, name, None)
        self._slot = slot if isinstance(slot, MemberDescriptorType) else None
        self._class_value = (
            (getattr(cls, name),) if self._slot is None and hasattr(cls, name) else ()
        )
        self._place = Attribute(name)
        scheduler.register(self._place)

    def __get__(self, thing: Any, cls: type[Any] | None = None) -> Any:
        if thing is None:
            return self
        self._scheduler.point(primitives.LOAD, self._place)
        if self._slot is not None:
            return self._slot.__get__(thing)
        if self._name in thing.__dict__:
            return thing.__dict__[self._name]
        if self._class_value:
            return self._class_value[0]
        raise AttributeError(self._name)

    def __set__(self, thing: Any, value: Any) -> None:
        self._scheduler.point(primitives.STORE, self._place)
        if self._slot is not None:
            self._slot.__set__(thing, value)
        else:
            thing.__dict__[self._name] = value

    def __delete__(self, thing: Any) -> None:
        self._scheduler.point(primitives.STORE, self._place)
        if self._slot is not None:
            self._slot.__delete__(thing)
        else:
            try:
                del thing.__dict__[self._name]
            except KeyError:
                raise AttributeError(self._name) from None


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
