"""Notices what changes in the objects of a program, whatever changes them.

Code may change an object through `setattr`, `exec`, a method of a class written in C, and more. So
the contents of the objects that threads can reach are compared with what they were a step ago.
"""

from __future__ import annotations

import array
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain, repeat
from operator import eq, is_
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from bankkit.explorer.certificate.closure_cells import EMPTY, contents_of
from bankkit.explorer.certificate.frame_values import (
    MISSING,
    SCALARS,
    attribute_of,
    dict_of,
    is_scalar,
)
from bankkit.explorer.engine.ownership import is_of_the_program
from bankkit.explorer.engine.races import EVERY, Usage
from bankkit.explorer.stand_ins.stand_in import PointProxy
from bankkit.explorer.stand_ins.tracking import (
    TrackedAttribute,
    is_stand_in,
    is_tracked_attribute,
    slots_of,
)

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


class _Watched(ABC):
    """What an object held when it was looked at last."""

    def __init__(self, thing: Any, name: str, part: Callable[[str, Any], str]) -> None:
        self.thing = thing
        self.name = name
        self._part = part
        """What the program calls a part of it, by its own name and the part's key."""
        self.keep()

    @abstractmethod
    def keep(self) -> None:
        """Remember what the object holds now."""

    @abstractmethod
    def is_same(self) -> bool:
        """Whether it still holds that."""

    @abstractmethod
    def compared(self) -> Iterator[tuple[Any, Usage]]:
        """The keys of the parts that are not the same, and how they were changed."""

    def changes(self) -> Iterator[Change]:
        """What has changed since `keep` was called."""
        for key, usage in self.compared():
            yield self.thing, key, usage, self.name if key is EVERY else self._part(self.name, key)


class _Mapping(_Watched):
    """A dictionary, or the attributes of a class."""

    def __init__(
        self,
        thing: Any,
        name: str,
        part: Callable[[str, Any], str],
        mapping: Any,
        skips: Callable[[Any], bool] = lambda key: False,
    ) -> None:
        kind = dict if isinstance(mapping, dict) else type(mapping)
        self.keys, self.values = kind.keys(mapping), kind.values(mapping)  # these are views
        self._skips = skips
        """Whether changes of a part are no matter, because they are steps already."""
        super().__init__(thing, name, part)

    def keep(self) -> None:
        self.old_keys, self.old_values = tuple(self.keys), tuple(self.values)

    def is_same(self) -> bool:
        return (
            len(self.keys) == len(self.old_keys)
            and all(map(is_, self.values, self.old_values))
            and all(map(is_, self.keys, self.old_keys))
        )

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        before = zip(self.old_keys, self.old_values, strict=True)
        for key in _differing(before, zip(self.keys, self.values, strict=True)):
            if not self._skips(key):
                yield key if is_scalar(key) else Same(key), Usage.WRITE


class _Globals(_Watched):
    """Those globals of a module that the code names."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.before: dict[str, Any] = {}
        super().__init__(names, "", _itself)

    def add(self, used: Iterable[str]) -> list[str]:
        """Also watch these; return those that are new and exist."""
        new = [each for each in used if each not in self.before]
        self.before.update((each, self.thing.get(each, EMPTY)) for each in new)
        return [each for each in new if each in self.thing]

    def keep(self) -> None:
        self.before = {each: self.thing.get(each, EMPTY) for each in self.before}

    def is_same(self) -> bool:
        now = map(self.thing.get, self.before, repeat(EMPTY))
        return all(map(is_, now, self.before.values()))

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        for name, value in self.before.items():
            if self.thing.get(name, EMPTY) is not value:
                yield name, Usage.WRITE


class _Slots(_Watched):
    """The attributes that an object has in slots."""

    def __init__(self, thing: Any, name: str, names: tuple[str, ...]) -> None:
        self._names = names
        super().__init__(thing, name, _attribute)

    def _now(self) -> list[Any]:
        cls: Any = type(self.thing)  # tracking gives it another one
        if _has_plain_slots(cls, self._names):
            return list(map(getattr, repeat(self.thing), self._names, repeat(MISSING)))
        return [attribute_of(self.thing, name) for name in self._names]

    def keep(self) -> None:
        self._before = self._now()

    def is_same(self) -> bool:
        return all(map(is_, self._before, self._now()))

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        for name, before, now in zip(self._names, self._before, self._now(), strict=True):
            if before is not now and not is_tracked_attribute(self.thing, name):
                yield name, Usage.WRITE


class _Items(_Watched):
    """A list or a deque."""

    def __init__(self, thing: Any, name: str) -> None:
        self._kind: Any = list if isinstance(thing, list) else deque
        self._length: Callable[[Any], int] = self._kind.__len__
        super().__init__(thing, name, _item)

    def keep(self) -> None:
        self._before = list(self._kind.__iter__(self.thing))

    def is_same(self) -> bool:
        length = self._length(self.thing)
        return length == len(self._before) and (not length or self._begins_as_before())

    def _begins_as_before(self) -> bool:
        return all(map(is_, self._before, self._kind.__iter__(self.thing)))

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        longer = self._length(self.thing) - len(self._before)
        if longer > 0 and self._begins_as_before():
            yield EVERY, Usage.APPEND
        elif longer:
            yield EVERY, Usage.WRITE
        else:
            for number, now in enumerate(self._kind.__iter__(self.thing)):
                if self._before[number] is not now:
                    yield number, Usage.WRITE


class _Members(_Watched):
    """A set."""

    def keep(self) -> None:
        self._before = {id(each): each for each in set.__iter__(self.thing)}

    def is_same(self) -> bool:
        return self._before.keys() == set(map(id, set.__iter__(self.thing)))

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        before = ((each, each) for each in self._before.values())
        for each in _differing(before, ((each, each) for each in set.__iter__(self.thing))):
            yield each if is_scalar(each) else Same(each), Usage.WRITE


class _Whole(_Watched):
    """What has no parts: the bytes of a buffer, or the value of a closure's variable."""

    def __init__(
        self,
        thing: Any,
        name: str,
        read: Callable[[Any], Any],
        is_equal: Callable[[Any, Any], bool],
    ) -> None:
        self._read = read
        self._is_equal = is_equal
        super().__init__(thing, name, _itself)

    def keep(self) -> None:
        self._before = self._read(self.thing)

    def is_same(self) -> bool:
        return self._is_equal(self._before, self._read(self.thing))

    def compared(self) -> Iterator[tuple[Any, Usage]]:
        yield EVERY, Usage.WRITE


def _differing(before: Iterable[tuple[Any, Any]], now: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """The keys, told apart by identity, whose values differ."""
    old = {id(key): (key, value) for key, value in before}
    new = {id(key): (key, value) for key, value in now}
    for number, (key, value) in (new | old).items():
        if number not in new or number not in old or new[number][1] is not value:
            yield key


class Contents:
    """The contents of all objects that the threads of one schedule can reach.

    `is_ignored` tells which objects are not looked at, nor what only they have.
    """

    def __init__(self, is_ignored: Callable[[Any], bool]) -> None:
        self._is_ignored = is_ignored
        self._known: dict[int, Any] = {}
        self._ignored: dict[int, Any] = {}
        self._watched: list[_Watched] = []
        self._still: list[_Mapping] = []
        """Mappings that have not changed so far. They are compared all at once."""
        self._views: tuple[list[Any], ...] = ()
        """Their keys and values and how many, and what these were; empty if one was added."""
        self._globals: dict[int, _Globals] = {}
        self._to_add: list[tuple[Any, str]] = []

    def clear(self) -> None:
        """Forget the schedule."""
        self._known.clear()
        self._ignored.clear()
        self._watched.clear()
        self._still.clear()
        self._views = ()
        self._globals.clear()

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

    def knows(self, value: Any) -> bool:
        """Whether this object was added. Then it is alive until `clear` is called."""
        return id(value) in self._known

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
        ignored = self._ignored
        self._watched = [each for each in self._watched if id(each.thing) not in ignored]
        self._still = [each for each in self._still if id(each.thing) not in ignored]
        self._views = ()

    def add_globals(self, names: dict[str, Any], code: CodeType) -> None:
        """Compare the globals that the code names."""
        if id(code) in self._known:
            return
        self._known[id(code)] = code
        watched = self._globals.get(id(names))
        if watched is None:
            watched = self._globals[id(names)] = _Globals(names)
            self._watched.append(watched)
        self._to_add += [(names[each], each) for each in watched.add(_globals_of(code))]

    def changes(self) -> list[Change]:
        """What has changed since the last call of this method, or since it was added."""
        changed = [each for each in self._watched if not each.is_same()]
        if self._still and not self._are_still():
            moved = [each for each in self._still if not each.is_same()]
            self._still = [each for each in self._still if each not in moved]
            self._views = ()
            self._watched += moved
            changed += moved
        found: list[Change] = []
        for each in changed:
            found += each.changes()
            each.keep()
        for thing, key, _, name in found:
            self._add_part(thing, key, name)
        return found

    def _are_still(self) -> bool:
        """Whether none of the mappings that have not changed so far has changed now."""
        if not self._views:
            still = self._still
            self._views = (
                [each.keys for each in still], [each.values for each in still],
                [len(each.old_keys) for each in still],
                [key for each in still for key in each.old_keys],
                [value for each in still for value in each.old_values],
            )  # fmt: skip
        keys, values, lengths, old_keys, old_values = self._views
        return (
            list(map(len, keys)) == lengths
            and all(map(is_, chain.from_iterable(values), old_values))
            and all(map(is_, chain.from_iterable(keys), old_keys))
        )

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

    def _add(self, value: Any, name: str) -> None:
        kind = type(value)
        if kind is PointProxy:
            self.ignore(value._thing)
        elif issubclass(kind, type):
            self._add_class(value)
        elif kind is FunctionType:
            self._add_function(value, name)
        elif kind is CellType:
            self._watched.append(_Whole(value, name, contents_of, is_))
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
            self._watched.append(_Items(value, name))
            self._to_add += [(each, f"{name}[{number}]") for number, each in enumerate(value)]
        elif issubclass(kind, set):
            self._watched.append(_Members(value, name, _member))
        elif issubclass(kind, BUFFERS):
            self._watched.append(_Whole(value, name, bytes, eq))
        if not is_looked_into(kind):
            return
        self._to_add.append((kind, kind.__name__))
        own = dict_of(value)
        if own is not None:
            self._known[id(own)] = own
            self._add_dict(own, name, _attribute, partial(is_tracked_attribute, value))
        slots = tuple(slots_of(kind))
        if slots:
            self._watched.append(_Slots(value, name, slots))
            self._to_add += [(attribute_of(value, each), f"{name}.{each}") for each in slots]

    def _add_dict(
        self,
        value: Any,
        name: str,
        part: Callable[[str, Any], str],
        skips: Callable[[Any], bool] = lambda key: False,
    ) -> None:
        self._still.append(_Mapping(value, name, part, value, skips))
        self._views = ()
        self._to_add += [(each, part(name, key)) for key, each in dict.items(value)]

    def _add_class(self, cls: Any) -> None:
        if is_looked_into(cls) and not is_stand_in(cls):
            name = cls.__name__
            self._still.append(_Mapping(cls, name, _attribute, vars(cls), _is_internal))
            self._views = ()
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


@lru_cache(maxsize=4096)
def is_looked_into(cls: Any) -> bool:
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


@lru_cache(maxsize=4096)
def _has_plain_slots(cls: Any, names: tuple[str, ...]) -> bool:
    """Whether to get these attributes of an object calls no code of the program."""
    found = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return (
        cls.__getattribute__ is object.__getattribute__
        and "__getattr__" not in found
        and all(isinstance(found[name], MemberDescriptorType) for name in names)
    )


def _is_internal(name: Any) -> bool:
    return str(name).startswith(("__", "_abc_"))


@lru_cache(maxsize=4096)
def _globals_of(code: CodeType) -> tuple[str, ...]:
    todo = [code]
    found: dict[str, None] = {}
    while todo:
        each = todo.pop()
        found |= dict.fromkeys(each.co_names)
        todo += [part for part in each.co_consts if isinstance(part, CodeType)]
    return tuple(found)


# How to read an object without calling the program's code.


def _of_class(cls: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith(("__", "_abc_")) and not isinstance(value, TrackedAttribute)
    }


# What the program calls a part of an object.


def _itself(name: str, key: Any) -> str:
    return name or str(key)


def _attribute(name: str, key: Any) -> str:
    return f"{name}.{key}"


def _item(name: str, key: Any) -> str:
    return f"{name}[{repr(key)[:40]}]"


def _member(name: str, key: Any) -> str:
    return name
