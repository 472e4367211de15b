"""What a program calls an object that it creates: `self._mutex = Lock()` creates `mutex`."""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType

from bankkit.explorer.source.sources import parsed

_Place = tuple[int | None, int | None]
"""The line and column where a call ends; no other call ends there."""


def name_of_call(frame: FrameType) -> tuple[str, str]:
    """The name that the program gives to the result of the call that this frame is making.

    It is empty if the program gives none. Also returns the name of the function that is called.
    """
    code = frame.f_code
    names = _names("".join(linecache.getlines(code.co_filename, frame.f_globals)))
    exact = names.get(_end(code, frame.f_lasti))
    if exact is not None:
        return exact
    # Python may not know the columns.
    in_line = {found for (line, _), found in names.items() if line == frame.f_lineno}
    return in_line.pop() if len(in_line) == 1 else ("", "")


def _end(code: CodeType, instruction: int) -> _Place:
    for _, line, _, column in islice(code.co_positions(), instruction // 2, None):
        return line, column
    return None, None


@lru_cache(maxsize=64)
def _names(source: str) -> dict[_Place, tuple[str, str]]:
    try:
        tree = parsed(source)
    except SyntaxError:  # a notebook's cell may contain more than Python
        return {}
    found: dict[_Place, tuple[str, str]] = {}
    names: dict[ast.AST, str] = {}
    for node in ast.walk(tree):  # from the outside in
        name = names.get(node, "")
        for part, its_name in _names_of_parts(node, name).items():
            names.setdefault(part, its_name)
        if isinstance(node, ast.Call):
            found[node.end_lineno, node.end_col_offset] = name, _last_name(node.func)
    return found


def _names_of_parts(node: ast.AST, name: str) -> dict[ast.AST, str]:
    """The names that objects get if these parts of the node create them."""
    named: dict[ast.AST, str] = {}
    if isinstance(node, ast.Assign):
        for target in node.targets:
            named |= _assigned(target, node.value)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        named |= _assigned(node.target, node.value)
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        named |= _assigned(node.optional_vars, node.context_expr)
    elif isinstance(node, ast.keyword):
        named[node.value] = node.arg or ""
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            is_text = isinstance(key, ast.Constant) and isinstance(key.value, str)
            named[value] = str(key.value) if is_text else name  # type: ignore[union-attr]
    elif isinstance(node, ast.Call) and _last_name(node.func) == "Condition":
        parts = [*node.args, *[each.value for each in node.keywords]]
        named |= dict.fromkeys(parts, f"{name or 'condition'}'s lock")
    elif isinstance(node, _TRANSPARENT):
        named |= dict.fromkeys(ast.iter_child_nodes(node), name)
    return named


_TRANSPARENT = (
    ast.List, ast.Tuple, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.IfExp, ast.BoolOp,
    ast.Starred, ast.Await,
)  # fmt: skip
"""Expressions whose parts get the name of the whole: `locks = [Lock(), Lock()]`."""


def _assigned(target: ast.expr, value: ast.expr) -> dict[ast.AST, str]:
    if isinstance(target, ast.Tuple | ast.List):
        if not isinstance(value, ast.Tuple | ast.List) or len(target.elts) != len(value.elts):
            return {}
        return {
            part: name
            for one, other in zip(target.elts, value.elts, strict=True)
            for part, name in _assigned(one, other).items()
        }
    return {value: _last_name(target)}


def _last_name(node: ast.expr) -> str:
    """The name at the end of `a.b.name`, without the underscores around it."""
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return f"{_last_name(node.value)}[{node.slice.value!r}]"
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return ""
