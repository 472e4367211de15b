"""Makes each access of the plain data that threads share a step.

`Tracker.track` gives an object a subclass of its own class, whose attributes announce each read and
each write to the scheduler. What such a read hands out is tracked, too: containers by their tracked
versions (see `containers`), and objects of the program's own classes in place. A value of another
class that may change is not followed: its read counts as a change, and `Scheduler.doubts` names
it, so that no search can call the program `ok`.

A value is prepared when it is stored, by the thread that stores it. So its key is the same in all
equivalent schedules, no matter which thread reads it first.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import logging
import pathlib
import re
import sys
import types
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import MemberDescriptorType, ModuleType
from typing import Any, TypeVar

from bankkit.explorer.engine.ownership import is_own_module
from bankkit.explorer.engine.races import EVERY
from bankkit.explorer.engine.scheduler import Op, Scheduler
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.stand_ins.containers import (
    CONTAINERS,
    TrackedContainer,
    plain,
    tracked_container,
)

T = TypeVar("T")

_ATOMIC = frozenset(
    {
        type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range,
        slice, decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, re.Match,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        types.FunctionType, types.ModuleType, types.CodeType, types.MappingProxyType,
        types.WrapperDescriptorType, property, staticmethod, classmethod, object,
    }
)  # fmt: skip
"""The classes of values that no thread changes."""

_CONSTANT = (
    type, enum.Enum, BaseException, pathlib.PurePath, logging.Logger, logging.LoggerAdapter,
    datetime.tzinfo, weakref.ref, types.GenericAlias,
)  # fmt: skip
"""The base classes of values that are not followed, because they are constant or make own steps."""

_ATOMIC_ITERATORS = frozenset({itertools.count, itertools.cycle, itertools.repeat})
"""To get the next item is one step in the real interpreter, too, so such a read is a change."""

LATER = "…"
"""Stands for the names of attributes that an object gets later; they all use one target."""

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement


class NotTrackable(TypeError):
    """The scenario asks to track what cannot be tracked. This is not a verdict on its code."""


class Attribute:
    """One attribute of a tracked object, or one container in it, as the target of operations."""

    explorer_key: int
    explorer_now: float
    data: tuple[Any, Any] | None = None
    """The container that operations on this target use, and the key in it that they use."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    def named(self, attribute: str) -> Attribute:
        """The target of an attribute that did not exist at first: it shares this one's key."""
        other = Attribute(attribute)
        for name, value in vars(self).items():
            if name != "attribute":
                text = value.replace(LATER, attribute) if isinstance(value, str) else value
                setattr(other, name, text)
        return other

    def name_after(self, other: Attribute, suffix: str) -> None:
        """Take the other target's name in the program, if it has one, and this suffix."""
        for name, value in vars(other).items():
            if name != "attribute" and isinstance(value, str):
                setattr(self, name, value + suffix)


class Shared:
    """The object that `threading.shared` makes."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)

    def __repr__(self) -> str:
        return f"shared({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Tracker:
    """Tracks the objects of one scheduler's schedules."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.make_lock: Callable[[], Any] = lambda: scheduler.family["RLock"]()
        self.point: Callable[..., int] = scheduler.point
        self._known: dict[int, tuple[Any, Any]] = {}
        """By id: a value that is stored in tracked data, and what a read of it hands out."""
        self._iterators: dict[int, Any] = {}
        """By id: the iterators in tracked data. To read the attribute that has one is a change."""
        self._missed: dict[int, Any] = {}
        """By id: the values in tracked data whose changes are not seen."""
        self._to_adopt: deque[tuple[Any, Attribute | None, TrackedAttribute | None]] = deque()
        self._classes: list[tuple[Any, type[Any]]] = []
        """The objects that were given another class, and the class that they had before."""
        self._class_values: list[tuple[type[Any], str, Any]] = []
        """The values that classes had for attributes which their objects do not have themselves."""

    def begin(self) -> None:
        """Forget the latest schedule: its objects get back the classes that they had before it."""
        for cls, name, value in self._class_values:
            if vars(cls).get(name) is not value:
                self._doubt_change(cls, name)
        for thing, cls in self._classes:
            for name, value in vars(type(thing)).items():
                if not (name.startswith("__") or isinstance(value, TrackedAttribute)):
                    self._doubt_change(cls, name)
        self._class_values.clear()
        for thing, cls in reversed(self._classes):
            _CLASS.__set__(thing, cls)
        self._classes.clear()
        self._known.clear()
        self._iterators.clear()
        self._missed.clear()

    def _doubt_change(self, cls: type[Any], name: str) -> None:
        self._scheduler.doubts[
            f"{cls.__qualname__}.{name} was changed on the class, which is not a step: "
            f"change it on an object, or name the class in `lines=`"
        ] = None

    def track(self, thing: T, attributes: tuple[str, ...]) -> T:
        """Make each access of these attributes a step; without names, of all, now and later.

        Return the object itself, or the tracked version of a container. Raises NotTrackable, with
        the reason and the way out, for what cannot be tracked.
        """
        if isinstance(thing, ModuleType):
            raise NotTrackable(
                f"The globals of the module {thing.__name__} cannot be tracked, because its "
                f"functions read them directly. Name the module, or its functions, in `lines=`."
            )
        if isinstance(thing, type):
            raise NotTrackable(
                f"The attributes of the class {thing.__name__} itself cannot be tracked. Track an "
                f"object that has them, or name the class in `lines=`."
            )
        if type(thing) in CONTAINERS and not attributes:
            self.adopt(thing)
            found: T = self.hand_out(thing)
            return found
        for name in attributes:
            _check(thing, type(thing), name)
        self._change_class(thing, attributes)
        self._adopt_the_rest()
        return thing

    def _change_class(
        self, thing: Any, attributes: tuple[str, ...], like: Attribute | None = None
    ) -> None:
        """Track these attributes of the object, or all; name their targets after `like`."""
        changed = cls = type(thing)
        if id(thing) not in self._known:
            try:
                changed = type(cls.__name__, (cls,), _disguise(cls, self))
                _CLASS.__set__(thing, changed)
            except TypeError:
                raise NotTrackable(
                    f"{thing!r} cannot be tracked; use threading.shared(...), or track an object "
                    f"of a class of your own."
                ) from None
            changed.__qualname__ = cls.__qualname__
            self._classes.append((thing, cls))
            self._known[id(thing)] = thing, thing
        if not attributes and hasattr(thing, "__dict__") and "__setattr__" not in vars(changed):
            place = self.register(LATER, like, f".{LATER}")
            for name, method in _later(self, changed.__mro__[1], place).items():
                setattr(changed, name, method)
        for name in dict.fromkeys(attributes or _attributes(thing)):
            if isinstance(vars(changed).get(name), TrackedAttribute):
                continue
            descriptor = TrackedAttribute(self, cls, name, self.register(name, like, f".{name}"))
            setattr(changed, name, descriptor)
            if hasattr(thing, "__dict__"):
                descriptor.place.data = thing.__dict__, name
            if descriptor.exists(thing):
                self._to_adopt.append((descriptor.value(thing), descriptor.place, descriptor))
            else:
                self._watch_class(cls, name)

    def _watch_class(self, cls: type[Any], name: str) -> None:
        for base in cls.__mro__:
            if name in vars(base) and not hasattr(type(vars(base)[name]), "__get__"):
                self._class_values.append((base, name, vars(base)[name]))
                self._to_adopt.append((vars(base)[name], None, None))

    def register(
        self, attribute: str, like: Attribute | None = None, suffix: str = ""
    ) -> Attribute:
        """A new target, with the name of another one and a suffix."""
        place = Attribute(attribute)
        self._scheduler.register(place)
        self._scheduler.steps += 1  # to track many objects is progress, which the watchdog must see
        if like is not None:
            place.name_after(like, suffix)
        return place

    def adopt(self, value: Any, like: Attribute | None = None) -> bool:
        """Track a value that is being stored, and what is in it; whether its changes are seen.

        `like` is the target of the attribute or container that holds it.
        """
        seen = self._adopt(value, like)
        self._adopt_the_rest()
        return seen

    def _adopt_the_rest(self) -> None:
        """Adopt what the adopted values hold. This does not recurse: a chain may be long."""
        while self._to_adopt:
            value, like, descriptor = self._to_adopt.popleft()
            if not self._adopt(value, like) and descriptor is not None:
                descriptor.hides_changes()

    def _adopt(self, value: Any, like: Attribute | None) -> bool:
        value = plain(value)
        cls = type(value)
        if cls in _ATOMIC or id(value) in self._known:
            return True
        if isinstance(value, tuple | frozenset):
            return self._adopt_all(value, like)
        if isinstance(value, types.MethodType):
            return self._adopt(value.__self__, like)
        if isinstance(value, functools.partial):
            return self._adopt_all((value.func, *value.args), like)
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            if owner is None or isinstance(owner, ModuleType | type):
                return True
            if type(owner) in CONTAINERS:
                return self._adopt(owner, like)
            return self._misses(value, like)
        if cls in CONTAINERS:
            place = self.register("[…]", like)
            place.data = value, EVERY
            self._known[id(value)] = value, tracked_container(value, self, place)
            if cls is not bytearray:
                for each in list(value.values() if isinstance(value, dict) else value):
                    self._to_adopt.append((each, place, None))
            return True
        if isinstance(value, _CONSTANT) or is_stand_in(cls):
            return True
        if cls in _ATOMIC_ITERATORS:
            self._iterators[id(value)] = value
            return False
        if not _is_of_the_program(cls):
            parts = getattr(value, "__dict__", {}).values()
            return any(is_stand_in(type(each)) for each in parts) or self._misses(value, like)
        try:
            self._change_class(value, (), like)
        except NotTrackable:
            return self._misses(value, like)
        return True

    def _adopt_all(self, values: Iterable[Any], like: Attribute | None) -> bool:
        seen = True
        for each in values:
            seen &= self._adopt(each, like)
        return seen

    def _misses(self, value: Any, like: Attribute | None) -> bool:
        """Record that changes of this value are not seen, and return False."""
        if self.misses(value):
            return False
        self._missed[id(value)] = value
        cls = type(value)
        kind = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
        where = f"`{like.attribute}`" if like and like.attribute != "[…]" else "a tracked container"
        self._scheduler.doubts[
            f"{where} holds a value of the class {kind}, whose changes are not steps: keep a dict, "
            f"a list or an object of your own class there, or guard it by `threading.points`"
        ] = None
        return False

    def has_version(self, value: Any) -> bool:
        """Whether to get to this container or iterator through tracked data is a step.

        So is each access of an object of which all attributes are tracked.
        """
        known = self._known.get(id(value))
        if known is None:
            return id(value) in self._iterators
        return known[1] is not value or "__setattr__" in vars(type(value))

    def misses(self, value: Any) -> bool:
        """Whether tracked data holds this value, and there is a doubt about that."""
        return id(value) in self._missed

    def hand_out(self, value: Any) -> Any:
        """What a read of tracked data returns: the tracked version of a container."""
        if type(value) in _ATOMIC:
            return value
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        if type(value) is tuple or (isinstance(value, tuple) and hasattr(value, "_make")):
            items = [self.hand_out(each) for each in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return type(value)(items) if type(value) is tuple else value._make(items)  # type: ignore[attr-defined]
        if isinstance(value, TrackedContainer):
            return value
        if isinstance(value, types.BuiltinFunctionType) and type(value.__self__) in CONTAINERS:
            return getattr(self.hand_out(value.__self__), value.__name__)
        # Code that has the real container has put this value there.
        self.adopt(value)
        known = self._known.get(id(value))
        return value if known is None else known[1]


class TrackedAttribute:
    """A descriptor that makes each read and each write of the attribute `name` a step."""

    def __init__(self, tracker: Tracker, cls: type[Any], name: str, place: Attribute) -> None:
        self._tracker = tracker
        self._name = name
        slot = getattr(cls, name, None)
        self._slot = slot if isinstance(slot, MemberDescriptorType) else None
        self.place = place
        self._read: Op = primitives.LOAD
        self._cached: Any = _in_class(cls, name)
        if isinstance(self._cached, functools.cached_property):
            self._lock: Any = (
                tracker.make_lock() if sys.version_info < (3, 12) else contextlib.nullcontext()
            )
        else:
            self._cached = None

    def exists(self, thing: Any) -> bool:
        """Whether the object itself has a value for the attribute now; this is not a step."""
        if self._slot is not None:
            return hasattr(super(type(thing), thing), self._name)
        return self._name in thing.__dict__

    def value(self, thing: Any) -> Any:
        """The attribute's value, from the object or its class; to get it is not a step."""
        if self._slot is not None:
            return self._slot.__get__(thing)
        name = self._name
        if name in thing.__dict__:
            return thing.__dict__[name]
        if _in_class(type(thing).__mro__[1], name) is not None:
            return getattr(super(type(thing), thing), name)
        raise AttributeError(
            f"{type(thing).__name__!r} object has no attribute {name!r}", name=name, obj=thing
        )

    def hides_changes(self) -> None:
        """Count each read as a change from now on, because the value may change unseen."""
        self._read = primitives.LOAD_CHANGING

    def announce(self) -> None:
        """Make the step that reads the attribute."""
        self._tracker.point(self._read, self.place)

    def __get__(self, thing: Any, cls: type[Any] | None = None) -> Any:
        if thing is None:
            return self._of_the_class(cls)
        self.announce()
        if self._cached is not None and self._name not in thing.__dict__:
            return self._compute(thing)
        return self._tracker.hand_out(self.value(thing))

    def _of_the_class(self, cls: Any) -> Any:
        """What the class itself has, which no step reads."""
        if all(self._name not in vars(base) for base in cls.__mro__[1:]):
            return self
        return getattr(cls.__mro__[1], self._name)

    def _compute(self, thing: Any) -> Any:
        """What `functools.cached_property` does; before Python 3.12 it holds a lock meanwhile."""
        with self._lock:
            if sys.version_info >= (3, 12) or self._name not in thing.__dict__:
                self.__set__(thing, self._cached.func(thing))
            return self._tracker.hand_out(self.value(thing))

    def __set__(self, thing: Any, value: Any) -> None:
        self._tracker.point(primitives.STORE, self.place)
        if type(value) not in _ATOMIC:
            value = plain(value)
            if not self._tracker.adopt(value, self.place):
                self.hides_changes()
        if self._slot is not None:
            self._slot.__set__(thing, value)
        else:
            thing.__dict__[self._name] = value

    def __delete__(self, thing: Any) -> None:
        self._tracker.point(primitives.STORE, self.place)
        if self._slot is not None:
            self._slot.__delete__(thing)
        else:
            try:
                del thing.__dict__[self._name]
            except KeyError:
                raise AttributeError(self._name) from None


_CLASS: Any = vars(object)["__class__"]


def _disguise(cls: type[Any], tracker: Tracker) -> dict[str, Any]:
    """What makes a tracked object say that it is of this class.

    The `==` of dataclasses compares the classes, and a copy of the object must not be tracked by
    the same targets.
    """

    def get_class(self: Any) -> type[Any]:
        return cls

    def set_class(self: Any, other: type[Any]) -> None:
        _CLASS.__set__(self, other)

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        for attribute in vars(type(self)).values():
            if isinstance(attribute, TrackedAttribute) and attribute.exists(self):
                attribute.announce()
        made = super(type(self), self).__reduce_ex__(protocol)
        if not isinstance(made, tuple) or not isinstance(made[1], tuple):
            return made
        changed = type(self)
        arguments = tuple(cls if each is changed else each for each in made[1])
        if len(made) > 2 and type(made[2]) is dict:  # to copy what is in it makes own steps
            state = {name: tracker.hand_out(each) for name, each in made[2].items()}
            return made[0], arguments, state, *made[3:]
        return made[0], arguments, *made[2:]

    return {
        "__slots__": (),
        "__module__": cls.__module__,
        "__class__": property(get_class, set_class),
        "__reduce_ex__": __reduce_ex__,
    }


def _later(tracker: Tracker, cls: type[Any], place: Attribute) -> dict[str, Any]:
    """Methods that track the attributes that an object gets later, and the search for them."""

    def add(thing: Any, name: str) -> None:
        setattr(type(thing), name, TrackedAttribute(tracker, cls, name, place.named(name)))

    def __setattr__(self: Any, name: str, value: Any) -> None:
        known = name in vars(type(self)) or name.startswith("__")
        if not known and _in_class(type(self), name) is None:
            add(self, name)
        super(type(self), self).__setattr__(name, value)

    def __getattr__(self: Any, name: str) -> Any:
        if not name.startswith("__") and name not in vars(type(self)):
            add(self, name)
            tracker.point(primitives.LOAD, vars(type(self))[name].place)
            if name in self.__dict__:  # another thread has just made it
                return tracker.hand_out(self.__dict__[name])
        if hasattr(cls, "__getattr__"):
            return cls.__getattr__(self, name)
        raise AttributeError(
            f"{cls.__name__!r} object has no attribute {name!r}", name=name, obj=self
        )

    return {"__setattr__": __setattr__, "__getattr__": __getattr__}


def _in_class(cls: type[Any], name: str) -> Any:
    """What the class or a base class has under this name; None if there is nothing."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def _check(thing: Any, cls: type[Any], name: str) -> None:
    """Raise NotTrackable if the object cannot have such an attribute tracked."""
    in_class = _in_class(cls, name)
    if isinstance(in_class, MemberDescriptorType | functools.cached_property):
        return
    if isinstance(in_class, property):
        raise NotTrackable(
            f"{cls.__name__}.{name} is a property. Track the attributes that it reads instead."
        )
    if name in getattr(thing, "__dict__", ()):
        return
    if in_class is not None:
        if hasattr(type(in_class), "__get__"):
            raise NotTrackable(
                f"{cls.__name__}.{name} is a method. Track attributes, or use threading.points."
            )
        return
    known = ", ".join(dict.fromkeys(_attributes(thing))) or "none"
    raise NotTrackable(
        f"This {cls.__name__} has no attribute {name!r} to track; it has: {known}. Without names, "
        f"`track` also tracks attributes that are made later."
    )


def _attributes(thing: object) -> Iterator[str]:
    """The names of the attributes that the object has, or can get from its class."""
    yield from list(getattr(thing, "__dict__", ()))
    for base in type(thing).__mro__[:-1]:  # the last one is `object`, which has none
        for name, value in list(vars(base).items()):
            if isinstance(value, MemberDescriptorType | functools.cached_property) or (
                hasattr(thing, "__dict__")
                and not name.startswith(("__", "_abc_"))
                and not hasattr(type(value), "__get__")
            ):
                yield name


def tracked_attributes(thing: object) -> dict[str, Any]:
    """The tracked attributes that an object has now, by name; to read them is not a step."""
    return {
        name: each.value(thing)
        for name, each in vars(type(thing)).items()
        if isinstance(each, TrackedAttribute) and each.exists(thing)
    }


def is_tracked_attribute(thing: object, name: str) -> bool:
    """Whether each access of this attribute of the object is a step."""
    return isinstance(vars(type(thing)).get(name), TrackedAttribute)


def slots_of(cls: type[Any]) -> list[str]:
    """The names of the slots of a class that a class statement made."""
    return [
        name
        for base in cls.__mro__
        if base.__flags__ & _HEAP_TYPE
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType)
    ]


def _is_of_the_program(cls: type[Any]) -> bool:
    """Whether a class statement outside of the standard library made the class."""
    return (
        bool(cls.__flags__ & _HEAP_TYPE)
        and not issubclass(cls, CONTAINERS)
        and (cls is Shared or cls.__module__.partition(".")[0] not in sys.stdlib_module_names)
    )


def is_stand_in(cls: type[Any]) -> bool:
    """Whether it is the class of a stand-in, whose operations are steps already."""
    return any(map(is_of_the_explorer_itself, cls.__mro__))


def is_of_the_explorer_itself(cls: type[Any]) -> bool:
    """Whether the explorer defines the class, except for what `threading.shared` returns."""
    return is_own_module(cls.__module__) and not issubclass(cls, Shared)
