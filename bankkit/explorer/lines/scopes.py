"""Which variables of a function other threads can reach: globals, and those that closures share.

The rules are those of the language reference, "Naming and binding". A variable that only a list,
set or dict comprehension shares with its function is not shared: both run in the same thread.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Literal

Kind = Literal["local", "cell", "global"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_EAGER = (ast.ListComp, ast.SetComp, ast.DictComp)
_SCOPES = (*_FUNCTIONS, *_EAGER, ast.GeneratorExp, ast.ClassDef)


class Scope:
    """The names that one function, lambda, comprehension or class binds."""

    def __init__(self, node: ast.AST, around: Scope | None) -> None:
        self.node = node
        self.around = around
        self.parameters: set[str] = set()
        self.bound: dict[str, int] = {}
        """How many statements bind each name."""
        self.declared: dict[str, Kind] = {}
        """The names in a `global` or `nonlocal` statement."""
        self.definitions: set[str] = set()
        """The names that a `def`, `class` or `import` binds."""
        self.shared: set[str] = set()
        """The names that a nested function uses, or rebinds."""

    def bind(self, name: str) -> None:
        """Record that a statement of this scope binds the name."""
        self.bound[name] = self.bound.get(name, 0) + 1

    def kind(self, name: str) -> Kind:
        """The reach of what this name means in this scope."""
        home = self._home(name)
        if home is None:
            return "global"
        if isinstance(home.node, ast.ClassDef) or name not in home.shared:
            return "local"
        return "cell"

    def is_constant(self, name: str) -> bool:
        """Whether a variable of a closure is bound once, by a definition or as a parameter."""
        home = self._home(name)
        if home is None:
            return False
        bound = home.bound.get(name, 0)
        if name in home.parameters:
            return bound == 0
        return bound == 1 and name in home.definitions

    def _home(self, name: str) -> Scope | None:
        """The scope that binds the name; None for a global or a built-in."""
        scope: Scope | None = self
        is_own = True
        while scope is not None:
            declared = scope.declared.get(name)
            if declared == "global":
                return None
            is_visible = is_own or not isinstance(scope.node, ast.ClassDef)
            if (
                declared is None
                and is_visible
                and (name in scope.bound or name in scope.parameters)
            ):
                return scope
            scope, is_own = scope.around, False
        return None

    def use(self, name: str) -> None:
        """Record a use of the name in this scope, so that its home knows who shares it."""
        home = self._home(name)
        scope: Scope | None = self
        is_shared = False
        while scope is not None and scope is not home:
            is_shared = is_shared or not isinstance(scope.node, _EAGER)
            scope = scope.around
        if home is not None and is_shared:
            home.shared.add(name)


def scopes_of(tree: ast.Module) -> dict[ast.AST, Scope]:
    """The scope of each node that opens one. The module itself has none: its names are global."""
    scopes: dict[ast.AST, Scope] = {}
    uses: list[tuple[Scope, str]] = []
    for node in tree.body:
        _collect(node, None, scopes, uses)
    for scope, name in uses:
        scope.use(name)
    return scopes


def _collect(
    node: ast.AST,
    scope: Scope | None,
    scopes: dict[ast.AST, Scope],
    uses: list[tuple[Scope, str]],
) -> None:
    """Record what `node` binds and uses, as a part of `scope`, and everything below it."""
    if scope is not None:
        for name in _bound_names(node):
            scope.bind(name)
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom)):
                scope.definitions.add(name)
            uses.append((scope, name))  # a `nonlocal` name that is only bound is shared, too
        if isinstance(node, ast.Name):
            uses.append((scope, node.id))
        elif isinstance(node, ast.Global):
            scope.declared.update(dict.fromkeys(node.names, "global"))
        elif isinstance(node, ast.Nonlocal):
            scope.declared.update(dict.fromkeys(node.names, "cell"))
    if isinstance(node, ast.NamedExpr):
        _collect(node.value, scope, scopes, uses)
        home = scope
        while home is not None and isinstance(home.node, (*_EAGER, ast.GeneratorExp)):
            home = home.around
        if scope is not None and home is not None:
            home.bind(node.target.id)
            uses.append((scope, node.target.id))
        return
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            _collect(child, scope, scopes, uses)
        return
    inner = scopes[node] = Scope(node, scope)
    if isinstance(node, _FUNCTIONS):
        inner.parameters = {each.arg for each in _parameters(node.args)}
    for child in _outside_of(node):
        _collect(child, scope, scopes, uses)
    for child in _inside_of(node):
        _collect(child, inner, scopes, uses)


def _bound_names(node: ast.AST) -> Iterator[str]:
    """The names that this node itself binds, without those that its children bind."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name is not None:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        yield node.rest


def _parameters(arguments: ast.arguments) -> Iterator[ast.arg]:
    """All parameters of a function."""
    yield from arguments.posonlyargs
    yield from arguments.args
    yield from arguments.kwonlyargs
    for each in (arguments.vararg, arguments.kwarg):
        if each is not None:
            yield each


def _outside_of(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a scope's node that run in the scope around it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from node.decorator_list
    if isinstance(node, _FUNCTIONS):
        yield from node.args.defaults
        yield from (each for each in node.args.kw_defaults if each is not None)
    elif isinstance(node, ast.ClassDef):
        yield from node.bases
        yield from node.keywords
    elif isinstance(node, (*_EAGER, ast.GeneratorExp)):
        yield node.generators[0].iter


def _inside_of(node: ast.AST) -> Iterable[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.body
    if isinstance(node, ast.Lambda):
        return [node.body]
    assert isinstance(node, (*_EAGER, ast.GeneratorExp))
    parts: list[ast.AST] = []
    if not isinstance(node, ast.DictComp):
        parts.append(node.elt)
    else:
        parts += [each for each in (node.key, node.value) if each is not None]
    for number, each in enumerate(node.generators):
        parts += [each.target, *([each.iter] if number else []), *each.ifs]
    return parts
