"""Finds what modules keep of `threading`, and puts stand-ins in its place.

A module keeps more than names: a lock in a class attribute, in a default argument, in a closure, in
a dictionary, in an object that a global variable holds. The search follows all of these. It does
not enter other modules, their classes, or C objects that do not show what they hold.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from types import (
    BuiltinMethodType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any
from weakref import ReferenceType

_ATOMS = frozenset((
    int, float, complex, str, bytes, bytearray, bool, type(None), CodeType, FrameType,
    GeneratorType, range, slice, GetSetDescriptorType, WrapperDescriptorType, MethodDescriptorType,
    ClassMethodDescriptorType, MemberDescriptorType, ReferenceType,
))  # fmt: skip
"""Types whose objects hold nothing, or nothing that could be replaced."""

_DEFAULT_FACTORY: Any = vars(defaultdict)["default_factory"]

Replace = Callable[[Any, str], Any]
"""A function of an object and the place where it was found. It returns the object's replacement, or
`KEPT` for an object that stays."""
KEPT = object()


class Replacing:
    """The changes that put stand-ins into the given namespaces, to be made and taken back.

    `replace` decides about each object. `enters_class` decides, at the place where a class was
    found, whether its attributes are looked at, and `enters_objects` whether those of its objects.
    """

    def __init__(
        self,
        replace: Replace,
        enters_class: Callable[[type[Any], str], bool],
        enters_objects: Callable[[type[Any]], bool],
    ) -> None:
        self._replace = replace
        self._enters_class = enters_class
        self._enters_objects = enters_objects
        self._changes: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._made: list[Callable[[], object]] = []
        """What takes back the changes that are made."""
        self._seen: dict[int, tuple[Any, Any]] = {}
        """id of an object → the object, so that it lives on, and its replacement."""
        self._queue: deque[tuple[Any, str]] = deque()
        self._kinds: dict[type[Any], tuple[bool, Any, list[MemberDescriptorType]]] = {}
        """Whether to look at a type's objects, what container it is, and its slots."""
        self._entered: dict[int, type[Any]] = {}
        """By id, because a metaclass may define what is equal."""
        self.namespaces: list[tuple[Any, dict[str, Any]]] = []
        """Each module and class that was looked at, with what its attributes were."""

    def look_into(self, things: Iterable[Any]) -> None:
        """Find all changes in these modules."""
        for thing in things:
            self._queue.append((thing, getattr(thing, "__name__", type(thing).__name__)))
            self._seen.setdefault(id(thing), (thing, thing))
        while self._queue:
            thing, place = self._queue.popleft()
            self._scan(thing, place)

    def look_into_later(self, module: ModuleType) -> None:
        """Find the changes in this module as well, while `look_into` runs."""
        if id(module) not in self._seen:
            self._seen[id(module)] = module, module
            self._queue.append((module, module.__name__))

    def make(self) -> None:
        """Put the stand-ins in."""
        try:
            for change, undo in self._changes:
                self._made.append(undo)
                change()
        except BaseException:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Put the original objects back."""
        while self._made:
            self._made.pop()()

    def change(self, change: Callable[[], object], undo: Callable[[], object]) -> None:
        """Add a change of the caller's own."""
        self._changes.append((change, undo))

    def change_attribute(self, owner: Any, name: str, old: Any, new: Any) -> None:
        """Add a change of an attribute."""
        self.change(partial(setattr, owner, name, new), partial(setattr, owner, name, old))

    def set_attribute(self, owner: Any, name: str, new: Any) -> None:
        """Add a change of an attribute, which the owner need not have."""
        if name == "__bases__":
            self.change_attribute(owner, name, owner.__bases__, new)
        elif name in vars(owner):
            self.change_attribute(owner, name, vars(owner)[name], new)
        else:
            self.change(partial(setattr, owner, name, new), partial(delattr, owner, name))

    def rebuilt_class(self, cls: type[Any], bases: tuple[type[Any], ...]) -> type[Any]:
        """A new class with other bases, for a class whose bases cannot be assigned."""
        names = {
            name: value
            for name, value in vars(cls).items()
            if name not in ("__dict__", "__weakref__")
            and not isinstance(value, MemberDescriptorType)
        }
        metaclass: Any = type(cls)
        new: type[Any] = metaclass(cls.__name__, bases, names)
        self._seen[id(cls)] = cls, new
        self._queue.append((new, f"{cls.__module__}.{cls.__qualname__}"))
        for cell in _class_cells(cls):  # `super()` and `__class__` use it
            self.change_attribute(cell, "cell_contents", cls, new)
        return new

    def new(self, value: Any, place: str) -> Any:
        """What stands in for this value; the value itself if it stays."""
        if type(value) in _ATOMS:
            return value
        known = self._seen.get(id(value))
        if known is not None:
            return known[1]
        replacement = self._replace(value, place)
        if replacement is KEPT:
            replacement = self._rebuilt(value, place)
        self._seen[id(value)] = value, replacement
        if replacement is value and type(value) not in (ModuleType, BuiltinMethodType):
            self._queue.append((value, place))
        return replacement

    def _rebuilt(self, value: Any, place: str) -> Any:
        """A copy of an immutable object with stand-ins inside; the object itself if none are."""
        if type(value) in (tuple, frozenset):
            parts = [self.new(each, place) for each in value]
            changed = any(new is not old for new, old in zip(parts, value, strict=True))
            return type(value)(parts) if changed else value
        if isinstance(value, tuple) and hasattr(value, "_make"):
            parts = [self.new(each, place) for each in value]
            changed = any(new is not old for new, old in zip(parts, value, strict=True))
            return value._make(parts) if changed else value
        if type(value) in (BuiltinMethodType, MethodType, MethodWrapperType):
            owner = value.__self__
            new = self.new(owner, place)
            if new is not owner:
                return getattr(new, value.__name__)
        return value

    def _scan(self, thing: Any, place: str) -> None:
        """Look at what a mutable object holds."""
        if isinstance(thing, ModuleType):
            self._namespace(thing, vars(thing), place)
        elif isinstance(thing, type):
            self._class(thing, place)
        elif isinstance(thing, FunctionType):
            self._function(thing, place)
        elif isinstance(thing, CellType):
            self._cell(thing, place)
        elif isinstance(thing, staticmethod | classmethod | MethodType):
            self.new(thing.__func__, place)
        elif isinstance(thing, property):
            for part in (thing.fget, thing.fset, thing.fdel):
                self.new(part, place)
        elif isinstance(thing, partial):
            self._partial(thing, place)
        else:
            self._object(thing, place)

    def _namespace(self, owner: Any, names: dict[str, Any], place: str) -> None:
        self.namespaces.append((owner, dict(names)))
        for name, value in list(names.items()):
            if isinstance(value, MemberDescriptorType):
                continue
            new = self.new(value, f"{place}.{name}")
            if new is not value:
                self.change(
                    partial(setattr, owner, name, new), partial(setattr, owner, name, value)
                )

    def _class(self, cls: type[Any], place: str) -> None:
        if id(cls) in self._entered or not self._enters_class(cls, place):
            return
        self._entered[id(cls)] = cls
        self._namespace(cls, dict(vars(cls)), place)
        for base in type.mro(cls)[1:]:
            self._class(base, f"{base.__module__}.{base.__qualname__}")

    def _function(self, function: FunctionType, place: str) -> None:
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, name)
            if name == "__kwdefaults__" and value:
                self._dict(value, f"{place}, a default")
                continue
            new = self.new(value, f"{place}, a default")
            if new is not value:
                self.change(
                    partial(setattr, function, name, new), partial(setattr, function, name, value)
                )
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=False
        ):
            self.new(cell, f"{place}, its variable {name}")
        if vars(function):
            self._dict(vars(function), place)

    def _cell(self, cell: CellType, place: str) -> None:
        try:
            value = cell.cell_contents
        except ValueError:  # it is empty
            return
        new = self.new(value, place)
        if new is not value:
            self.change_attribute(cell, "cell_contents", value, new)

    def _partial(self, thing: Any, place: str) -> None:
        function, args = self.new(thing.func, place), self.new(thing.args, place)
        self._dict(thing.keywords, place)
        if function is not thing.func or args is not thing.args:
            state = thing.func, thing.args, thing.keywords, vars(thing)
            self.change(
                lambda: thing.__setstate__((function, args, *state[2:])),
                lambda: thing.__setstate__(state),
            )

    def _object(self, thing: Any, place: str) -> None:
        kind = type(thing)
        if kind not in self._kinds:
            self._kinds[kind] = self._enters_objects(kind), _holding(kind), _slots(kind)
        enters, holds, slots = self._kinds[kind]
        if not enters:
            return
        if holds is dict:
            self._dict(thing, place)
            if isinstance(thing, defaultdict):
                self._member(thing, _DEFAULT_FACTORY, place)
        elif holds is not None:
            self._items(thing, place, _exchange_member if holds is set else _exchange)
        attributes = _attributes(thing)
        if attributes:
            self._dict(attributes, place, "{}.{}")
        for member in slots:
            self._member(thing, member, place)

    def _items(self, thing: Any, place: str, exchange: Callable[[Any, Any, Any], None]) -> None:
        for number, value in enumerate(list(thing)):
            new = self.new(value, f"{place}[{number}]")
            if new is not value:
                self.change(
                    partial(exchange, thing, value, new), partial(exchange, thing, new, value)
                )

    def _member(self, thing: Any, member: MemberDescriptorType, place: str) -> None:
        """Look at what a slot holds, without running code of its class, such as `__getattr__`."""
        try:
            value = member.__get__(thing)
        except AttributeError:  # it is empty
            return
        new = self.new(value, f"{place}.{member.__name__}")
        if new is not value:
            self.change(partial(member.__set__, thing, new), partial(member.__set__, thing, value))

    def _dict(self, names: dict[Any, Any], place: str, form: str = "{}[{!r}]") -> None:
        for key, value in list(dict.items(names)):
            if type(key) in _ATOMS and type(value) in _ATOMS:
                continue
            shown = form.format(place, key) if isinstance(key, str | int) else f"{place}[…]"
            if type(key) not in _ATOMS and self.new(key, f"{place}, a key") is not key:
                raise TypeError(
                    f"{place} has a key that `patch=` would have to replace ({key!r}). Make this "
                    f"dictionary in the scenario."
                )
            new = self.new(value, shown)
            if new is not value:
                self.change(
                    partial(dict.__setitem__, names, key, new),
                    partial(_put_back, names, key, new, value),
                )


def _holding(kind: type[Any]) -> Any:
    """What kind of container a type is: dict, list, set or None."""
    if issubclass(kind, dict):
        return dict
    if issubclass(kind, list | deque):
        return list
    return set if issubclass(kind, set) else None


def _slots(kind: type[Any]) -> list[MemberDescriptorType]:
    """The slots of a type that was made by Python code."""
    return [
        member
        for cls in type.mro(kind)
        if "__slots__" in vars(cls)
        for member in vars(cls).values()
        if isinstance(member, MemberDescriptorType)
    ]


def _attributes(thing: Any) -> dict[str, Any] | None:
    """The `__dict__` of an object, without running code of its class."""
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def _exchange(items: Any, old: Any, new: Any) -> None:
    for number, item in enumerate(items):
        if item is old:
            items[number] = new


def _exchange_member(items: set[Any], old: Any, new: Any) -> None:
    if old in items:
        items.remove(old)
        items.add(new)


def _put_back(names: dict[Any, Any], key: Any, new: Any, old: Any) -> None:
    if names.get(key, KEPT) is new:
        dict.__setitem__(names, key, old)


def _class_cells(cls: type[Any]) -> list[CellType]:
    """The variables `__class__` of the methods of this class."""
    found = {}
    for value in vars(cls).values():
        parts = [value.fget, value.fset, value.fdel] if isinstance(value, property) else [value]
        for part in parts:
            function = getattr(part, "__func__", part)
            if isinstance(function, FunctionType):
                names = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
                found.update({id(cell): cell for name, cell in names if name == "__class__"})
    return [cell for cell in found.values() if cell.cell_contents is cls]
