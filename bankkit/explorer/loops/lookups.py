"""Looks up what names and attributes in code mean, without running any code of the program."""

from __future__ import annotations

import ast
import builtins
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from bankkit.explorer.engine.ownership import is_own_module
from bankkit.explorer.stand_ins.clock import Time
from bankkit.explorer.stand_ins.primitives import Primitive

SCALARS = (type(None), bool, int, float, complex, str, bytes)
CONTAINERS = (list, tuple, dict, set, frozenset, deque, str, bytes, range)
UNKNOWN: Any = object()
"""A value of which nothing is known."""
SCALAR: Any = object()
"""A number, a text or None that is not known."""
ANSWERS = frozenset({
    "acquire", "locked", "is_set", "isSet", "wait", "is_alive", "empty", "qsize", "n_waiting",
})  # fmt: skip
"""Methods of the primitives that return a number or a bool."""
STEPS = ANSWERS - {"n_waiting"} | {"release", "get", "get_nowait", "notify", "notify_all", "set",
    "clear", "put", "put_nowait"}  # fmt: skip
"""Methods of the primitives that do nothing but steps, which the scheduler sees."""
_OF_QUEUES = frozenset({"get", "get_nowait", "put", "put_nowait", "empty", "full", "qsize"})
"""Methods of `queue.Queue`. Each that changes the queue also makes a step that notifies."""


class Changes(Exception):
    """The code may change something, or that is not known."""


class Variables:
    """The variables of a function, of which some may change."""

    def __init__(
        self, known: Mapping[str, Any], names: Mapping[str, Any], changing: frozenset[str]
    ) -> None:
        self.known = known
        self.names = names
        self.changing = changing
        self.scalars: set[str] = set()
        """Those that change and are always numbers, texts or None."""

    def value(self, name: str) -> Any:
        """The value of a variable as far as it is known."""
        if name in self.changing:
            return SCALAR if name in self.scalars else UNKNOWN
        if name in self.known:
            return self.known[name]
        if name in self.names:
            return self.names[name]
        return getattr(builtins, name, UNKNOWN)


def is_of_explorer(thing: Any) -> bool:
    """Whether a class or function is the explorer's."""
    return is_own_module(getattr(thing, "__module__", ""))


def attribute_of(thing: Any, name: str, call: Callable[[Any, Any], Any] | None = None) -> Any:
    """The attribute of an object, if no code of the program runs when it is read.

    Except for properties, if `call` tells what a function returns when it is called with an object.
    """
    if thing is UNKNOWN or thing is SCALAR:
        raise Changes
    if isinstance(thing, ModuleType):
        if name not in vars(thing):
            raise Changes
        return vars(thing)[name]
    is_class = isinstance(thing, type)
    cls = type(thing)
    has_own_way = getattr(cls, "__getattribute__", None) is not object.__getattribute__
    if has_own_way and not is_class and cls not in CONTAINERS:
        raise Changes
    classes = thing.__mro__ if is_class else cls.__mro__
    found = next((vars(each)[name] for each in classes if name in vars(each)), UNKNOWN)
    if is_class:
        if isinstance(found, staticmethod | classmethod | FunctionType):
            return getattr(thing, name)
        if found is UNKNOWN or hasattr(type(found), "__get__"):
            raise Changes
        return found
    own = getattr(thing, "__dict__", {})
    if hasattr(type(found), "__set__"):
        if is_of_explorer(type(found)):  # to read it is a step
            return own.get(name, UNKNOWN)
        if isinstance(found, MemberDescriptorType) and hasattr(thing, name):
            return getattr(thing, name)
        if isinstance(found, property) and found.fget is not None and call is not None:
            return call(found.fget, thing)
        raise Changes
    if name in own:
        return own[name]
    if isinstance(found, FunctionType | staticmethod | classmethod):
        return getattr(thing, name)
    if found is UNKNOWN:
        raise Changes
    if hasattr(type(found), "__get__"):
        if isinstance(thing, CONTAINERS):
            return getattr(thing, name)
        raise Changes
    return found


def method_of_primitive(function: Any) -> str:
    """The name of the primitive's own method that a callable is; empty if it is none."""
    if not isinstance(function, MethodType) or not isinstance(function.__self__, Primitive):
        return ""
    return function.__func__.__name__ if is_of_explorer(function.__func__) else ""


def method_of_queue(function: Any) -> str:
    """The name of the method of a `queue.Queue` that a callable is; empty if it is none."""
    if not isinstance(function, MethodType) or function.__func__.__module__ != "queue":
        return ""
    owner, _, name = function.__func__.__qualname__.rpartition(".")
    return name if owner == "Queue" and name in _OF_QUEUES else ""


def is_step(function: Any) -> bool:
    """Whether a call of this function always makes a step."""
    if isinstance(function, MethodType) and isinstance(function.__self__, Time):
        return function.__func__.__name__ == "sleep"
    return method_of_primitive(function) in STEPS or bool(method_of_queue(function))


def looked_up(node: ast.expr, scope: Variables) -> Any:
    """The value of a name or of an attribute; unknown if there may be more to it."""
    try:
        if isinstance(node, ast.Name):
            return scope.value(node.id)
        if isinstance(node, ast.Attribute):
            return attribute_of(looked_up(node.value, scope), node.attr)
    except Changes:
        pass
    return UNKNOWN


def is_scalar(value: Any) -> bool:
    """Whether a value is a number, a text or None."""
    return value is SCALAR or type(value) in SCALARS


def is_comparable(value: Any) -> bool:
    """Whether `==` and `<` run no code of the program."""
    if value is UNKNOWN:
        return False
    return is_scalar(value) or getattr(type(value), "__eq__", None) is object.__eq__


def has_plain_truth(value: Any) -> bool:
    """Whether to test the value runs no code of the program."""
    if value is UNKNOWN:
        return False
    cls = type(value)
    methods = getattr(cls, "__bool__", None), getattr(cls, "__len__", None)
    return not any(isinstance(each, FunctionType) and not is_of_explorer(each) for each in methods)


def either(values: Sequence[Any]) -> Any:
    """One of these values."""
    if all(map(is_scalar, values)):
        return SCALAR
    return values[0] if all(each is values[0] for each in values) else UNKNOWN
