"""Finds the functions that `lines=` names: in a module, in a class, and behind decorators."""

from __future__ import annotations

import dataclasses
import functools
import gc
import sys
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from bankkit.explorer.engine.ownership import is_own_module

_WRAPS = ("__wrapped__", "__func__", "func", "fget", "fset", "fdel", "dispatcher")
"""Where decorators and descriptors keep the function that they wrap."""
_COMPILED = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)
_DESCRIPTORS = (
    staticmethod, classmethod, property, functools.cached_property, functools.partial,
    functools.partialmethod, functools.singledispatchmethod,
)  # fmt: skip
_FUNCTIONS = (FunctionType, MethodType, *_DESCRIPTORS)
_CALLED = ("__call__", "__get__", "__set__")
"""The methods of a class that decorates functions."""
_GENERATED = "<string>"
"""The file of a method that `dataclass` or `namedtuple` generates."""


def functions_of(thing: object) -> list[FunctionType]:
    """The functions of a function, class or module, without those that were only imported.

    Raises TypeError for anything else, and for something in it whose function cannot be found.
    """
    found: dict[int, FunctionType] = {}
    if isinstance(thing, ModuleType):
        _of_module(thing, found)
    elif isinstance(thing, type):
        _of_class(thing, thing.__qualname__, found)
    else:
        if not isinstance(thing, _FUNCTIONS) and not hasattr(thing, "__wrapped__"):
            raise TypeError(
                f"lines= takes functions, classes and modules, not {thing!r}."
                + (" It is written in C." if isinstance(thing, _COMPILED) else "")
            )
        _behind(thing, getattr(thing, "__qualname__", repr(thing)), found)
    if not found:
        raise TypeError(f"lines= found no Python function in {thing!r}.")
    return list(found.values())


def _of_module(module: ModuleType, found: dict[int, FunctionType]) -> None:
    file = getattr(module, "__file__", None)
    for name, value in list(vars(module).items()):
        if isinstance(value, type):
            if value.__module__ == module.__name__:
                _of_class(value, f"{module.__name__}.{value.__qualname__}", found)
        elif isinstance(value, FunctionType) or hasattr(value, "__wrapped__"):
            behind: dict[int, FunctionType] = {}
            _behind(value, f"{module.__name__}.{name}", behind)
            if any(_is_in(module, file, function) for function in behind.values()):
                found |= behind
    # A function may also be in a table, or in an object that a decorator has left.
    for each in gc.get_objects():
        if type(each) is FunctionType and _is_in(module, file, each):
            found[id(each)] = each


def _is_in(module: ModuleType, file: str | None, function: FunctionType) -> bool:
    if function.__code__.co_filename == _GENERATED:
        return False
    if file is not None:
        return function.__code__.co_filename == file
    return function.__globals__ is vars(module)


def _of_class(cls: type[Any], where: str, found: dict[int, FunctionType]) -> None:
    for base in cls.__mro__:
        if base is cls or not _is_library(base):
            for name, value in list(vars(base).items()):
                _of_attribute(base, name, value, where, found)


def _of_attribute(
    cls: type[Any], name: str, value: Any, where: str, found: dict[int, FunctionType]
) -> None:
    if isinstance(value, type):
        is_nested = value.__qualname__.startswith(f"{cls.__qualname__}.")
        if is_nested and value.__module__ == cls.__module__ and value is not cls:
            _of_class(value, f"{where}.{name}", found)
    elif not isinstance(value, _COMPILED) and (callable(value) or hasattr(type(value), "__get__")):
        behind: dict[int, FunctionType] = {}
        _behind(value, f"{where}.{name}", behind)
        generates = dataclasses.is_dataclass(cls) or issubclass(cls, tuple)
        for key, function in behind.items():
            # A generated method is one step, as if it were written in C.
            if not (generates and function.__code__.co_filename == _GENERATED):
                found[key] = function


def _behind(value: Any, where: str, found: dict[int, FunctionType]) -> None:
    """The function itself, and those that it wraps. Raises TypeError if there is none."""
    seen: set[int] = set()
    queue = [value]
    count = 0
    while queue:
        each = queue.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, FunctionType):
            count += 1
            is_wrapper = each is not value or hasattr(each, "__wrapped__")
            if not (is_wrapper and _is_of_library(each)):
                found[id(each)] = each
            queue += _enclosed(each)
        if isinstance(each, (MethodType, *_DESCRIPTORS)):
            queue += [getattr(each, name, None) for name in _WRAPS]
        own = getattr(each, "__dict__", {})
        queue.append(own.get("__wrapped__"))
        if "dispatch" in own:  # `functools.singledispatch`
            queue += list(own["registry"].values())
        if not isinstance(each, FunctionType | type) and not _is_library(type(each)):
            queue += [getattr(type(each), name, None) for name in _CALLED]
            queue += [part for part in own.values() if isinstance(part, _FUNCTIONS)]
    if not count and hasattr(type(value), "__get__") and not _is_library(type(value)):
        raise TypeError(f"lines= cannot find the function behind {where}, which is {value!r}.")


def _enclosed(function: FunctionType) -> Iterator[Any]:
    """The functions that a decorator's inner function has in its closure.

    A function of the same body, which it can also call, is a function of its own.
    """
    around = function.__qualname__.rpartition(".<locals>.")[0]
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if isinstance(content, _FUNCTIONS):
            its_around = getattr(content, "__qualname__", "").rpartition(".<locals>.")[0]
            if its_around != around and not its_around.startswith(f"{around}.<locals>."):
                yield content


def _is_library(cls: type[Any]) -> bool:
    """Whether a class belongs to the standard library, is written in C, or is the explorer's."""
    top = str(cls.__module__).partition(".")[0]
    return top in sys.stdlib_module_names or is_own_module(cls.__module__)


def _is_of_library(function: FunctionType) -> bool:
    top = str(function.__globals__.get("__name__")).partition(".")[0]
    return top in sys.stdlib_module_names
