"""Tells which instructions of a function use data, as its source has them.

An instruction is known by its place in the source: Python's compiler keeps the first and the last
column of the expression for each.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

from bankkit.explorer.source.sources import parsed

Span = tuple[int | None, int | None, int | None, int | None]


class Look(Enum):
    """What the interpreter itself does with a value that is loaded."""

    NOTHING = 0
    TRUTH = 1
    """It tests the value, or looks for an item in it."""
    ITEMS = 2
    """It iterates over the value, or combines it with another one."""
    WHOLE = 3
    """It compares the value, or makes a text of it: this also looks into what it holds."""


class Access(NamedTuple):
    """What an instruction does, in terms of the source."""

    node: ast.expr
    """A name, an attribute, an item, or a call."""
    stores: bool
    is_local: bool
    """Whether it is a variable that no other function has."""
    look: Look


@lru_cache(maxsize=4096)
def accesses(code: CodeType) -> dict[int, list[Access]]:
    """What instructions do with names, attributes and items, and what they call.

    The key is the offset where an instruction begins: that of its first EXTENDED_ARG, if it has
    any. Python 3.11 traces the instruction there only.
    """
    file = code.co_filename
    nodes = nodes_of(file)
    is_class_body = not code.co_flags & inspect.CO_OPTIMIZED and code.co_name != "<module>"
    found: dict[int, list[Access]] = defaultdict(list)
    second: ast.Name | None = None
    for offset, instruction in _instructions(code) if nodes else ():
        if second is not None:
            found[offset].append(Access(second, False, True, nodes[_span(second)][1]))
            second = None
        operation, place = instruction.opname, instruction.positions
        if place is None or not operation.startswith(_OPERATIONS) or "CONST" in operation:
            continue  # the None that a function returns at its end has its last expression's place
        span = place.lineno, place.col_offset, place.end_lineno, place.end_col_offset
        variable = instruction.argval
        if "FAST" in operation and isinstance(variable, tuple):
            # One instruction does what two did, and has the place of the first. The second is seen
            # at the next instruction, because the first may store what the second loads.
            variable, next_variable = variable
            if "LOAD_FAST" in operation[1:]:
                second = _next_name(file, span, next_variable)
        node, look = nodes.get(span, (None, Look.NOTHING))
        if node is None or isinstance(node, ast.Call) != operation.startswith("CALL"):
            continue
        stores = operation.startswith(("STORE_", "DELETE_"))
        if "FAST" in operation:
            # A generator loads its hidden iterator at the place of the iterable.
            if not stores and isinstance(node, ast.Name) and node.id == variable:
                found[offset].append(Access(node, stores, True, look))
        elif not (is_class_body and operation == "STORE_NAME"):
            found[offset].append(Access(node, stores, False, look))
    return dict(found)


def _instructions(code: CodeType) -> Iterator[tuple[int, dis.Instruction]]:
    """The instructions, and where each begins."""
    begins: int | None = None
    for instruction in dis.get_instructions(code):
        begins = instruction.offset if begins is None else begins
        if instruction.opname != "EXTENDED_ARG":
            yield begins, instruction
            begins = None


@lru_cache(maxsize=4096)
def has_columns(code: CodeType) -> bool:
    """Whether the code knows the places of its expressions, and not only their lines."""
    return any(column is not None for _, _, column, _ in code.co_positions())


_OPERATIONS = ("LOAD_", "STORE_", "DELETE_", "BINARY_", "CALL")


@lru_cache(maxsize=4096)
def text_of(node: ast.expr) -> str:
    """The source of an expression."""
    return ast.unparse(node)


@lru_cache(maxsize=256)
def nodes_of(file: str) -> dict[Span, tuple[ast.expr, Look]]:
    """The names, attributes, items and calls in a file, by where they begin and end."""
    tree = _tree(file)
    if tree is None:
        return {}
    looks = {id(node): look for parent in ast.walk(tree) for node, look in _looks(parent)}
    return {
        _span(node): (node, looks.get(id(node), Look.NOTHING))
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
    }


@lru_cache(maxsize=256)
def _tree(file: str) -> ast.Module | None:
    try:
        return parsed("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None


def _span(node: ast.expr) -> Span:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _next_name(file: str, span: Span, variable: str) -> ast.Name | None:
    """The variable that is loaded next after what is at this place."""
    line, column = span[:2]
    names = _names_of_line(file).get(line, [])
    spans = [_span(each) for each in names]
    if span in spans:
        later = names[spans.index(span) + 1 :]
    else:  # a pattern or a handler of exceptions has stored a variable
        later = [each for each in names if each.col_offset > (column or 0)]
    loads = (each for each in later if each.id == variable and isinstance(each.ctx, ast.Load))
    return next(loads, None)


@lru_cache(maxsize=256)
def _names_of_line(file: str) -> dict[int | None, list[ast.Name]]:
    """By line: the names, in the order in which they are evaluated."""
    tree = _tree(file)
    names: dict[int | None, list[ast.Name]] = defaultdict(list)
    todo: list[ast.AST] = [] if tree is None else [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            names[node.lineno].append(node)
        todo += reversed(_parts(node))
    return names


def _parts(node: ast.AST) -> list[ast.AST]:
    """The parts of a node in the order in which they are evaluated."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return [value, *targets]
        case ast.NamedExpr(target=target, value=value) | ast.AnnAssign(target=target, value=value):
            return [target] if value is None else [value, target]
        case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
            return [iterable, target, *body, *orelse]
        case ast.comprehension(target=target, iter=iterable, ifs=tests):
            return [iterable, target, *tests]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return [*node.generators, node.elt]
        case ast.DictComp(key=key, value=value, generators=generators):
            return [*generators, key, value]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [each for pair in pairs for each in pair if each is not None]
    return list(ast.iter_child_nodes(node))


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
                    yield one, Look.WHOLE
                    yield other, Look.WHOLE
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
            yield value, Look.WHOLE
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
