"""Tracked containers: each operation on a dict, list, set, deque or bytearray is a step.

A tracked container stands for the real one, which keeps its contents. So code that has the real
container sees the same contents, although its accesses are not steps. What CPython does under its
global lock in one go (`append`, `pop`, `update`, `list(items)`) is one step; a `for` loop makes one
step for each item. `items[0] += 1` is two steps, as in the real interpreter.

Code written in C that insists on the real type, such as `heapq` or `json`, refuses a tracked
container with TypeError; the laboratory reports that as an unsupported scenario.
"""

from __future__ import annotations

import copy
import dis
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeGuard

from bankkit.explorer.engine.scheduler import Op
from bankkit.explorer.stand_ins import primitives

CONTAINERS = (dict, list, set, deque, bytearray, OrderedDict, defaultdict, Counter)
"""The classes that have tracked versions. A subclass of one of them has none."""

PREFIX = "Tracked"
"""The names of the classes of tracked containers begin with it."""

READING = frozenset({
    "__add__", "__and__", "__bool__", "__bytes__", "__contains__", "__eq__", "__ge__",
    "__getitem__", "__gt__", "__iter__",
    "__le__", "__len__", "__lt__", "__mod__", "__mul__", "__ne__", "__or__", "__rand__",
    "__repr__", "__reversed__", "__rmod__",
    "__rmul__", "__ror__", "__rsub__", "__rxor__", "__sub__", "__xor__", "__str__", "__format__",
    "__buffer__",
    "capitalize", "center", "copy", "count", "decode", "difference", "elements", "endswith",
    "expandtabs", "find", "get", "hex", "index",
    "intersection", "isalnum", "isalpha", "isascii", "isdigit", "isdisjoint", "islower",
    "isspace", "issubset", "issuperset",
    "istitle", "isupper", "items", "join", "keys", "ljust", "lower", "lstrip", "maxlen",
    "most_common", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith",
    "strip", "swapcase", "symmetric_difference", "title", "total", "translate", "union", "upper",
    "values", "zfill",
})  # fmt: skip
"""The methods that leave a container as it is. Any other method counts as a change."""

_OF_AN_ITEM = frozenset(
    {"__getitem__", "get", "pop", "popitem", "popleft", "setdefault", "__reversed__", "most_common"}
)
"""The methods that return what the container holds."""

TAKES_AN_ITEM = frozenset({"__setitem__", "add", "append", "appendleft", "insert", "setdefault"})
"""The methods that put their argument into the container as it is."""

_ORDINARY = frozenset({
    "__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__getattribute__",
    "__getstate__", "__hash__",
    "__init__", "__init_subclass__", "__new__", "__reduce__", "__reduce_ex__", "__setattr__",
    "__sizeof__",
    "__subclasshook__", "__copy__", "__deepcopy__", "__setstate__", "__dict__", "__module__",
    "__weakref__",
})  # fmt: skip
"""The names that are not passed on to the real container."""

_CALLS_OF_C = frozenset(
    number
    for name, number in dis.opmap.items()
    if name.startswith(
        ("CALL", "PRECALL", "LIST_EXTEND", "SET_UPDATE", "DICT_", "UNPACK", "LIST_TO")
    )
)
"""The instructions during which code in C may do many operations in one go."""

_WORDS = {
    "__len__": "read the length of {}",
    "__bool__": "read the length of {}",
    "__iter__": "begin to iterate over {}",
    "__next__": "read the next item of {}",
    "__reversed__": "begin to iterate over {}",
    "__contains__": "look for an item in {}",
    "__getitem__": "read {}[…]",
    "__setitem__": "write {}[…]",
    "__delitem__": "delete {}[…]",
    "__eq__": "compare {}",
    "__ne__": "compare {}",
}


class Keeper(Protocol):
    """The tracker, as far as containers need it."""

    def point(self, op: Op, target: Any, arg: Any = None) -> int:
        """Announce an operation; see `Scheduler.point`."""

    def adopt(self, value: Any) -> Any:
        """Track a value that is being stored, and what is in it; return what to store."""

    def hand_out(self, value: Any) -> Any:
        """Return the tracked version of a value that the program reads."""


class _Class(type):
    """The class of the classes of tracked containers: they say what they are without a step."""


class TrackedContainer(metaclass=_Class):
    """The base class of tracked containers. The program sees the real container's class."""

    __slots__ = ("_tracked_by", "_tracked_group", "_tracked_place", "_tracked_real")
    _tracked_by: Keeper
    _tracked_place: Any
    _tracked_real: Any
    _tracked_group: tuple[int, int, str]
    """The instruction whose operations are one step: its frame, its offset, its first method."""

    __hash__ = None  # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return type(self._tracked_real)

    def __reduce_ex__(self, protocol: Any) -> Any:
        self._step("__iter__", sys._getframe(1))
        return _same, (_with_tracked_items(copy.copy(self._tracked_real), self._tracked_by),)

    def _step(self, method: str, frame: Any, what: str = "") -> None:
        """Announce an operation, unless it belongs to the same call of code in C as the last."""
        here = id(frame), frame.f_lasti
        group = self._tracked_group
        if (
            group[:2] == here
            and group[2] != method
            and group[2] in _BEGINS_A_CALL
            and frame.f_code.co_code[frame.f_lasti] in _CALLS_OF_C
        ):
            return
        reads = method in READING or method == "__next__"
        if method == "__getitem__" and type(self._tracked_real) is defaultdict:
            reads = False  # it may add an item
        op = primitives.LOOK if reads else primitives.CHANGE
        words = what or _WORDS.get(method) or f"call {{}}.{method}"
        self._tracked_by.point(op, self._tracked_place, words)
        self._tracked_group = (*here, method)  # now that no other thread comes before the call


_BEGINS_A_CALL = frozenset({"__iter__", "keys", "items", "values", "__len__"})
"""The first operations of code in C that reads a whole container, such as `list(items)`."""


def _same(value: Any) -> Any:
    return value


class _Iterator:
    """Reads one item of a container, or of a view of a dict, in each step."""

    def __init__(self, container: TrackedContainer, real: Iterator[Any]) -> None:
        self._container = container
        self._real = real

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        container = self._container
        container._step("__next__", sys._getframe(1))
        return container._tracked_by.hand_out(next(self._real))


class _View:
    """The keys, values or items of a tracked dict."""

    def __init__(self, container: TrackedContainer, real: Any) -> None:
        self._container = container
        self._real = real

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return type(self._real)

    def __iter__(self) -> _Iterator:
        self._container._step("__iter__", sys._getframe(1))
        return _Iterator(self._container, iter(self._real))

    def __reversed__(self) -> _Iterator:
        self._container._step("__iter__", sys._getframe(1))
        return _Iterator(self._container, reversed(self._real))

    def __getattr__(self, name: str) -> Any:
        self._container._step(name, sys._getframe(1))
        return getattr(self._real, name)

    def __len__(self) -> int:
        self._container._step("__len__", sys._getframe(1))
        return len(self._real)

    def __contains__(self, item: Any) -> bool:
        self._container._step("__contains__", sys._getframe(1))
        return item in self._real

    def __repr__(self) -> str:
        self._container._step("__repr__", sys._getframe(1))
        return repr(self._real)

    __hash__ = None  # type: ignore[assignment]


def _of_views(name: str) -> Callable[..., Any]:
    def call(self: _View, other: Any) -> Any:
        self._container._step("__eq__", sys._getframe(1))
        other = plain(other)
        return getattr(self._real, name)(other._real if type(other) is _View else other)

    return call


for _name in (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__and__", "__or__", "__sub__",
    "__xor__", "__rand__", "__ror__", "__rsub__", "__rxor__",
):  # fmt: skip
    setattr(_View, _name, _of_views(_name))


def tracked_container(real: Any, keeper: Keeper, place: Any) -> TrackedContainer:
    """The tracked version of a container, whose operations use the target `place`."""
    made: TrackedContainer = object.__new__(_class_for(type(real)))  # type: ignore[arg-type]
    made._tracked_real = real
    made._tracked_by = keeper
    made._tracked_place = place
    made._tracked_group = (0, 0, "")
    return made


def is_version(value: Any) -> TypeGuard[TrackedContainer]:
    """Whether it is a tracked container, whatever class it says it has."""
    return isinstance(type(value), _Class)


def plain(value: Any) -> Any:
    """The real container of a tracked one; any other value as it is."""
    return value._tracked_real if is_version(value) else value


@cache
def _class_for(real: Any) -> Any:
    names = [name for name in dir(real) if name not in _ORDINARY]
    namespace: dict[str, Any] = {"__slots__": ()}
    for name in names:
        attribute = getattr(real, name)
        if callable(attribute):
            namespace[name] = _passed_on(name)
        else:
            namespace[name] = _constant(name)
    if real is list:
        namespace["__radd__"] = _added_to_a_list
    namespace.pop("__buffer__", None)  # it would hand out the memory itself
    namespace.pop("__release_buffer__", None)
    made: Any = _Class(f"{PREFIX}{real.__name__.capitalize()}", (TrackedContainer,), namespace)
    if issubclass(real, dict):  # `match` looks at a flag of the class, which this sets
        Mapping.register(made)
    elif issubclass(real, list | deque):
        Sequence.register(made)
    return made


def _constant(name: str) -> property:
    """A value that the real container has from its creation on, such as `maxlen`."""

    def get(self: TrackedContainer) -> Any:
        return getattr(self._tracked_real, name)

    return property(get)


def _added_to_a_list(self: TrackedContainer, other: list[Any]) -> list[Any]:
    self._step("__add__", sys._getframe(1))
    result: list[Any] = other + self._tracked_real
    return result


def _passed_on(name: str) -> Callable[..., Any]:
    """A method that makes a step and calls the real container's method of this name."""
    hands_out = name in _OF_AN_ITEM
    takes_an_item = name in TAKES_AN_ITEM
    iterates = name in ("__iter__", "__reversed__")
    is_view = name in ("keys", "values", "items")

    def call(self: TrackedContainer, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        real, keeper = self._tracked_real, self._tracked_by
        if any(map(is_version, args)):
            as_it_is = takes_an_item and type(args[0]) is not slice
            args = tuple(
                plain(each) if as_it_is or each is self else _snapshot(each, frame) for each in args
            )
        self._step(name, frame, _of_key(name, args))
        if name not in READING:
            for each in (*args, *kwargs.values()):
                keeper.adopt(each)
        result = getattr(real, name)(*args, **kwargs)
        if result is real:
            return self
        if iterates:
            return _Iterator(self, result)
        if is_view:
            return _View(self, result)
        if hands_out and not (args and type(args[0]) is slice):
            return keeper.hand_out(result)
        return _with_tracked_items(result, keeper)

    call.__name__ = name
    return call


def _with_tracked_items(made: Any, keeper: Keeper) -> Any:
    """A new container, such as a slice or a copy, with the tracked versions of its items."""
    if isinstance(made, dict):
        for key, each in made.items():
            made[key] = keeper.hand_out(each)
    elif type(made) in (list, deque):
        for index, each in enumerate(made):
            made[index] = keeper.hand_out(each)
    return made


def _snapshot(value: Any, frame: Any) -> Any:
    """The contents of a tracked argument, read in a step of its own; any other value as it is."""
    if not is_version(value):
        return value
    value._step("__iter__", frame)
    return copy.copy(value._tracked_real)


def _of_key(name: str, args: tuple[Any, ...]) -> str:
    """The words for an access of one item whose key is a short text or a number."""
    words = _WORDS.get(name, "")
    if "[…]" not in words or not args or type(args[0]) not in (int, str):
        return ""
    text = repr(args[0])
    return words.replace("…", text.replace("{", "{{").replace("}", "}}")) if len(text) < 20 else ""
