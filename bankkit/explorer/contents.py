"""Notices what changes in the objects of a program, whatever changes them.

Code may change an object through `setattr`, `exec`, a method of a class written in C, and more. So
the contents of the objects that threads can reach are compared with what they were a step ago.
"""

from __future__ import annotations

import array
import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from operator import is_
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, NamedTuple

from bankkit.explorer.closure_cells import EMPTY, contents_of
from bankkit.explorer.frame_values import MISSING, SCALARS, attribute_of, dict_of, is_scalar
from bankkit.explorer.outsiders import is_of_a_package, is_of_the_explorer, is_of_the_library
from bankkit.explorer.races import EVERY, Usage
from bankkit.explorer.stand_in import PointProxy
from bankkit.explorer.tracking import TrackedAttribute, is_stand_in, slots_of

MOST = 3000
"""So many objects of one schedule are compared."""

BUFFERS = (bytearray, array.array, memoryview)
CONTAINERS = (dict, list, deque, set, *BUFFERS)
"""The classes of containers that code in C changes."""

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: all classes made by class statements, and some others
_CODE = (type, ModuleType, FunctionType, MethodType, BuiltinMethodType)


class Same:
    """A key that is equal to itself only, whatever its class says."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.key is self.key

    def __hash__(self) -> int:
        return id(self.key)

    def __repr__(self) -> str:
        return f"<{type(self.key).__name__}>"


Change = tuple[object, Any, Usage, str]
"""The object that was changed, at which key, how, and what the program calls the place."""


def is_container(value: object) -> bool:
    """Whether the value is a container that is not tracked."""
    return issubclass(type(value), CONTAINERS)


def containers_in(value: Any) -> list[Any]:
    """The container itself, or those in which a collection of the library keeps its items."""
    if is_container(value):
        return [value]
    if type(value).__module__ not in _COLLECTIONS:
        return []
    return [each for each in (dict_of(value) or {}).values() if is_container(each)]


_COLLECTIONS = ("collections", "weakref", "_weakrefset")
"""The modules whose classes are collections that Python code implements."""


class _Watched(NamedTuple):
    thing: Any
    name: str
    part: Callable[[str, Any], str]
    """What the program calls a part of it, by its own name and the part's key."""
    read: Callable[[], Any]
    compare: Callable[[Any, Any], Iterator[tuple[Any, Usage]]]
    skips: Callable[[Any], bool]
    """Whether changes of a part are no matter, because they are steps already."""


class Contents:
    """The contents of all objects that the threads of one schedule can reach.

    `is_ignored` tells which objects are not looked at, nor what only they have.
    """

    def __init__(self, is_ignored: Callable[[Any], bool]) -> None:
        self._is_ignored = is_ignored
        self._known: dict[int, Any] = {}
        self._ignored: dict[int, Any] = {}
        self._watched: list[_Watched] = []
        self._before: list[Any] = []
        self._to_add: list[tuple[Any, str]] = []

    def clear(self) -> None:
        """Forget the schedule."""
        self._known.clear()
        self._ignored.clear()
        self._watched.clear()
        self._before.clear()

    def add(self, value: Any, name: str) -> None:
        """Compare this object from now on, and all that it holds. The program calls it `name`."""
        if type(value) in SCALARS or id(value) in self._known:
            return
        self._to_add.append((value, name))
        while self._to_add and len(self._known) < MOST:
            each, its_name = self._to_add.pop()
            if type(each) not in SCALARS and id(each) not in self._known:
                self._known[id(each)] = each
                if not self._is_ignored(each):
                    self._add(each, its_name)
        self._to_add.clear()

    def ignore(self, value: Any) -> None:
        """Do not look at this object, nor at the containers and objects that it has."""
        todo = [value]
        while todo:
            each = todo.pop()
            kind = type(each)
            if id(each) in self._ignored or kind in SCALARS or issubclass(kind, _CODE):
                continue
            self._ignored[id(each)] = each
            if issubclass(kind, dict):
                todo += dict.values(each)
            elif issubclass(kind, list | deque | set | tuple | frozenset):
                todo += each
            own = dict_of(each)
            if own is not None:
                todo.append(own)
            todo += [attribute_of(each, name) for name in slots_of(kind)]
        self._known |= self._ignored
        kept = [number for number, each in enumerate(self._watched)
                if id(each.thing) not in self._ignored]  # fmt: skip
        self._watched = [self._watched[number] for number in kept]
        self._before = [self._before[number] for number in kept]

    def add_globals(self, names: dict[str, Any], code: CodeType) -> None:
        """Compare the globals that the code names."""
        if id(code) in self._known:
            return
        self._known[id(code)] = code
        used = tuple(_globals_of(code))
        self._watch(names, "", _itself, partial(_some, names, used), _changed_keys)
        for each in used:
            if each in names:
                self._to_add.append((names[each], each))

    def changes(self) -> list[Change]:
        """What has changed since the last call of this method, or since it was added."""
        found: list[Change] = []
        for number, each in enumerate(self._watched):
            now, before = each.read(), self._before[number]
            if _is_same(before, now):
                continue
            self._before[number] = now
            for key, kind in each.compare(before, now):
                if not each.skips(key):
                    found.append(
                        (
                            each.thing,
                            key,
                            kind,
                            each.name if key is EVERY else each.part(each.name, key),
                        )
                    )
        for thing, key, _, name in found:
            self._add_part(thing, key, name)
        return found

    def _add_part(self, thing: Any, key: Any, name: str) -> None:
        if isinstance(thing, CellType):
            self.add(contents_of(thing), name)
        elif issubclass(type(thing), dict) and key is not EVERY:
            if is_scalar(key):
                self.add(dict.get(thing, key), name)
            else:
                for each in dict.values(thing):
                    self.add(each, name)
        elif issubclass(type(thing), list | deque):
            for each in list(thing):
                self.add(each, name)

    def _watch(
        self,
        thing: Any,
        name: str,
        part: Callable[[str, Any], str],
        read: Callable[[], Any],
        compare: Callable[[Any, Any], Iterator[tuple[Any, Usage]]],
        skips: Callable[[Any], bool] = lambda key: False,
    ) -> None:
        self._watched.append(_Watched(thing, name, part, read, compare, skips))
        self._before.append(read())

    def _add(self, value: Any, name: str) -> None:
        kind = type(value)
        if kind is PointProxy:
            self.ignore(value._thing)
        elif issubclass(kind, type):
            self._add_class(value)
        elif kind is FunctionType:
            self._add_function(value, name)
        elif kind is CellType:
            self._watch(value, name, _itself, partial(contents_of, value), _changed)
            self._to_add.append((contents_of(value), name))
        elif kind is MethodType:
            self._to_add += [(value.__self__, name.rpartition(".")[0]), (value.__func__, name)]
        elif kind is BuiltinMethodType:
            self._to_add.append((value.__self__, name.rpartition(".")[0] or name))
        elif kind is partial:
            self._to_add += [(each, name) for each in (value.func, *value.args)]
            self._to_add += [(each, name) for each in value.keywords.values()]
        elif kind in (classmethod, staticmethod):
            self._to_add.append((value.__func__, name))
        elif kind is property:
            self._to_add += [(each, name) for each in (value.fget, value.fset) if each]
        elif issubclass(kind, tuple | frozenset):
            self._to_add += [(each, f"{name}[{number}]") for number, each in enumerate(value)]
        elif is_stand_in(kind):
            self._add_thread(value, name)
        else:
            self._add_object(value, name)

    def _add_object(self, value: Any, name: str) -> None:
        kind: Any = type(value)
        if issubclass(kind, dict):
            self._add_dict(value, name, _item)
        elif issubclass(kind, list | deque):
            copy = list if issubclass(kind, list) else deque
            self._watch(value, name, _item, partial(copy, value), _changed_items)
            self._to_add += [(each, f"{name}[{number}]") for number, each in enumerate(value)]
        elif issubclass(kind, set):
            self._watch(value, name, _member, partial(frozenset, value), _changed_members)
        elif issubclass(kind, BUFFERS):
            self._watch(value, name, _item, partial(bytes, value), _changed)
        if not _is_looked_into(kind):
            return
        self._to_add.append((kind, kind.__name__))
        own = dict_of(value)
        if own is not None:
            self._known[id(own)] = own
            self._add_dict(own, name, _attribute, partial(_is_tracked, value))
        slots = tuple(slots_of(kind))
        if slots:
            self._watch(
                value, name, _attribute, partial(_slots, value, slots), _changed_keys,
                partial(_is_tracked, value),
            )  # fmt: skip
            self._to_add += [(attribute_of(value, each), f"{name}.{each}") for each in slots]

    def _add_dict(
        self,
        value: Any,
        name: str,
        part: Callable[[str, Any], str],
        skips: Callable[[Any], bool] = lambda key: False,
    ) -> None:
        self._watch(value, name, part, partial(dict.copy, value), _changed_keys, skips)
        self._to_add += [(each, part(name, key)) for key, each in dict.items(value)]

    def _add_class(self, cls: Any) -> None:
        if _is_looked_into(cls) and not is_stand_in(cls):
            name = cls.__name__
            self._watch(cls, name, _attribute, vars(cls).copy, _changed_keys, _is_internal)
            self._to_add += [(each, f"{name}.{key}") for key, each in _of_class(cls).items()]
            self._to_add += [(base, base.__name__) for base in cls.__bases__]

    def _add_function(self, function: FunctionType, name: str) -> None:
        code = function.__code__
        if not is_of_the_program(code.co_filename):
            return
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._to_add.append((cell, variable))
        parts = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        self._to_add += [(each, f"a default of {code.co_name}") for each in parts]
        self._add_dict(vars(function), name, _attribute)
        self.add_globals(function.__globals__, code)

    def _add_thread(self, thread: Any, name: str) -> None:
        """What a thread that has not started is about to use, and what its class keeps."""
        own = dict_of(thread) or {}
        parts = [own.get("_target"), *own.get("_args", ()), *own.get("_kwargs", {}).values()]
        self._to_add += [(each, getattr(each, "__name__", name)) for each in parts]
        for cls in type(thread).__mro__:
            if not is_stand_in(cls):
                self._to_add.append((cls, cls.__name__))


def is_of_the_program(file: str) -> bool:
    """Whether the code in the file is neither Python's, nor a package's, nor the explorer's."""
    return not (is_of_the_library(file) or is_of_a_package(file) or is_of_the_explorer(file))


@lru_cache(maxsize=4096)
def _is_looked_into(cls: Any) -> bool:
    """Whether the objects of the class have attributes that the program may change."""
    if cls is SimpleNamespace:
        return True
    if not cls.__flags__ & _HEAP_TYPE:
        return False
    name = str(cls.__module__)
    if name in _COLLECTIONS:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return is_of_the_program(file) if file else name.partition(".")[0] not in _LIBRARY


_LIBRARY = sys.stdlib_module_names - {"__main__"}


def _is_internal(name: Any) -> bool:
    return str(name).startswith(("__", "_abc_"))


def _is_tracked(thing: Any, name: Any) -> bool:
    return isinstance(vars(type(thing)).get(name), TrackedAttribute)


def _globals_of(code: CodeType) -> Iterator[str]:
    todo = [code]
    found: dict[str, None] = {}
    while todo:
        each = todo.pop()
        found |= dict.fromkeys(each.co_names)
        todo += [part for part in each.co_consts if isinstance(part, CodeType)]
    yield from found


# How to read an object without calling the program's code.


def _some(names: dict[str, Any], used: tuple[str, ...]) -> dict[str, Any]:
    return {name: names[name] for name in used if name in names}


def _of_class(cls: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith(("__", "_abc_")) and not isinstance(value, TrackedAttribute)
    }


def _slots(thing: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: attribute_of(thing, name) for name in names}
    return {name: value for name, value in found.items() if value is not MISSING}


# How to compare two readings of an object.


def _is_same(before: Any, now: Any) -> bool:
    if before is now:
        return True
    kind = type(before)
    if kind is not type(now):
        return False
    if kind is dict:
        return (
            len(before) == len(now)
            and all(map(is_, before, now))
            and all(map(is_, before.values(), now.values()))
        )
    if kind in (list, deque):
        return len(before) == len(now) and all(map(is_, before, now))
    if kind is frozenset:
        return len(before) == len(now) and set(map(id, before)) == set(map(id, now))
    return kind is bytes and bool(before == now)


def _changed(before: Any, now: Any) -> Iterator[tuple[Any, Usage]]:
    yield EVERY, Usage.WRITE


def _changed_keys(before: Any, now: Any) -> Iterator[tuple[Any, Usage]]:
    # A dict keeps the key that it got first, so keys can be told apart by identity.
    old = {id(key): value for key, value in before.items()}
    new = {id(key): value for key, value in now.items()}
    for key in (*before, *(each for each in now if id(each) not in old)):
        if old.get(id(key), EMPTY) is not new.get(id(key), EMPTY):
            yield key if is_scalar(key) else Same(key), Usage.WRITE


def _changed_items(before: Any, now: Any) -> Iterator[tuple[Any, Usage]]:
    if len(now) > len(before) and all(map(is_, before, now)):
        yield EVERY, Usage.APPEND
    elif len(now) == len(before):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            if old is not new:
                yield number, Usage.WRITE
    else:
        yield EVERY, Usage.WRITE


def _changed_members(before: Any, now: Any) -> Iterator[tuple[Any, Usage]]:
    old, new = ({id(each): each for each in members} for members in (before, now))
    for each in (*before, *now):
        if id(each) not in old or id(each) not in new:
            yield each if is_scalar(each) else Same(each), Usage.WRITE


# What the program calls a part of an object.


def _itself(name: str, key: Any) -> str:
    return name or str(key)


def _attribute(name: str, key: Any) -> str:
    return f"{name}.{key}"


def _item(name: str, key: Any) -> str:
    return f"{name}[{repr(key)[:40]}]"


def _member(name: str, key: Any) -> str:
    return name
