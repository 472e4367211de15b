"""Decides which operations of rewritten code are steps, and makes these steps.

Every operation that another thread can observe is one: an access of an attribute, an item, a
global or a shared variable, and an operator, an iteration or a call that may look into an object.
There is no step where nothing can change: an attribute or a global that is a function, a class or
a module and that no named file rebinds; an operation on numbers, texts and None; a call of a
function whose own operations are steps.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Protocol

from bankkit.explorer.engine.ownership import is_own_module
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.lines.expression_rewriting import HOOK
from bankkit.explorer.stand_ins import primitives

_SCALARS = frozenset({
    type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented),
})  # fmt: skip
_VALUES = _SCALARS | {FunctionType, BuiltinFunctionType, MethodType, ModuleType}
"""Types whose objects no operator can change, or find changed."""
_SEQUENCES = _VALUES | {tuple, frozenset, range, type}
"""Types whose length and items never change."""
_DEFINITIONS = (FunctionType, BuiltinFunctionType, type, ModuleType)
_METHODS = (FunctionType, classmethod, staticmethod, MethodDescriptorType, WrapperDescriptorType)
_UNSEEING = frozenset(map(id, (
    isinstance, issubclass, callable, id, type, range, super, object, locals, globals,
)))  # fmt: skip
"""Callables that do not look into an object that can change."""


def _references(value: object) -> int:
    return sys.getrefcount(value)


_PRIVATE = _references(object())
"""What `getrefcount` gives in a function for an argument that nobody else has."""


class Memory:
    """The object that all these steps use, so that they conflict: one name may reach any object."""

    explorer_key = -1
    explorer_now = 0.0

    def __init__(self) -> None:
        self.indirect: dict[int, bool] = {}
        """By the id of a frame: whether its present operation is one of the interpreter, which may
        call functions meanwhile."""
        self.fresh: set[int] = set()
        """The ids of the frames of generators that only a loop or a context has, and is about to
        begin."""


class Rebound(Protocol):
    """The names that the named files assign to attributes, or to globals in a function."""

    def __contains__(self, name: object) -> bool: ...


class Accesses:
    """What rewritten code calls, in the functions that share one dictionary of globals.

    Each method gets the description of the step that it may make. Most return their first argument.
    """

    def __init__(
        self, scheduler: Scheduler, memory: Memory, names: dict[str, Any], rebound: Rebound
    ) -> None:
        self._scheduler = scheduler
        self._memory = memory
        self._names = names
        self._rebound = rebound
        self._thread = threading.get_ident()
        self._looks_in: dict[tuple[int, int | None], bool] = {}
        """(frame, site) → whether the operation that began there may look into an object."""

    def step(self, what: str) -> None:
        """Make a step. Code that runs outside of the schedule makes none."""
        scheduler = self._scheduler
        if scheduler.is_running and self._thread == threading.get_ident():
            scheduler.point(primitives.LINE, self._memory, what)

    # Functions and generators that code calls which makes no steps: a switch is possible there.

    def entered(self, what: str) -> bool:
        """A function begins. Returns True.

        It is a step if the caller is in an operation of the interpreter: a sort calls its key, a
        `defaultdict` its factory.
        """
        frame = sys._getframe(1)
        caller = frame.f_back
        indirect = self._memory.indirect
        indirect[id(frame)] = False
        if indirect.get(id(caller)) and caller is not None and HOOK in caller.f_code.co_names:
            self.step(what)
        return True

    def begun(self, what: str) -> bool:
        """A generator begins. Returns whether it is private, so that no other thread resumes it."""
        frame = id(sys._getframe(1))
        self._memory.indirect[frame] = False
        if frame in self._memory.fresh:
            self._memory.fresh.discard(frame)
            return True
        self.step(what)
        return False

    def resumed(self, value: Any, is_private: bool, what: str) -> Any:
        """A generator goes on after a `yield`."""
        if not is_private:
            self.step(what)
        return value

    def _begins(self, generator: Any) -> None:
        """A loop or a context, which alone has the generator, is about to begin it."""
        frame = getattr(generator, "gi_frame", None)
        if frame is not None and not (generator.gi_suspended or generator.gi_running):
            self._memory.fresh.add(id(frame))

    # Names and attributes.

    def variable(self, what: str) -> bool:
        """A variable that closures share is about to be read. Returns True."""
        self.step(what)
        return True

    def global_name(self, name: str, what: str) -> bool:
        """A global variable or a built-in is about to be read. Returns True."""
        if name in self._rebound or not (
            name not in self._names or isinstance(self._names[name], _DEFINITIONS)
        ):
            self.step(what)
        return True

    def stored(self, value: Any, what: str) -> Any:
        """The value is about to be stored in a shared variable."""
        self.step(what)
        return value

    def attribute(self, thing: Any, name: str, what: str) -> Any:
        """The attribute is about to be read."""
        self._memory.indirect[id(sys._getframe(1))] = False  # an own property makes its own steps
        if not self._is_fixed(thing, name):
            self.step(what)
        return thing

    def changed_attribute(self, thing: Any, name: str, what: str) -> Any:
        """The attribute is about to be assigned or deleted."""
        self._memory.indirect[id(sys._getframe(1))] = False
        if not _is_own(thing) and not _is_own_class(_class_attribute(thing, name)[0]):
            self.step(what)
        return thing

    def _is_fixed(self, thing: Any, name: str) -> bool:
        """Whether to read this attribute gives the same now and later, or is a step by itself."""
        if type(thing) in _SCALARS or type(thing) is super or _is_own(thing):
            return True
        owner, found = _class_attribute(thing, name)
        if _is_own_class(owner):
            return True
        if name in self._rebound or isinstance(type(thing).__getattribute__, FunctionType):
            return False
        if name == "__class__":
            return True
        own = _own_attributes(thing)
        if own is not None and name in own:
            return isinstance(thing, ModuleType) and isinstance(own[name], _DEFINITIONS)
        if isinstance(found, property):
            return found.fget is not None and _is_rewritten(found.fget)
        return isinstance(found, _METHODS) or (isinstance(found, type) and owner is not None)

    # Calls.

    def method(
        self, thing: Any, name: str, read: str, site: int | None, call: str
    ) -> Callable[..., Any]:
        """The method, which is about to be called once its arguments are evaluated."""
        self.attribute(thing, name, read)
        function: Callable[..., Any] = getattr(thing, name)
        self._announce(function, sys._getframe(1), site, call)
        return function

    def function(self, function: Any, site: int | None, what: str) -> Any:
        """The function is about to be called once its arguments are evaluated."""
        self._announce(function, sys._getframe(1), site, what)
        return function

    def _announce(self, function: Any, frame: FrameType, site: int | None, what: str) -> None:
        looks = _looks_into_objects(function)
        if looks and (function is exec or function is eval):
            self._scheduler.doubts[
                f"the code that `{what.partition(': ')[2] or what}` runs is one step: put it into "
                f"a function that `lines=` names"
            ] = None
        if site is not None:
            self._looks_in[id(frame), site] = looks
            return
        self._memory.indirect[id(frame)] = looks
        if looks:
            self.step(what)

    # Operators. The first operand of several announces at which site the last will be.

    def first(self, value: Any, site: int) -> Any:
        """The first operand of an operator. If no operator can change it, the last one decides."""
        at = id(sys._getframe(1)), site
        if type(value) in _VALUES:
            self._looks_in.pop(at, None)
        else:
            self._looks_in[at] = True
        return value

    def first_container(self, value: Any, site: int) -> Any:
        """The container in which an index is about to be looked up."""
        self._looks_in[id(sys._getframe(1)), site] = type(value) not in _SEQUENCES
        return value

    def last(self, value: Any, site: int, what: str) -> Any:
        """The last operand, argument or part of an index; the operation comes next."""
        frame = id(sys._getframe(1))
        looks = self._looks_in.pop((frame, site), None)
        if looks is None:
            looks = type(value) not in _VALUES
        self._memory.indirect[frame] = looks
        if looks:
            self.step(what)
        return value

    def operand(self, value: Any, what: str) -> Any:
        """The only operand of an operator."""
        looks = type(value) not in _VALUES
        self._memory.indirect[id(sys._getframe(1))] = looks
        if looks:
            self.step(what)
        return value

    def operands(self, value: Any, other: Any, what: str) -> Any:
        """The right operand of an assignment such as `+=` to a local variable, then the left."""
        looks = type(value) not in _VALUES or type(other) not in _VALUES
        self._memory.indirect[id(sys._getframe(1))] = looks
        if looks:
            self.step(what)
        return value

    def truth(self, value: Any, what: str) -> Any:
        """The value is about to be tested."""
        cls = type(value)
        looks = cls not in _SEQUENCES and (hasattr(cls, "__bool__") or hasattr(cls, "__len__"))
        self._memory.indirect[id(sys._getframe(1))] = looks
        if looks:
            self.step(what)
        return value

    def matched(self, value: Any, binds: bool, where: str) -> Any:
        """The value is about to be compared with patterns that look into it, or bind `binds`.

        Their single reads cannot become steps, so the exploration ends if there are any.
        """
        parts = value if type(value) is tuple else (value,)
        if binds or any(type(part) not in _VALUES for part in parts):
            error = ValueError(
                f"lines= cannot make steps of the patterns of the `match` in {where}, which "
                f"{'bind a shared variable' if binds else 'look into an object'}. Use `if` there."
            )
            self._scheduler.stop(error)
            self.step(where)
        return value

    # Containers, iterations and contexts.

    def container(self, value: Any, what: str) -> Any:
        """The container is about to be indexed or unpacked."""
        looks = type(value) not in _SEQUENCES
        self._memory.indirect[id(sys._getframe(1))] = looks
        if looks:
            self.step(what)
        return value

    def iterated(self, value: Any, what: str, always: bool = False) -> Any:
        """An iterable whose iteration has steps; `always` also if it never changes."""
        code = getattr(value, "gi_code", None)
        if code is not None and HOOK in code.co_names:
            if _references(value) <= _PRIVATE + 1:
                self._begins(value)
            return value
        if type(value) in _SEQUENCES and not always:
            return value
        self.step(what)
        return _Iteration(iter(value), self, what)

    def delegated(self, value: Any, what: str) -> Any:
        """The iterable of a `yield from`. A generator must get what its caller sends."""
        return value if hasattr(value, "send") else self.iterated(value, what)

    def context(self, value: Any, enters: str, leaves: str) -> Any:
        """A context manager whose entry and exit are steps."""
        return self._context(value, "__enter__", _Context, enters, leaves)

    def async_context(self, value: Any, enters: str, leaves: str) -> Any:
        """Like `context`, for `async with`."""
        return self._context(value, "__aenter__", _AsyncContext, enters, leaves)

    def _context(
        self, value: Any, name: str, wrapper: type[_Context], enters: str, leaves: str
    ) -> Any:
        generator = getattr(value, "gen", None)
        code = getattr(generator, "gi_code", None) or getattr(generator, "ag_code", None)
        enter = getattr(type(value), name, None)
        if enter is None or not _looks_into_objects(enter):
            return value
        if code is not None and HOOK in code.co_names:
            self._begins(generator)
            return value
        return wrapper(value, self, enters, leaves)


class _Iteration:
    """An iterator that makes a step before each item."""

    def __init__(self, items: Iterable[Any], accesses: Accesses, what: str) -> None:
        self._next = iter(items).__next__
        self._accesses = accesses
        self._what = what

    def __iter__(self) -> _Iteration:
        return self

    def __next__(self) -> Any:
        self._accesses.step(self._what)
        return self._next()


class _Context:
    """A context manager with a step before it is entered and before it is left."""

    def __init__(self, context: Any, accesses: Accesses, enters: str, leaves: str) -> None:
        self._wrapped = context
        self._accesses = accesses
        self._enters = enters
        self._leaves = leaves

    def __enter__(self) -> Any:
        self._accesses.step(self._enters)
        return type(self._wrapped).__enter__(self._wrapped)

    def __exit__(self, *error: Any) -> Any:
        self._accesses.step(self._leaves)
        return type(self._wrapped).__exit__(self._wrapped, *error)


class _AsyncContext(_Context):
    """The same for `async with`."""

    def __aenter__(self) -> Any:
        self._accesses.step(self._enters)
        return type(self._wrapped).__aenter__(self._wrapped)

    def __aexit__(self, *error: Any) -> Any:
        self._accesses.step(self._leaves)
        return type(self._wrapped).__aexit__(self._wrapped, *error)


def _own_attributes(thing: Any) -> Any:
    """The dictionary of an object's own attributes; None if it has none."""
    try:
        return object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None


def _class_attribute(thing: Any, name: str) -> tuple[type | None, Any]:
    """The class that defines an attribute, for a class or its instance, and what it defines."""
    classes = type(thing).__mro__
    if isinstance(thing, type):
        classes += thing.__mro__
    for cls in classes:
        if name in vars(cls):
            return cls, vars(cls)[name]
    return None, None


def _is_own_class(cls: type | None) -> bool:
    """Whether a class is the explorer's: what its objects do is a step already."""
    return cls is not None and is_own_module(cls.__module__)


def _is_own(thing: Any) -> bool:
    """Whether an object is the explorer's, and not of a class that a program derives from it."""
    kind = thing if isinstance(thing, type) else type(thing)
    return all(map(_is_own_class, kind.__mro__[:-1])) and len(kind.__mro__) > 1


def _is_rewritten(function: Any) -> bool:
    code: CodeType | None = getattr(function, "__code__", None)
    return code is not None and HOOK in code.co_names


def _looks_into_objects(function: Any) -> bool:
    """Whether a call does anything that is not a step, to objects that others may see."""
    if id(function) in _UNSEEING:
        return False
    if isinstance(function, MethodType):
        return _looks_into_objects(function.__func__)
    if isinstance(function, FunctionType):
        is_own = is_own_module(function.__globals__.get("__name__", ""))
        return not is_own and not _is_rewritten(function)
    if isinstance(function, type):
        if _is_own(function):
            return False
        if type(function).__call__ is not type.__call__:
            return True
        makes: Any = function.__new__
        begins = function.__init__  # type: ignore[misc]
        is_error = issubclass(function, BaseException)
        is_plain = makes is object.__new__ or (is_error and not isinstance(makes, FunctionType))
        if not is_plain:
            return True
        return isinstance(begins, FunctionType) and _looks_into_objects(begins)
    return True
