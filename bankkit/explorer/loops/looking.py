"""Decides, from its source, whether a loop only looks: another round can change nothing but time.

`while not state.ready: pass` only looks, and so does `while not lock.acquire(blocking=False):
sleep(0.01)`. A loop that counts its rounds, fills a list or follows an iterator does not, even if
all of its steps are reads: its tenth round may differ from its second.

The question is asked while a thread is in the loop, so names and attributes are looked up in its
variables, and the functions that the loop calls are read as well. Every construct that is not
known to be harmless makes the answer no.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import Any

from bankkit.explorer.loops.lookups import (
    SCALARS,
    Changes,
    Variables,
    is_comparable,
    is_step,
    looked_up,
)
from bankkit.explorer.loops.reading import Reader
from bankkit.explorer.source.sources import (
    RESUMES,
    Place,
    assigned_in,
    function_of,
    goes_on,
    is_within,
    nodes_around,
    place_of,
    shared_names,
    source_place,
)
from bankkit.explorer.stand_ins.primitives import Primitive

_LOOPS = ast.While | ast.For
_GENERATORS = ast.AsyncFor | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Looking:
    """A loop that a thread is in and that only looks. It may be a loop around other loops."""

    def __init__(self, loop: ast.While, statement: Place) -> None:
        self.line = loop.lineno
        """The line where it begins."""
        self.statement = statement
        """The statement in it, or the test, that the thread is at."""


def loop_that_looks(frame: FrameType, seen: Sequence[Place] | None) -> Looking | None:
    """The largest loop around a frame's line that only looks; None if there is none.

    `seen` has the places of the frame from which the thread made the steps of its last round. A
    loop around that, which would have made other steps first, was not gone round. If no round is
    known, the innermost loop is meant.
    """
    place = place_of(frame)
    function = function_of(frame.f_code)
    if place is None or function is None or frame.f_code.co_flags & RESUMES:
        return None
    around = nodes_around(function, place)
    if any(isinstance(each, _GENERATORS) for each in around):
        return None
    variables = dict(frame.f_locals)
    loop: ast.While | None = None
    counts = False
    for number, node in enumerate(around):
        if not isinstance(node, _LOOPS) or not number or around[number - 1] in node.orelse:
            continue
        scope = Variables(variables, frame.f_globals, assigned_in(node))
        if seen is None and loop is not None:
            break
        if seen is not None and _makes_other_steps(around[: number + 1], scope, seen):
            break
        if isinstance(node, ast.While) and not counts:
            loop = node
        elif isinstance(node, ast.For) and not counts and _counts(node, scope):
            counts = True
        else:
            return None
    if loop is None:
        return None
    statement = next((each for each in around if isinstance(each, ast.stmt)), loop)
    parts: tuple[ast.expr, ...] = (
        (statement.test,) if isinstance(statement, ast.While | ast.If) else ()
    )
    if isinstance(statement, ast.With):
        parts = tuple(item.context_expr for item in statement.items)
    scope = Variables(variables, frame.f_globals, assigned_in(loop))
    scope.scalars = {name for name in scope.changing if type(variables.get(name)) in SCALARS}
    try:
        Reader(scope, loop, shared_names(frame.f_code)).loop(loop)
    except (Changes, RecursionError):
        return None
    first, last = (
        source_place(parts[0] if parts else statement),
        source_place(parts[-1] if parts else statement),
    )
    return Looking(loop, (*first[:2], *last[2:]))


def _makes_other_steps(around: list[ast.AST], scope: Variables, seen: Sequence[Place]) -> bool:
    """Whether each round of a loop, the last of these nodes, makes a step outside of the first.

    The steps that were `seen` in the last round are not such steps.
    """
    loop: Any = around[-1]
    certain: list[ast.AST] = []
    if isinstance(loop, ast.While) and around[-2] is not loop.test:
        certain.append(loop.test)
    may_skip = goes_on(loop)
    for number, (inner, outer) in enumerate(pairwise(around)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(outer, name, None)
            if isinstance(block, list) and inner in block:
                index = block.index(inner)
                certain += block[:index]
                between = around[number + 1 : -1]
                if not may_skip and not any(isinstance(each, _LOOPS | ast.Try) for each in between):
                    certain += block[index + 1 :]
    return any(
        _steps(each, scope) and not any(is_within(place, source_place(each)) for place in seen)
        for each in certain
    )


def _counts(loop: ast.For, scope: Variables) -> bool:
    """Whether a loop gives its variable another value in each round."""
    if not isinstance(loop.target, ast.Name):
        return False
    bound = [
        each
        for each in ast.walk(loop)
        if isinstance(each, ast.Name)
        and each.id == loop.target.id
        and not isinstance(each.ctx, ast.Load)
    ]
    if len(bound) != 1:
        return False
    over = loop.iter
    if isinstance(over, ast.Call):
        is_range = looked_up(over.func, scope) is range
        return is_range and all(isinstance(each, ast.Constant) for each in over.args)
    items = looked_up(over, scope)
    if type(items) is not tuple or not all(map(is_comparable, items)):
        return False
    return all(one != other for number, one in enumerate(items) for other in items[:number])


def _steps(node: ast.AST, scope: Variables) -> bool:
    """Whether to execute a statement, or evaluate an expression, certainly makes a step."""
    if isinstance(node, ast.With):
        return any(
            isinstance(looked_up(item.context_expr, scope), Primitive)
            or _steps(item.context_expr, scope)
            for item in node.items
        )
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return _steps(node.test, scope)
    if isinstance(node, ast.BoolOp):
        return _steps(node.values[0], scope)
    if isinstance(node, ast.Call) and is_step(looked_up(node.func, scope)):
        return True
    if isinstance(node, ast.Expr | ast.Assign | ast.Return | ast.expr):
        if isinstance(
            node, ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.DictComp | ast.SetComp
        ):
            return False
        return any(_steps(child, scope) for child in ast.iter_child_nodes(node))
    return False
