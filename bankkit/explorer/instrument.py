"""Makes every line of some code a step, by recompiling it with a call before each statement.

Tracing would not need to change the code. But on Python 3.11 and 3.12, a greenlet switch inside a
trace callback leaves the other greenlets untraced.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from bankkit.explorer import primitives
from bankkit.explorer.scheduler import Scheduler

HOOK = "__bankkit_line__"
"""The global variable in which the instrumented code finds the function that makes a step."""


class _Memory:
    """The object that lines use. All lines conflict, because their attributes are unknown."""

    explorer_key = -1
    explorer_now = 0.0


@contextmanager
def instrumented(things: Iterable[object], scheduler: Scheduler) -> Iterator[None]:
    """Make each line of these functions, classes and modules a step while the block runs.

    Raises TypeError for other things, and ValueError for code whose source is not available.
    """
    memory = _Memory()

    def line(number: int, text: str) -> bool:
        scheduler.point(primitives.LINE, memory, f"line {number}: {text}")
        return True

    before: list[tuple[FunctionType, CodeType]] = []
    hooked: list[dict[str, Any]] = []
    try:
        for function in {id(each): each for thing in things for each in _functions(thing)}.values():
            before.append((function, function.__code__))
            function.__code__ = _with_steps(function.__code__)
            if HOOK not in function.__globals__:
                function.__globals__[HOOK] = line
                hooked.append(function.__globals__)
        yield
    finally:
        for function, code in before:
            function.__code__ = code
        for names in hooked:
            del names[HOOK]


def _functions(thing: object) -> Iterator[FunctionType]:
    if isinstance(thing, FunctionType):
        yield thing
    elif isinstance(thing, MethodType | staticmethod | classmethod):
        yield from _functions(thing.__func__)
    elif isinstance(thing, property):
        for part in (thing.fget, thing.fset, thing.fdel):
            if part is not None:
                yield from _functions(part)
    elif isinstance(thing, type):
        for value in vars(thing).values():
            if isinstance(value, FunctionType | staticmethod | classmethod | property):
                yield from _functions(value)
    elif isinstance(thing, ModuleType):
        for value in vars(thing).values():
            if (
                isinstance(value, FunctionType | type)
                and getattr(value, "__module__", None) == thing.__name__
            ):
                yield from _functions(value)
    else:
        raise TypeError(f"lines= takes functions, classes and modules, not {thing!r}.")


@lru_cache
def _with_steps(code: CodeType) -> CodeType:
    """The function with its steps, compiled from its whole file to keep its names and closures."""
    source = "".join(linecache.getlines(code.co_filename))
    if not source:
        raise ValueError(
            f"The source of {code.co_qualname} in {code.co_filename} is not available."
        )
    tree = _Steps(source.splitlines(), code).visit(ast.parse(source))
    ast.fix_missing_locations(tree)
    compiled = compile(tree, code.co_filename, "exec", dont_inherit=True)
    for each in _codes(compiled):
        if (each.co_qualname, each.co_firstlineno) == (code.co_qualname, code.co_firstlineno):
            return each
    raise ValueError(
        f"{code.co_qualname} is not in {code.co_filename}. Import the file again if it has changed."
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class _Steps(ast.NodeTransformer):
    """Puts a call of the hook before each statement of one function and into each `while` test."""

    def __init__(self, lines: list[str], code: CodeType) -> None:
        self._lines = lines
        self._code = code
        self._inside = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if not self._inside and first != self._code.co_firstlineno:
            return self.generic_visit(node)
        was, self._inside = self._inside, True
        self.generic_visit(node)
        self._inside = was
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        if self._inside:
            node.test = ast.BoolOp(ast.And(), [self._call(node), node.test])
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self._inside:
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list):
                    setattr(node, name, list(self._block(node, block)))
        return node

    def _block(self, node: ast.AST, block: list[ast.stmt]) -> Iterator[ast.stmt]:
        for number, statement in enumerate(block):
            is_docstring = (
                number == 0
                and isinstance(node, ast.FunctionDef | ast.ClassDef)
                and isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
            )
            # The step of a `while` loop is in its test, so that every iteration makes a step.
            if not is_docstring and not isinstance(
                statement, ast.While | ast.Global | ast.Nonlocal
            ):
                yield ast.copy_location(ast.Expr(self._call(statement)), statement)
            yield statement

    def _call(self, node: ast.stmt) -> ast.Call:
        line = node.lineno
        text = self._lines[line - 1].strip()
        call = ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(line), ast.Constant(text)], [])
        for part in ast.walk(call):
            if isinstance(part, ast.expr):
                ast.copy_location(part, node)
        return call
