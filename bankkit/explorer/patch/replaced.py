"""Stand-ins for real primitives that modules made before the exploration."""

from __future__ import annotations

import _thread
import ast
import contextlib
import inspect
import itertools
import queue
import threading as real
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.errors import NotInSchedule, Unsupported
from bankkit.explorer.stand_ins.local import Local, Parts

_LOCKS = (_thread.LockType,)
_RLOCKS = (type(real.RLock()), real._PyRLock)  # type: ignore[attr-defined]
_PRIMITIVES = (
    *_LOCKS, *_RLOCKS, real.local, queue.SimpleQueue, real.Condition, real.Semaphore, real.Event,
    real.Barrier, real.Thread,
)  # fmt: skip
PATIENCE = 0.2
"""Seconds to wait for a lock that a real thread holds."""


class Search(Protocol):
    """The search that finds the primitives."""

    def new(self, value: Any, place: str) -> Any:
        """What stands in for a value; the value itself if it stays."""

    def enter(self, cls: type[Any], place: str) -> Any:
        """The class to use for this class of a primitive that was found outside of its module."""

    def change(self, change: Callable[[], object], undo: Callable[[], object]) -> None:
        """Add a change, to be made when modules are patched, and undone afterwards."""


class Replaced:
    """The stand-ins for a scheduler's real primitives, and their state when a schedule begins."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.home = real.get_ident()
        """The OS thread that runs the exploration. In others, the real primitives work."""
        self._resets: list[Callable[[], object]] = []
        self._guarded = False
        self._primitive: dict[type[Any], bool] = {}
        """Whether the objects of a type are primitives."""
        self._bridges: dict[str, type[Any]] = {}

    def guard_classes(self) -> None:
        """Make objects of the real classes where code outside of a schedule asks for new ones."""
        if self._guarded:
            return
        self._guarded = True
        for name, cls in self._scheduler.family.items():
            if name in ("Lock", "RLock", "SimpleQueue"):
                cls.__new__ = self._guarded_new(cls, name)
            elif name != "MainThread":
                cls.__init__ = self._guarded_init(cls, name)

    def _guarded_new(self, cls: type[Any], name: str) -> Any:
        real_class = _real_class(name)

        def new(kind: type[Any], *args: Any, **kwargs: Any) -> Any:
            if not self.is_outside():
                return object.__new__(kind)
            if kind is not cls:
                raise _only_inside(kind)
            return real_class(*args, **kwargs)

        return new

    def _guarded_init(self, cls: type[Any], name: str) -> Any:
        """Such a class may become a base, for whose subclasses a `__new__` could not be undone."""
        init: Any = cls.__init__
        real_class = getattr(real, name)

        def new_init(thing: Any, *args: Any, **kwargs: Any) -> None:
            if not self.is_outside():
                init(thing, *args, **kwargs)
            elif type(thing) is cls:
                thing.__class__ = real_class
                thing.__init__(*args, **kwargs)
            else:
                raise _only_inside(type(thing))

        return new_init

    def begin(self) -> None:
        """Bring every stand-in into its first state."""
        for reset in self._resets:
            reset()

    def counter(self, real_counter: itertools.count[Any]) -> Any:
        """A stand-in for a counter, which starts at the same number in each schedule."""
        arguments = ast.literal_eval(repr(real_counter).removeprefix("count"))
        counter = _Counter(arguments if isinstance(arguments, tuple) else (arguments,))
        self._resets.append(counter.restart)
        return counter

    def object(self, value: Any, place: str, search: Search) -> Any:
        """The stand-in for a real primitive; None for other objects."""
        kind = type(value)
        if kind not in self._primitive:
            self._primitive[kind] = issubclass(kind, _PRIMITIVES)
        if not self._primitive[kind]:
            return None
        if kind in _LOCKS:
            _check_free(value, place)
            return self._stand_in("Lock", value, place, {"owner": None})
        if isinstance(value, _RLOCKS):
            _check_free(value, place)
            return self._stand_in("RLock", value, place, {"owner": None, "count": 0})
        if isinstance(value, real.local):
            return self._local(value, place, search)
        if kind is queue.SimpleQueue:
            return self._queue(value, place)
        name, state = self._state(value, place, search)
        if not name:
            return None
        if kind is getattr(real, name):
            return self._stand_in(name, value, place, state)
        return self._adopt(value, place, state, search)

    def _state(self, value: Any, place: str, search: Search) -> tuple[str, dict[str, Any]]:
        """The name of the class of `threading` that this object belongs to, and its first state."""
        if isinstance(value, real.Condition):
            lock = search.new(value._lock, f"{place}'s lock")  # type: ignore[attr-defined]
            if lock is value._lock:  # type: ignore[attr-defined]
                raise Unsupported(f"{place} is a Condition with a lock of its own kind, {lock!r}.")
            state = {"_lock": lock, "acquire": lock.acquire, "release": lock.release}
            return "Condition", state | {"_waiters": []}
        if isinstance(value, real.BoundedSemaphore):
            return "BoundedSemaphore", {
                "_value": value._value, "_initial_value": value._initial_value,  # type: ignore[attr-defined]
            }  # fmt: skip
        if isinstance(value, real.Semaphore):
            return "Semaphore", {"_value": value._value}
        if isinstance(value, real.Event):
            return "Event", {"_flag": value.is_set(), "_explorer_waiters": []}
        if isinstance(value, real.Barrier):
            return "Barrier", {
                "parties": value.parties,
                "_action": search.new(value._action, place),  # type: ignore[attr-defined]
                "_timeout": value._timeout,  # type: ignore[attr-defined]
                "_explorer_broken": value.broken,
                "_explorer_acting": False,
                "_explorer_waiters": [],
            }
        if isinstance(value, real.Thread) and value.ident is None:
            return "Timer" if isinstance(value, real.Timer) else "Thread", {"explorer_task": None}
        return "", {}

    def _stand_in(self, name: str, value: Any, place: str, state: dict[str, Any]) -> Any:
        """A new object of a class that uses the real one in other OS threads."""
        if name not in self._bridges:
            self._bridges[name] = self._bridge(self._scheduler.family[name], _real_class(name))
        thing = object.__new__(self._bridges[name])
        if name in ("Thread", "Timer"):
            state = vars(value) | state
        vars(thing)["explorer_real"] = value
        self._keep(thing, place, state)
        return thing

    def _adopt(self, value: Any, place: str, state: dict[str, Any], search: Search) -> Any:
        """Let an object of a subclass, whose base is replaced, begin with the stand-in's state."""
        search.enter(type(value), place)
        before: dict[str, Any] = {}
        if isinstance(value, real.Thread):
            state = vars(value) | state

        def adopt() -> None:
            before.update(vars(value))

        def undo() -> None:
            if before:
                vars(value).clear()
                vars(value).update(before)

        search.change(adopt, undo)
        self._keep(value, place, state)
        return value

    def _queue(self, value: Any, place: str) -> Any:
        items = []
        with contextlib.suppress(queue.Empty):
            while True:
                items.append(value.get_nowait())
        for item in items:
            value.put(item)
        stand_in = self._stand_in("SimpleQueue", value, place, {})

        def reset() -> None:
            stand_in.explorer_items = deque(items)

        self._resets.append(reset)
        return stand_in

    def _local(self, value: Any, place: str, search: Search) -> Any:
        kind = type(value)
        cls = search.enter(kind, place)
        if kind.__init__ is not object.__init__:
            try:
                inspect.signature(kind.__init__).bind(None)
            except (TypeError, ValueError):
                raise Unsupported(
                    f"{place} is a `threading.local` that was made with arguments, which the "
                    f"explorer cannot know. Make it in the scenario."
                ) from None
        stand_in: Any = object.__new__(type(cls.__name__, (_bridged_local(self), cls), {}))
        parts = Parts(self._scheduler, (), {})
        object.__setattr__(stand_in, "_explorer_parts", parts)
        object.__setattr__(stand_in, "_explorer_real", value)

        def reset() -> None:
            parts.schedule = self._scheduler.schedule
            parts.of_task = {0: dict(vars(value))}

        self._resets.append(reset)
        return stand_in

    def is_outside(self) -> bool:
        """Whether the present code does not belong to a schedule, so that real primitives work."""
        return real.get_ident() != self.home or not self._scheduler.is_running

    def _bridge(self, cls: type[Any], real_class: Any) -> type[Any]:
        """A subclass whose methods use the real object outside of the exploration."""
        example = real_class if isinstance(real_class, type) else type(real_class())
        names = {
            name
            for name in dir(example)
            if callable(getattr(example, name)) and callable(getattr(cls, name, None))
            if not name.startswith("__") or name in ("__enter__", "__exit__")
        }
        methods = {name: self._bridging(name, getattr(cls, name)) for name in names}
        return type(cls.__name__, (cls,), methods)

    def _bridging(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(thing: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_outside():
                return getattr(thing.explorer_real, name)(*args, **kwargs)
            return method(thing, *args, **kwargs)

        return call

    def _keep(self, thing: Any, place: str, state: dict[str, Any]) -> None:
        state = state | {
            "explorer_key": -2 - len(self._resets),
            "explorer_now": 0.0,
            "explorer_name": place.rpartition(".")[2].strip("_"),
        }
        lists = [name for name, each in state.items() if each == []]

        def reset() -> None:
            names = vars(thing)
            names.update(state)
            for name in lists:
                names[name] = []

        self._resets.append(reset)


def _bridged_local(replaced: Replaced) -> type[Local]:
    """A `Local` whose attributes are those of the real object outside of the exploration."""

    class BridgedLocal(Local):
        __slots__ = ("_explorer_real",)

        def __getattribute__(self, name: str) -> Any:
            if replaced.is_outside():
                return getattr(object.__getattribute__(self, "_explorer_real"), name)
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if replaced.is_outside():
                setattr(object.__getattribute__(self, "_explorer_real"), name, value)
            else:
                super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            if replaced.is_outside():
                delattr(object.__getattribute__(self, "_explorer_real"), name)
            else:
                super().__delattr__(name)

    return BridgedLocal


def _real_class(name: str) -> Any:
    return queue.SimpleQueue if name == "SimpleQueue" else getattr(real, name)


def _only_inside(cls: type[Any]) -> NotInSchedule:
    return NotInSchedule(
        f"{cls.__qualname__} is patched, so that only a schedule can make objects."
    )


class _Counter:
    """Like `itertools.count`, but it can be restarted."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments
        self.restart()

    def restart(self) -> None:
        """Begin with the first number again."""
        self._numbers = itertools.count(*self._arguments)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._numbers)


def _check_free(lock: Any, place: str) -> None:
    if (hasattr(lock, "_is_owned") and lock._is_owned()) or not lock.acquire(timeout=PATIENCE):
        raise Unsupported(f"{place} is a lock that real code holds. Release it, or make a new one.")
    lock.release()
