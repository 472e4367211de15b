"""Tells which instructions of a function use data, as its source has them.

An instruction is known by its place in the source: Python's compiler keeps the first and the last
column of the expression for each.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

Span = tuple[int | None, int | None, int | None, int | None]


class Look(Enum):
    """What the interpreter itself does with a value that is loaded."""

    NOTHING = 0
    TRUTH = 1
    """It tests the value, or looks for an item in it."""
    ITEMS = 2
    """It iterates over the value, compares it, or combines it with another one."""


class Access(NamedTuple):
    """What an instruction does, in terms of the source."""

    node: ast.expr
    """A name, an attribute, an item, or a call."""
    stores: bool
    is_local: bool
    """Whether it is a variable that no other function has."""
    look: Look


@lru_cache(maxsize=4096)
def accesses(code: CodeType) -> dict[int, Access]:
    """By offset: the instructions that use a name, an attribute or an item, or call something."""
    nodes = nodes_of(code.co_filename)
    is_class_body = not code.co_flags & inspect.CO_OPTIMIZED and code.co_name != "<module>"
    found = {}
    for instruction in dis.get_instructions(code) if nodes else ():
        operation, place = instruction.opname, instruction.positions
        if place is None or not operation.startswith(_OPERATIONS):
            continue
        span = place.lineno, place.col_offset, place.end_lineno, place.end_col_offset
        node, look = nodes.get(span, (None, Look.NOTHING))
        if node is None or isinstance(node, ast.Call) != operation.startswith("CALL"):
            continue
        stores = operation.startswith(("STORE_", "DELETE_"))
        is_local = "FAST" in operation or (is_class_body and operation == "STORE_NAME")
        if not (is_local and stores):
            found[instruction.offset] = Access(node, stores, is_local, look)
    return found


@lru_cache(maxsize=4096)
def has_columns(code: CodeType) -> bool:
    """Whether the code knows the places of its expressions, and not only their lines."""
    return any(column is not None for _, _, column, _ in code.co_positions())


_OPERATIONS = ("LOAD_", "STORE_", "DELETE_", "BINARY_", "CALL")


@lru_cache(maxsize=256)
def nodes_of(file: str) -> dict[Span, tuple[ast.expr, Look]]:
    """The names, attributes, items and calls in a file, by where they begin and end."""
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    looks = {id(node): look for parent in ast.walk(tree) for node, look in _looks(parent)}
    return {
        (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset): (
            node,
            looks.get(id(node), Look.NOTHING),
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
    }


def _looks(node: ast.AST) -> Iterator[tuple[ast.expr, Look]]:
    """The parts of a node whose values the interpreter looks into."""
    match node:
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield node.iter, Look.ITEMS
        case ast.Compare(left=left, ops=ops, comparators=others):
            for operator, one, other in zip(ops, [left, *others], others, strict=False):
                if isinstance(operator, ast.In | ast.NotIn):
                    yield other, Look.TRUTH
                elif not isinstance(operator, ast.Is | ast.IsNot):
                    yield one, Look.ITEMS
                    yield other, Look.ITEMS
        case ast.BoolOp(values=values):
            for value in values:
                yield value, Look.TRUTH
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand, Look.TRUTH
        case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
            yield node.test, Look.TRUTH
        case ast.BinOp(left=left, right=right):
            yield left, Look.ITEMS
            yield right, Look.ITEMS
        case ast.AugAssign(value=value) | ast.Starred(value=value) | ast.YieldFrom(value=value):
            yield value, Look.ITEMS
        case ast.FormattedValue(value=value):
            yield value, Look.ITEMS
        case ast.Assign(targets=targets, value=value):
            if any(isinstance(each, ast.Tuple | ast.List) for each in targets):
                yield value, Look.ITEMS
        case ast.Match(subject=subject):
            yield subject, Look.ITEMS
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if key is None:
                    yield value, Look.ITEMS
        case ast.keyword(arg=None, value=value):
            yield value, Look.ITEMS
