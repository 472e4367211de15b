"""Puts a call before each operation of an expression that another thread can observe.

The calls go to the object that the global variable `HOOK` holds; `accesses.py` says which of them
become steps. The rewritten code does what the original does, in the same order. An operation on
several operands gets its call after the last of them is evaluated. If that call depends on the
first operand, both calls carry the same number, the *site*.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bankkit.explorer.lines.scopes import Scope, scopes_of

HOOK = "__bankkit_accesses__"
"""The global variable in which the rewritten code finds the object that makes steps."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SIMPLE = (ast.Constant, ast.Compare, ast.JoinedStr, ast.Lambda, ast.GeneratorExp)
"""Expressions whose truth is a bool, or does not depend on a container."""


class ExpressionRewriter(ast.NodeTransformer):
    """Rewrites the expressions in all functions of one file."""

    def __init__(self, tree: ast.Module, lines: Sequence[str]) -> None:
        self._lines = lines
        self._scopes = scopes_of(tree)
        self._scope: Scope | None = None
        self._class = ""
        self._functions = 0
        self._private = ""
        """The variable in which the present generator keeps whether it is private."""
        self._consumed: set[ast.expr] = set()
        """Generator expressions that a function uses up at once, so that no other thread can."""
        self._sites = itertools.count()

    def visit(self, node: ast.AST) -> Any:
        """Rewrite a node inside of a function; elsewhere only look for functions."""
        if self._functions or isinstance(node, _FUNCTIONS):
            return super().visit(node)
        if node not in self._scopes:
            return self.generic_visit(node)
        if isinstance(node, ast.ClassDef):
            return super().visit(node)
        with self._inside(node, 0):
            return self.generic_visit(node)

    # Lambdas and comprehensions.

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._visit_defaults(node.args)
        enters = self._call("entered", node.body, self._what("run", node.body))
        private, self._private = self._private, ""
        with self._inside(node, 1):
            body = self.visit(node.body)
        self._private = private
        node.body = ast.copy_location(ast.BoolOp(ast.And(), [enters, body]), body)
        return node

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> ast.AST:
        self._visit_generators(node, node.generators, ["elt"])
        return node

    visit_SetComp = visit_ListComp

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        is_private = node in self._consumed
        self._visit_generators(node, node.generators, ["elt"])
        iterated = node.generators[0].iter
        if not is_private and isinstance(iterated, ast.Call) and not node.generators[0].is_async:
            iterated.args.append(ast.copy_location(ast.Constant(True), iterated))
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        what = self._what("go on after", node)
        self.generic_visit(node)
        if not self._private:
            return node
        private = ast.copy_location(ast.Name(self._private, ast.Load()), node)
        return self._call("resumed", node, node, private, what)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self._visit_generators(node, node.generators, ["key", "value"])
        return node

    def _visit_generators(
        self, node: ast.expr, generators: list[ast.comprehension], values: list[str]
    ) -> None:
        first = generators[0]
        first.iter = self._iterated(first.iter, is_async=bool(first.is_async))
        with self._inside(node, 0):
            for each in generators:
                if each is not first:
                    each.iter = self._iterated(each.iter, is_async=bool(each.is_async))
                each.target = self.visit(each.target)
                each.ifs = [self._truth(test) for test in each.ifs]
            for name in values:
                value = getattr(node, name)
                if value is not None:
                    setattr(node, name, self.visit(value))

    @contextmanager
    def _inside(self, node: ast.AST, functions: int) -> Iterator[None]:
        around, self._scope = self._scope, self._scopes[node]
        self._functions += functions
        yield
        self._functions -= functions
        self._scope = around

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        self._visit_all(arguments.defaults)
        arguments.kw_defaults = [
            None if each is None else self.visit(each) for each in arguments.kw_defaults
        ]

    def _visit_all(self, nodes: list[ast.expr] | list[ast.keyword]) -> None:
        nodes[:] = [self.visit(each) for each in nodes]

    # Names, attributes and items.

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not isinstance(node.ctx, ast.Load) or node.id == "__class__":
            return node
        kind = self._kind(node.id)
        if kind == "local":
            return node
        what = self._what("read", node)
        if kind == "global":
            call = self._call("global_name", node, ast.Constant(self._mangled(node.id)), what)
        else:
            call = self._call("variable", node, what)
        return ast.copy_location(ast.BoolOp(ast.And(), [call, node]), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        is_load = isinstance(node.ctx, ast.Load)
        what = self._what("read" if is_load else self._changes(node), node)
        name = ast.Constant(self._mangled(node.attr))
        node.value = self._call(
            "attribute" if is_load else "changed_attribute",
            node, self.visit(node.value), name, what,
        )  # fmt: skip
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        is_load = isinstance(node.ctx, ast.Load)
        what = self._what("read" if is_load else self._changes(node), node)
        node.value = self.visit(node.value)
        node.slice = self.visit(node.slice)
        last = _last_part(node.slice) if may_step(node.slice) else None
        if last is None:
            node.value = self._call("container", node, node.value, what)
        else:
            site = self._site()
            node.value = self._call("first_container", node, node.value, site)
            node.slice = self._after(node.slice, last, site, what)
        return node

    def _after(
        self, whole: ast.expr, part: ast.expr, site: ast.Constant, what: ast.Constant
    ) -> ast.expr:
        """The index, with a call after its last part."""
        call: ast.expr = self._call("last", part, part, site, what)
        if whole is part:
            return call
        replaced = _Replace(part, call).visit(whole)
        assert isinstance(replaced, ast.expr)
        return replaced

    # Calls and operators.

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            self._visit_all(node.args)
            return node
        what = self._what("call", node.func, node)
        if isinstance(node.func, ast.Name) or getattr(node.func, "attr", "") == "join":
            self._consumed |= {each for each in node.args if isinstance(each, ast.GeneratorExp)}
        method = node.func if isinstance(node.func, ast.Attribute) else None
        looks_up = self._what("read", node.func)
        function = self.visit(method.value if method else node.func)
        self._visit_all(node.args)
        self._visit_all(node.keywords)
        parts: list[ast.keyword | ast.expr] = [*node.args, *node.keywords]
        site = ast.Constant(None)
        if any(map(may_step, parts)):
            site = self._site()
            last = parts[-1]
            holder = last if isinstance(last, ast.keyword | ast.Starred) else None
            if holder is not None:
                holder.value = self._call("last", holder.value, holder.value, site, what)
            else:
                assert isinstance(last, ast.expr)
                node.args[-1] = self._call("last", last, last, site, what)
        if method:
            name = ast.Constant(self._mangled(method.attr))
            node.func = self._call("method", method, function, name, looks_up, site, what)
        else:
            node.func = self._call("function", node.func, function, site, what)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        node.value = self._unpacked(node.value) if node.arg is None else self.visit(node.value)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            node.value = self._unpacked(node.value)
            return node
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        for number, key in enumerate(node.keys):
            if key is None:
                node.values[number] = self._unpacked(node.values[number])
            else:
                node.keys[number] = self.visit(key)
                node.values[number] = self.visit(node.values[number])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        site, what = self._site(), self._what("compute", node)
        node.left = self._first(node.left, site)
        node.right = self._call("last", node.right, self.visit(node.right), site, what)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            node.operand = self._truth(node.operand)
        else:
            node.operand = self._operand(node.operand)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            return self.generic_visit(node)
        what = self._what("compare", node)
        site = self._site()
        node.left = self._first(node.left, site)
        for number, operand in enumerate(node.comparators):
            value = self._call("last", operand, self.visit(operand), site, what)
            if number + 1 < len(node.comparators):
                site = self._site()
                value = self._call("first", operand, value, site)
            node.comparators[number] = value
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        *tested, last = node.values
        node.values = [*[self._truth(each) for each in tested], self.visit(last)]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self._truth(node.test)
        node.body = self.visit(node.body)
        node.orelse = self.visit(node.orelse)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self._operand(node.value)
        if node.format_spec is not None:
            node.format_spec = self.visit(node.format_spec)
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        node.value = self._stored(node.target, self.visit(node.value))
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        what = self._what("iterate over", node.value)
        node.value = self._call("delegated", node, self.visit(node.value), what)
        return node

    def _operand(self, node: ast.expr) -> ast.expr:
        what = self._what("compute", node)
        return self._call("operand", node, self.visit(node), what)

    def _unpacked(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Tuple | ast.List):
            visited: ast.expr = self.visit(node)
            return visited
        what = self._what("unpack", node)
        return self._call("container", node, self.visit(node), what)

    def _first(self, node: ast.expr, site: ast.Constant) -> ast.expr:
        if isinstance(node, ast.Constant):
            return node
        return self._call("first", node, self.visit(node), site)

    def _truth(self, node: ast.expr) -> ast.expr:
        what = self._what("check", node)
        is_simple = isinstance(node, _SIMPLE) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        )
        visited: ast.expr = self.visit(node)
        return visited if is_simple else self._call("truth", node, visited, what)

    def _iterated(self, node: ast.expr, *, is_async: bool = False) -> ast.expr:
        what = self._what("iterate over", node)
        visited: ast.expr = self.visit(node)
        return visited if is_async else self._call("iterated", node, visited, what)

    # Small parts.

    def _stored(self, target: ast.Name, value: ast.expr) -> ast.expr:
        """The value of a variable, with a step before it is stored in a shared one."""
        if not self._is_shared(target.id):
            return value
        return self._call("stored", target, value, self._what("write", target))

    def _is_shared(self, name: str) -> bool:
        """Whether to store in this variable is a step."""
        return self._kind(name) != "local"

    def _kind(self, name: str) -> str:
        """The reach of a variable; `local` also for a shared one that never changes."""
        if self._scope is None:
            return "global"
        kind = self._scope.kind(name)
        return "local" if kind == "cell" and self._scope.is_constant(name) else kind

    def _call(self, method: str, at: ast.AST, *arguments: ast.expr) -> ast.Call:
        call = ast.Call(
            ast.Attribute(ast.Name(HOOK, ast.Load()), method, ast.Load()), list(arguments), []
        )
        for part in (call, call.func, call.func.value, *arguments):  # type: ignore[attr-defined]
            if not hasattr(part, "lineno"):
                # A call of a method that spans several lines would count as one in its last line.
                part.lineno, part.col_offset = at.lineno, at.col_offset  # type: ignore[attr-defined]
                part.end_lineno, part.end_col_offset = part.lineno, part.col_offset
        return call

    def _site(self) -> ast.Constant:
        return ast.Constant(next(self._sites))

    def _mangled(self, name: str) -> str:
        owner = self._class.lstrip("_")
        is_private = name.startswith("__") and not name.endswith("__") and owner
        return f"_{owner}{name}" if is_private else name

    def _changes(self, node: ast.Attribute | ast.Subscript) -> str:
        return "delete" if isinstance(node.ctx, ast.Del) else "write"

    def _what(self, does: str, node: ast.AST, whole: ast.AST | None = None) -> ast.Constant:
        """The description of a step: `read self.n: self.n += 1`."""
        line = getattr(node, "lineno", 0)
        text = self._lines[line - 1].strip() if 0 < line <= len(self._lines) else ""
        if not does or text == ast.unparse(whole or node):
            return ast.Constant(f"run {text}")
        return ast.Constant(f"{does} {ast.unparse(node)}: {text}")


class _Replace(ast.NodeTransformer):
    """Replaces one node."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return self._new
        if isinstance(node, ast.Slice | ast.Tuple):
            return self.generic_visit(node)
        return node


def _last_part(index: ast.expr | None) -> ast.expr | None:
    """The part of an index that is evaluated last."""
    if isinstance(index, ast.Slice):
        parts = [part for part in (index.lower, index.upper, index.step) if part is not None]
        return parts[-1] if parts else None
    if isinstance(index, ast.Tuple) and any(isinstance(each, ast.Slice) for each in index.elts):
        found = [part for part in map(_last_part, index.elts) if part is not None]
        return found[-1] if found else None
    return index


def may_step(node: ast.AST) -> bool:
    """Whether another thread may run while this rewritten node is evaluated."""
    return any(
        (isinstance(part, ast.Name) and part.id == HOOK)
        or isinstance(part, ast.Await | ast.Yield | ast.YieldFrom)
        for part in ast.walk(node)
    )
