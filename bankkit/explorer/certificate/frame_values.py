"""Evaluates names, attributes and items in a frame, without calling any code of the program."""

from __future__ import annotations

import ast
from collections.abc import Callable
from operator import add
from types import (
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

MISSING: Any = object()
"""What stands for a value that cannot be told without calling something."""


def value_of(frame: FrameType, node: ast.expr) -> Any:
    """The value of the expression now; `MISSING` if only a call could tell it."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        value = frame.f_locals.get(node.id, MISSING)
        if value is not MISSING or node.id in names_of(frame):
            return value
        if node.id in frame.f_globals:
            return frame.f_globals[node.id]
        return frame.f_builtins.get(node.id, MISSING)
    if isinstance(node, ast.Attribute):
        owner = value_of(frame, node.value)
        return MISSING if owner is MISSING else attribute_of(owner, node.attr)
    if isinstance(node, ast.BinOp | ast.JoinedStr | ast.Tuple):
        return _combined(frame, node)
    if isinstance(node, ast.Subscript):
        owner, index = value_of(frame, node.value), value_of(frame, node.slice)
        return item_of(owner, index)
    if isinstance(node, ast.Call) and len(node.args) <= 1:
        function = value_of(frame, node.func)
        if function is globals and not node.args:
            return frame.f_globals
        if function is vars and node.args:
            owner = value_of(frame, node.args[0])
            return MISSING if owner is MISSING else attribute_of(owner, "__dict__")
        if function is type and node.args:
            owner = value_of(frame, node.args[0])
            return MISSING if owner is MISSING else type(owner)
    return MISSING


def _combined(frame: FrameType, node: ast.BinOp | ast.JoinedStr | ast.Tuple) -> Any:
    """The value of a sum, an f-string or a tuple of scalars."""
    if isinstance(node, ast.BinOp):
        parts = [value_of(frame, node.left), value_of(frame, node.right)]
        if type(node.op) in _OPERATORS and {type(each) for each in parts} in ({int}, {str}):
            return _OPERATORS[type(node.op)](*parts)
        return MISSING
    if isinstance(node, ast.Tuple):
        parts = [value_of(frame, each) for each in node.elts]
        return tuple(parts) if all(type(each) in SCALARS for each in parts) else MISSING
    texts = []
    for each in node.values:
        is_plain = isinstance(each, ast.Constant) or (
            isinstance(each, ast.FormattedValue) and each.format_spec is None
        )
        part = each.value if isinstance(each, ast.FormattedValue) else each
        value = value_of(frame, part) if is_plain else MISSING
        if type(value) not in (str, int):
            return MISSING
        texts.append(str(value))
    return "".join(texts)


_OPERATORS: dict[type[ast.operator], Callable[..., Any]] = {ast.Add: add}
SCALARS = frozenset({str, int, bool, float, bytes, type(None)})
"""Types whose objects never change, and are compared and hashed without calling other code."""


def is_scalar(value: Any) -> bool:
    """Whether it is an object of one of these types, or a tuple of them."""
    return type(value) in SCALARS or (
        type(value) is tuple and all(type(each) in SCALARS for each in value)
    )


def attribute_of(owner: Any, name: str) -> Any:
    """The attribute of an object, or of its class; `MISSING` for a property and the like."""
    own = dict_of(owner)
    if name == "__dict__" and own is not None:
        return own
    if name == "__class__":
        return type(owner)
    if own is not None and name in own:
        found = own[name]
        if isinstance(owner, type) and isinstance(found, classmethod | staticmethod):
            return found.__func__
        return found
    if isinstance(owner, ModuleType):
        return MISSING
    for base in type.mro(owner)[1:] if isinstance(owner, type) else type(owner).__mro__:
        found = vars(base).get(name, MISSING)
        if found is not MISSING:
            return _bound(found, owner)
    return MISSING


def _bound(found: Any, owner: Any) -> Any:
    if isinstance(found, MemberDescriptorType):
        try:
            return found.__get__(owner)
        except (AttributeError, TypeError):
            return MISSING
    if isinstance(found, MethodDescriptorType):
        return found if isinstance(owner, type) else found.__get__(owner, type(owner))
    if isinstance(found, FunctionType):
        return found if isinstance(owner, type) else MethodType(found, owner)
    if isinstance(found, classmethod | staticmethod):
        return found.__func__
    return MISSING if hasattr(type(found), "__get__") else found


def dict_of(owner: Any) -> Any:
    """The dictionary of an object's own attributes; None if it has none."""
    if isinstance(owner, type):
        return vars(owner)
    if not type(owner).__dictoffset__:
        return None
    try:
        return object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None


def item_of(owner: Any, index: Any) -> Any:
    """The item of a dict, a list or a tuple; `MISSING` for others, and where there is none."""
    kind = type(owner)
    if not is_scalar(index):
        return MISSING
    if issubclass(kind, dict):
        return dict.get(owner, index, MISSING)
    if issubclass(kind, list | tuple) and type(index) is int and -len(owner) <= index < len(owner):
        return (list if issubclass(kind, list) else tuple).__getitem__(owner, index)
    return MISSING


def names_of(frame: FrameType) -> tuple[str, ...]:
    """The variables of the function that the frame runs."""
    code = frame.f_code
    return code.co_varnames + code.co_cellvars + code.co_freevars
