"""Puts a call before each operation of a function that another thread can observe.

A statement that stores in a variable has no place for a call just before it does. If other threads
share the variable, the value first goes to a temporary variable, and from there in a statement of
its own.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Sequence

from bankkit.explorer.lines.expression_rewriting import ExpressionRewriter, may_step

PRIVATE = "__bankkit_private__"
"""The variable in which a generator keeps whether no other thread can resume it."""


class Rewriter(ExpressionRewriter):
    """Rewrites all functions of one file."""

    def __init__(self, tree: ast.Module, lines: Sequence[str]) -> None:
        super().__init__(tree, lines)
        self._temporaries = itertools.count()

    # Functions and classes.

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> object:
        first = self._unseen_binding(node, [node.name])
        self._visit_all(node.decorator_list)
        self._visit_defaults(node.args)
        around = self._private
        yields = isinstance(node, ast.FunctionDef) and _yields(node)
        self._private = PRIVATE if yields else ""
        what = ast.Constant(f"run def {node.name}")
        begins = self._call("begun" if yields else "entered", node.body[0], what)
        if yields:
            start: ast.stmt = _assignment(ast.Name(PRIVATE, ast.Store()), begins, node.body[0])
        else:
            start = ast.copy_location(ast.Expr(begins), node.body[0])
        has_text = ast.get_docstring(node, clean=False) is not None
        with self._inside(node, 1):
            body = self._statements(node.body)
        node.body = [*body[:has_text], start, *body[has_text:]]
        self._private = around
        return [*first, node]

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> object:
        first = self._unseen_binding(node, [node.name])
        self._visit_all(node.decorator_list)
        self._visit_all(node.bases)
        self._visit_all(node.keywords)
        around, self._class = self._class, node.name
        with self._inside(node, 0):
            node.body = self._statements(node.body)
        self._class = around
        return [*first, node]

    def _statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            result = self.visit(statement)
            done += result if isinstance(result, list) else [result]
        return done

    # Assignments.

    def visit_Assign(self, node: ast.Assign) -> object:
        unpacks = any(isinstance(target, ast.Tuple | ast.List) for target in node.targets)
        value = self._unpacked(node.value) if unpacks else self.visit(node.value)
        if not any(map(self._has_shared_name, node.targets)):
            node.targets = [self.visit(target) for target in node.targets]
            node.value = value
            return node
        if len(node.targets) == 1:
            return self._assigned(node.targets[0], value)
        temporary = self._temporary()
        done = [_assignment(ast.Name(temporary, ast.Store()), value, node)]
        for target in node.targets:
            done += self._assigned(target, ast.Name(temporary, ast.Load()))
        return [*done, _deletion([temporary], node)]

    def visit_AugAssign(self, node: ast.AugAssign) -> object:
        target = node.target
        writes = self._what("write", target)
        if isinstance(target, ast.Name):
            value = self.visit(node.value)
            if self._kind(target.id) == "local":
                read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
                node.value = self._call("operands", node, value, read, writes)
                return node
            reads = ast.Expr(self._call("variable", target, self._what("read", target)))
            node.value = self._call("stored", node, value, writes)
            return [ast.copy_location(reads, node), node]
        target.ctx = ast.Load()  # for its call: it is read first
        node.target = self.visit(target)
        node.target.ctx = ast.Store()
        node.value = self._call("stored", node, self.visit(node.value), writes)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        value = node.value and self.visit(node.value)
        if isinstance(node.target, ast.Name):
            node.value = value and self._stored(node.target, value)
            return node
        if value is not None:
            node.target = self.visit(node.target)
            node.value = value
        return node

    def visit_Delete(self, node: ast.Delete) -> object:
        names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        first = self._unseen_binding(node, names)
        node.targets = [self.visit(each) for each in node.targets]
        return [*first, node]

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> object:
        names = [(each.asname or each.name).partition(".")[0] for each in node.names]
        return [*self._unseen_binding(node, names), node]

    visit_ImportFrom = visit_Import

    # Loops, tests and contexts.

    def visit_For(self, node: ast.For | ast.AsyncFor) -> ast.AST:
        is_async = isinstance(node, ast.AsyncFor)
        first: list[ast.stmt] = []
        if is_async:
            step = self._call("variable", node, self._what("iterate over", node.iter))
            first.append(ast.copy_location(ast.Expr(step), node))
        node.iter = self._iterated(node.iter, is_async=is_async)
        node.target, assigned = self._received(node.target)
        node.body = [*first, *assigned, *self._statements(node.body)]
        node.orelse = self._statements(node.orelse)
        return node

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> ast.AST:
        what = self._what("", node)
        node.test = self._truth(node.test)
        node.body = self._statements(node.body)
        node.orelse = self._statements(node.orelse)
        if not any(map(may_step, [node.test, *node.body])):
            step = self._call("variable", node, what)
            node.test = ast.copy_location(ast.BoolOp(ast.And(), [step, node.test]), node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        node.test = self._truth(node.test)
        node.body = self._statements(node.body)
        node.orelse = self._statements(node.orelse)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.test = self._truth(node.test)
        node.msg = node.msg and self.visit(node.msg)
        return node

    def visit_With(self, node: ast.With | ast.AsyncWith) -> ast.AST:
        received: list[list[ast.stmt]] = []
        for item in node.items:
            what = self._what("enter", item.context_expr)
            leaves = self._what("leave", item.context_expr)
            item.context_expr = self._call(
                "async_context" if isinstance(node, ast.AsyncWith) else "context",
                item.context_expr, self.visit(item.context_expr), what, leaves,
            )  # fmt: skip
            assigned: list[ast.stmt] = []
            if item.optional_vars is not None:
                item.optional_vars, assigned = self._received(item.optional_vars)
            received.append(assigned)
        node.body = self._statements(node.body)
        *outer, last = node.items
        if not any(received[:-1]):
            node.body = [*received[-1], *node.body]
            return node
        # The next context may use the variable of the one before.
        inner: list[ast.stmt] = [*received[-1], *node.body]
        inner_with = ast.copy_location(type(node)([last], inner), node)
        for item, assigned in zip(reversed(outer), reversed(received[:-1]), strict=True):
            inner_with = ast.copy_location(type(node)([item], [*assigned, inner_with]), node)
        return inner_with

    visit_AsyncWith = visit_With

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.type = node.type and self.visit(node.type)
        body = self._statements(node.body)
        if node.name is None or self._kind(node.name) == "local":
            node.body = body
            return node
        target = ast.copy_location(ast.Name(node.name, ast.Store()), node)
        node.name = self._temporary()
        unbound = self._assigned(target, ast.copy_location(ast.Constant(None), node))
        unbound.append(_deletion([target.id], node))
        node.body = [
            *self._assigned(target, ast.Name(node.name, ast.Load())),
            ast.copy_location(ast.Try(body, [], [], unbound), node),
        ]
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        what = ast.Constant(f"line {node.lineno} ({self._lines[node.lineno - 1].strip()})")
        binds, looks = False, False
        node.subject = self._operand(node.subject)
        for case in node.cases:
            for part in ast.walk(case.pattern):
                names = [getattr(part, "name", None), getattr(part, "rest", None)]
                binds = binds or any(name and self._is_shared(name) for name in names)
                looks = looks or isinstance(
                    part, ast.MatchClass | ast.MatchMapping | ast.MatchSequence
                )
            if case.guard is not None:
                case.guard = self._truth(case.guard)
            case.body = self._statements(case.body)
        if binds or looks:
            node.subject = self._call(
                "matched", node.subject, node.subject, ast.Constant(binds), what
            )
        return node

    # Bindings of shared variables.

    def _unseen_binding(self, node: ast.stmt, names: list[str]) -> list[ast.stmt]:
        """A step before a statement, if it binds a shared variable."""
        if not self._functions or not any(self._is_shared(name) for name in names):
            return []
        step = self._call("variable", node, self._what("", node))
        return [ast.copy_location(ast.Expr(step), node)]

    def _received(self, target: ast.expr) -> tuple[ast.expr, list[ast.stmt]]:
        """The target of a loop or a context, and assignments of what it received."""
        if not self._has_shared_name(target):
            return self.visit(target), []
        temporary = self._temporary()
        assigned = self._assigned(target, ast.Name(temporary, ast.Load()))
        received = ast.copy_location(ast.Name(temporary, ast.Store()), target)
        return received, [*assigned, _deletion([temporary], target)]

    def _assigned(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """Assign a rewritten value to a target."""
        if isinstance(target, ast.Name):
            return [_assignment(target, self._stored(target, value), target)]
        if not isinstance(target, ast.Tuple | ast.List) or not self._has_shared_name(target):
            return [_assignment(self.visit(target), value, target)]
        names = [self._temporary() for _ in target.elts]
        parts: list[ast.expr] = []
        done: list[ast.stmt] = []
        for name, element in zip(names, target.elts, strict=True):
            part: ast.expr = ast.Name(name, ast.Store())
            if isinstance(element, ast.Starred):
                part, element = ast.Starred(part, ast.Store()), element.value
            parts.append(part)
            done += self._assigned(element, ast.Name(name, ast.Load()))
        unpacked = _assignment(ast.Tuple(parts, ast.Store()), value, target)
        return [unpacked, *done, _deletion(names, target)]

    def _has_shared_name(self, target: ast.expr) -> bool:
        if isinstance(target, ast.Starred):
            return self._has_shared_name(target.value)
        if isinstance(target, ast.Tuple | ast.List):
            return any(map(self._has_shared_name, target.elts))
        return isinstance(target, ast.Name) and self._is_shared(target.id)

    def _temporary(self) -> str:
        return f"__bankkit_{next(self._temporaries)}__"


def _yields(node: ast.AST) -> bool:
    """Whether a function is a generator."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        inner = isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef)
        if not inner and _yields(part):
            return True
    return False


def _assignment(target: ast.expr, value: ast.expr, at: ast.AST) -> ast.stmt:
    assignment = ast.copy_location(ast.Assign([target], value), at)
    for part in ast.walk(target):
        if isinstance(part, ast.expr) and not hasattr(part, "lineno"):
            ast.copy_location(part, at)
    if not hasattr(value, "lineno"):
        ast.copy_location(value, at)
    return assignment


def _deletion(names: list[str], at: ast.AST) -> ast.stmt:
    targets: list[ast.expr] = [ast.Name(name, ast.Del()) for name in names]
    for target in targets:
        ast.copy_location(target, at)
    return ast.copy_location(ast.Delete(targets), at)
