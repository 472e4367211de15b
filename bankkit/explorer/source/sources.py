"""The source of code that runs: where a frame is in it, and what a function assigns and returns."""

from __future__ import annotations

import ast
import linecache
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

Place = tuple[int, int, int, int]
"""Where an expression begins and ends: line and column, line and column."""

RESUMES = 0x20 | 0x80 | 0x100 | 0x200
"""The flags of the code of generators and coroutines."""


@contextmanager
def without_warnings() -> Iterator[None]:
    """A block that compiles source of which Python has warned already, when it was imported.

    A warning that counts as an error would make the source one that cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parsed(source: str) -> ast.Module:
    """The tree of a source. Raises SyntaxError if it is not Python."""
    with without_warnings():
        return ast.parse(source)


def place_of(frame: FrameType) -> Place | None:
    """The expression that a frame is evaluating; None if Python does not know it."""
    return place_at(frame.f_code, frame.f_lasti)


def place_at(code: CodeType, instruction: int) -> Place | None:
    """The expression that an instruction evaluates; None if Python does not know it."""
    return _places(code).get(instruction)


def is_within(place: Place | None, other: Place) -> bool:
    """Whether one place is part of another."""
    return place is not None and place[:2] >= other[:2] and place[2:] <= other[2:]


@lru_cache(maxsize=512)
def _places(code: CodeType) -> dict[int, Place]:
    return {
        2 * number: (line, column, end_line, end_column)
        for number, (line, end_line, column, end_column) in enumerate(code.co_positions())
        if line is not None and end_line is not None
        if column is not None and end_column is not None
    }


def source_place(node: Any) -> Place:
    """Where a node of the source begins and ends."""
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


@lru_cache(maxsize=64)
def _functions(source: str) -> dict[tuple[str, int], list[Any]]:
    """All functions of a file by name and first line, and the file itself."""
    try:
        tree = parsed(source)
    except SyntaxError:  # a notebook's cell may contain more than Python
        return {}
    found: dict[tuple[str, int], list[Any]] = {("<module>", 1): [tree]}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@lru_cache(maxsize=512)
def function_of(code: CodeType) -> Any:
    """The source of a function; None if it is not certain."""
    source = "".join(linecache.getlines(code.co_filename))
    first = 1 if code.co_name == "<module>" else code.co_firstlineno
    found = _functions(source).get((code.co_name, first), ())
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=4096)
def nodes_around(function: ast.AST, place: Place) -> list[ast.AST]:
    """The nodes of a function around a place, the innermost first, without the function."""
    found: list[ast.AST] = []
    node: ast.AST | None = function
    while node is not None:
        inside: ast.AST | None = None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.withitem | ast.comprehension | ast.ExceptHandler):
                grandchildren = list(ast.iter_child_nodes(child))
                if any(_contains(each, place) for each in grandchildren):
                    inside = child
            elif _contains(child, place):
                inside = child
        if inside is not None:
            found.append(inside)
        node = inside
    return found[::-1]


def _contains(node: ast.AST, place: Place) -> bool:
    return hasattr(node, "lineno") and is_within(place, source_place(node))


@lru_cache(maxsize=4096)
def assigned_in(node: ast.AST) -> frozenset[str]:
    """The names that are bound somewhere in a node."""
    names = {
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)
    }
    handlers = [each for each in ast.walk(node) if isinstance(each, ast.ExceptHandler)]
    return frozenset(names | {each.name for each in handlers if each.name})


@lru_cache(maxsize=4096)
def goes_on(node: ast.AST) -> bool:
    """Whether there is a `continue` in a node."""
    return any(isinstance(each, ast.Continue) for each in ast.walk(node))


@lru_cache(maxsize=4096)
def returned_by(function: ast.AST) -> list[ast.expr | None]:
    """What a function returns."""
    if isinstance(function, ast.Lambda):
        return [function.body]
    return [each.value for each in ast.walk(function) if isinstance(each, ast.Return)]


@lru_cache(maxsize=512)
def shared_names(code: CodeType) -> frozenset[str]:
    """The names whose assignment in a function is seen outside of it; `*` stands for all."""
    if code.co_name == "<module>":
        return frozenset("*")
    function = function_of(code)
    return frozenset(code.co_cellvars) | {
        name
        for each in ast.walk(function)
        if isinstance(each, ast.Global | ast.Nonlocal)
        for name in each.names
    }
