"""Tells what code without source, and code of the library, reads of an object that it gets.

`copy.deepcopy`, `pickle.dumps`, `dataclasses.asdict` and the `==` that `dataclasses` writes read
all attributes of an object, `json.dumps` and `repr` all that is in a container, and none of that is
in the source of the program.
"""

from __future__ import annotations

import json
import marshal
import pickle
from collections import deque
from collections.abc import Iterator
from typing import Any

from bankkit.explorer.certificate.contents import is_container, is_looked_into
from bankkit.explorer.certificate.frame_values import attribute_of, dict_of
from bankkit.explorer.engine.races import EVERY
from bankkit.explorer.stand_ins.tracking import slots_of

MOST = 1000
"""So many objects in a container, or in an object, are looked at."""

_READERS = frozenset({
    ("copy", "copy"), ("copy", "deepcopy"), ("dataclasses", "_asdict_inner"),
    ("dataclasses", "_astuple_inner"), ("dataclasses", "asdict"), ("dataclasses", "astuple"),
    ("dataclasses", "replace"), ("dataclasses", "_replace"), ("pickle", "_Pickler.save"),
})  # fmt: skip
"""By module: functions in Python that read the attributes of the objects that they get."""

_GENERATED = frozenset({
    "__eq__", "__ge__", "__getstate__", "__gt__", "__hash__", "__le__", "__lt__", "__ne__",
    "__repr__",
})  # fmt: skip
"""The names of the methods that `dataclasses` and others write, and that read all attributes."""

_WHOLE = repr, str, ascii, format, print, json.dumps, marshal.dumps
"""Functions that read the containers in a container, too."""

_COPYING = "__copy__", "__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__"

Place = tuple[object, Any]
"""An object, and a key in it."""


def reads_attributes(module: str, function: str) -> bool:
    """Whether this function of the library reads all attributes of what it gets."""
    return (module, function) in _READERS


def is_generated(method: str) -> bool:
    """Whether a method with this name, and without source, reads all attributes of what it gets."""
    return method in _GENERATED


def reads_the_whole(function: Any) -> bool:
    """Whether the function also reads what is in the containers that it gets."""
    return _pickles(function) or any(function is each for each in _WHOLE)


def attributes_in(value: Any) -> Iterator[Place]:
    """The places of the attributes of an object that says nothing about how it is copied."""
    kind: Any = type(value)
    if not is_looked_into(kind) or isinstance(value, type):
        return
    if any(getattr(kind, each, None) is not getattr(object, each, None) for each in _COPYING):
        return
    own = dict_of(value)
    if own is not None:
        yield own, EVERY
    for name in slots_of(kind):
        yield value, name


def places_in(value: Any, function: Any = None) -> Iterator[Place]:
    """All containers in the value, and for a function of `pickle` also attributes."""
    seen: dict[int, Any] = {}
    todo = [value]
    while todo and len(seen) < MOST:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        kind = type(each)
        if is_container(each):
            yield each, EVERY
        if issubclass(kind, dict):
            todo += dict.values(each)
        elif issubclass(kind, list | tuple | deque | set | frozenset):
            todo += kind.__iter__(each)
        elif _pickles(function):
            for owner, key in attributes_in(each):
                yield owner, key
                todo += dict.values(owner) if key is EVERY else [attribute_of(owner, key)]  # type: ignore[arg-type]


def _pickles(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    return function is pickle.dumps or function is pickle.dump or isinstance(owner, pickle.Pickler)
