"""Puts the stand-ins for `threading` and `time` into modules that know nothing of the explorer."""

from __future__ import annotations

import _thread
import contextlib
import gc
import importlib
import itertools
import queue
import sys
import threading as real
import time as real_time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Literal

from bankkit.explorer.engine.ownership import is_own_module
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.engine.unwinding import Abandoned
from bankkit.explorer.errors import NotInSchedule, ScenarioError, Unsupported
from bankkit.explorer.patch.ordered_sets import FuturesInOrder, number_of
from bankkit.explorer.patch.replaced import Replaced
from bankkit.explorer.patch.replacing import KEPT, Replacing
from bankkit.explorer.patch.thread_pools import replace_pipe
from bankkit.explorer.stand_ins.clock import Time
from bankkit.explorer.stand_ins.local import Local
from bankkit.explorer.stand_ins.low_level import LowLevel
from bankkit.explorer.stand_ins.primitives import Primitive
from bankkit.explorer.stand_ins.stand_in import Threading

Patch = Iterable[ModuleType] | Literal["all"]

STANDARD = (
    "_threading_local", "concurrent.futures._base", "concurrent.futures.thread", "functools",
    "logging", "logging.config", "logging.handlers", "multiprocessing.dummy",
    "multiprocessing.pool", "queue", "sched", "socketserver",
)  # fmt: skip
"""The modules of the standard library that are patched with every other module, if loaded."""

MACHINERY = frozenset((
    "IPython", "_pytest", "_thread", "builtins", "coverage", "debugpy", "execnet", "gc", "greenlet",
    "hypothesis", "importlib", "ipykernel", "jupyter_client", "pluggy", "pydevd", "pytest",
    "pytest_timeout", "signal", "sys", "threading", "time", "tornado", "traitlets", "xdist", "zmq",
))  # fmt: skip
"""Packages that run the exploration. They keep the real primitives."""


class Patching:
    """The stand-ins of one scheduler, to be put into modules and taken out again.

    `with patching:` patches the modules; the block may be entered again. Call `begin` at the start
    of each schedule. Raises Unsupported, with the name and the place, for what cannot be replaced.
    """

    def __init__(self, patch: Patch, threading: Threading, scheduler: Scheduler) -> None:
        self._patch = patch if isinstance(patch, str) else tuple(patch)
        self._threading = threading
        self._scheduler = scheduler
        self._replaced = Replaced(scheduler)
        self._classes = _stand_ins(threading, scheduler)
        self._names: set[str] = set()
        """The names of the patched modules."""
        self._bases: set[type[Any]] = set()
        """Classes of other modules from which patched classes inherit."""
        self._replacing: Replacing | None = None
        self._known = 0

    def __bool__(self) -> bool:
        return bool(self._patch)

    def __enter__(self) -> Patching:
        if self._patch:
            if self._replacing is None:
                self._replacing = self._search()
            self._replaced.home = real.get_ident()
            self._replaced.guard_classes()
            self._replacing.make()
            self._known = len(sys.modules)
            self._hook = sys.unraisablehook
            sys.unraisablehook = self._on_unraisable
        return self

    def __exit__(self, *error: object) -> None:
        if self._replacing is not None:
            gc.collect()
            sys.unraisablehook = self._hook
            self._replacing.take_back()
            _clean(self._replacing)

    def _on_unraisable(self, unraisable: Any) -> None:
        """Ignore finalizers that use primitives of a schedule that is over."""
        if not isinstance(unraisable.exc_value, Abandoned | NotInSchedule):
            self._hook(unraisable)

    def begin(self) -> None:
        """Bring everything that was replaced into its first state."""
        if self._patch:
            self._replaced.begin()

    def end(self) -> None:
        """Check, at the end of each schedule, that it has imported nothing that is not patched."""
        if self._patch and len(sys.modules) != self._known:
            self._refuse_late_imports()

    # What is patched.

    def _modules(self) -> list[Any]:
        if self._patch == "all":
            return [
                module
                for name, module in list(sys.modules.items())
                if isinstance(module, ModuleType) and not is_machinery(name)
            ]
        found: dict[int, Any] = {}
        for module in self._patch:
            found[id(module)] = module
            inside = f"{getattr(module, '__name__', None)}."
            for name, each in list(sys.modules.items()):
                if name.startswith(inside) and isinstance(each, ModuleType):
                    found[id(each)] = each
        if "concurrent.futures" in sys.modules:  # it imports its pools when they are first used
            importlib.import_module("concurrent.futures.thread")
        if "multiprocessing.dummy" in sys.modules:
            importlib.import_module("multiprocessing.pool")
        for name in STANDARD:
            if name in sys.modules:
                found[id(sys.modules[name])] = sys.modules[name]
        return list(found.values())

    def _search(self) -> Replacing:
        replacing = Replacing(self._stand_in_for, self._enters_class, _enters_objects)
        self._replacing = replacing
        modules = self._modules()
        self._names = {str(vars(module).get("__name__")) for module in modules}
        replacing.look_into(modules)
        self._special_cases(replacing)
        return replacing

    def _enters_class(self, cls: type[Any], place: str) -> bool:
        """Whether to look at a class. If so, it inherits from stand-ins and its bases are known."""
        if cls not in self._bases and cls.__module__ not in self._names:
            return False
        self._inherit(cls, place)
        for base in type.mro(cls)[1:-1]:
            self._add_base(base)
        return True

    def _add_base(self, base: type[Any]) -> None:
        """A class that inherits a method also inherits what this method keeps of `threading`."""
        module = sys.modules.get(base.__module__)
        if is_machinery(base.__module__) or id(base) in self._classes or module is None:
            return
        self._bases.add(base)
        if base.__module__ not in self._names and any(
            id(value) in self._classes for value in vars(module).values()
        ):
            self._names.add(base.__module__)
            assert self._replacing is not None
            self._replacing.look_into_later(module)

    def _special_cases(self, replacing: Replacing) -> None:
        """Change what the standard library orders by address, caches, or keeps until the end."""
        pools = sys.modules.get("concurrent.futures.thread")
        if pools is not None:
            queues = pools._threads_queues
            replacing.set_attribute(pools, "_threads_queues", type(queues)())
        processes = sys.modules.get("multiprocessing.pool")
        if processes is not None:
            util = sys.modules["multiprocessing.util"]
            replace_pipe(processes, util, self._scheduler.family["SimpleQueue"], replacing)
        logging = sys.modules.get("logging")
        if logging is not None:
            replacing.set_attribute(logging.Logger, "isEnabledFor", self._is_enabled_for())
        futures = sys.modules.get("concurrent.futures._base")
        if futures is not None:
            replacing.set_attribute(futures, "id", number_of)
            replacing.set_attribute(futures, "set", FuturesInOrder)

    def _is_enabled_for(self) -> Callable[[Any, int], bool]:
        """What `Logger.isEnabledFor` does, without a cache that the next schedule finds filled."""
        scheduler = self._scheduler

        def is_enabled_for(logger: Any, level: int) -> bool:
            if logger.disabled or logger.manager.disable >= level or scheduler.is_over:
                return False  # a pool's worker logs what unwinds it
            return bool(level >= logger.getEffectiveLevel())

        return is_enabled_for

    # What stands in for what.

    def _stand_in_for(self, value: Any, place: str) -> Any:
        stand_in = self._classes.get(id(value), KEPT)
        if stand_in is not KEPT:
            return stand_in
        if isinstance(value, type):
            return self._rebuilt(value)
        if isinstance(value, itertools.count):
            return self._replaced.counter(value)
        found = self._replaced.object(value, place, self)
        return KEPT if found is None or found is value else found

    # What `Replaced` needs of the search.

    def new(self, value: Any, place: str) -> Any:
        """What stands in for a value; the value itself if it stays."""
        assert self._replacing is not None
        return self._replacing.new(value, place)

    def enter(self, cls: type[Any], place: str) -> Any:
        """The class to use for this class of a primitive that was found outside of its module."""
        self._bases.add(cls)
        new = self.new(cls, f"{cls.__module__}.{cls.__qualname__}")
        return new

    def change(self, change: Callable[[], object], undo: Callable[[], object]) -> None:
        """Add a change, to be made when modules are patched, and undone afterwards."""
        assert self._replacing is not None
        self._replacing.change(change, undo)

    def _rebuilt(self, cls: type[Any]) -> Any:
        """The class with other bases, if those cannot be assigned, because C code made them."""
        if not issubclass(cls, real.local | queue.SimpleQueue) or not (
            cls in self._bases or cls.__module__ in self._names
        ):
            return KEPT
        assert self._replacing is not None
        bases = tuple(self.new(base, f"{cls.__module__}.{base.__name__}") for base in cls.__bases__)
        return self._replacing.rebuilt_class(cls, bases)

    def _inherit(self, cls: type[Any], place: str) -> None:
        """Let a subclass of a real primitive inherit from the stand-in."""
        if not any(id(base) in self._classes for base in cls.__bases__):
            return
        for thread in real.enumerate():
            if isinstance(thread, cls):
                if self._patch == "all":
                    return
                raise Unsupported(
                    f"{place} cannot be replaced, because {thread.name!r} is a real thread of this "
                    f"class and still runs. Stop it before the exploration."
                )
        bases = tuple(self._classes.get(id(base), base) for base in cls.__bases__)
        before = cls.__bases__
        try:
            cls.__bases__ = bases
            cls.__bases__ = before
        except TypeError as error:
            raise Unsupported(f"The bases of {place} cannot be replaced: {error}.") from None
        assert self._replacing is not None
        self._replacing.set_attribute(cls, "__bases__", bases)

    def _refuse_late_imports(self) -> None:
        """Refuse modules that the scenario has imported: they got the real `threading`."""
        self._known = len(sys.modules)
        late = [
            name
            for name, module in list(sys.modules.items())
            if name not in self._names
            and self._is_wanted(name)
            and any(id(value) in self._classes for value in vars(module).values())
        ]
        if late:
            raise ScenarioError(
                f"The scenario imports {', '.join(late)}, too late to be patched. Import it before "
                f"the exploration."
            )

    def _is_wanted(self, name: str) -> bool:
        if self._patch == "all":
            return not is_machinery(name)
        packages = [getattr(module, "__name__", "") for module in self._patch]
        return name in STANDARD or any(name.startswith(f"{each}.") for each in packages)


def is_machinery(module: str) -> bool:
    """Whether the module of this name keeps the real primitives."""
    name = str(module)  # a class made by C code may have anything there
    return name.partition(".")[0] in MACHINERY or is_own_module(name)


def _enters_objects(kind: type[Any]) -> bool:
    """Whether to look at the attributes of the objects of a class."""
    module = str(kind.__module__)
    return not issubclass(kind, real.Thread) and (module == "builtins" or not is_machinery(module))


def _stand_ins(threading: Threading, scheduler: Scheduler) -> dict[int, Any]:
    """The stand-in for each module, class and function, by the id of the real one."""
    time = Time(scheduler)
    low_level = LowLevel(threading)
    found: dict[int, Any] = {
        id(real): threading,
        id(real_time): time,
        id(_thread): low_level,
        id(queue.SimpleQueue): scheduler.family["SimpleQueue"],
    }
    for module, stand_in, names in (
        (real, threading, real.__all__),
        (real, threading, ("activeCount", "currentThread")),
        (_thread, low_level, LowLevel.NAMES),
        (real_time, time, _TIME),
    ):
        for name in names:
            if hasattr(module, name) and _has(stand_in, name):
                found[id(getattr(module, name))] = getattr(stand_in, name)
    for name in ("_PyRLock", "_CRLock", "_RLock"):
        if hasattr(real, name):
            found[id(getattr(real, name))] = threading.RLock
    found.pop(id(None), None)
    for constant in (real.TIMEOUT_MAX, real.ThreadError, real.BrokenBarrierError, real.excepthook):
        found.pop(id(constant), None)
    return found


def _has(stand_in: object, name: str) -> bool:
    with contextlib.suppress(AttributeError):
        return hasattr(type(stand_in), name) or name in vars(stand_in)
    return False


_TIME = (
    "monotonic", "monotonic_ns", "time", "time_ns", "perf_counter", "perf_counter_ns", "sleep",
)  # fmt: skip


def _clean(replacing: Replacing) -> None:
    """Remove the stand-ins that schedules have left in modules and classes."""
    for owner, before in replacing.namespaces:
        for name, value in list(vars(owner).items()):
            if issubclass(type(value), (Primitive, Local)) and before.get(name) is not value:
                if name in before:
                    setattr(owner, name, before[name])
                else:
                    delattr(owner, name)
