"""Reads the code of a loop, and of the functions that it calls, for anything that it may change."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from bankkit.explorer.loops.lookups import (
    ANSWERS,
    CONTAINERS,
    SCALAR,
    STEPS,
    UNKNOWN,
    Changes,
    Variables,
    attribute_of,
    either,
    has_plain_truth,
    is_comparable,
    is_of_explorer,
    is_scalar,
    is_step,
    method_of_primitive,
    method_of_queue,
)
from bankkit.explorer.source.sources import (
    RESUMES,
    assigned_in,
    function_of,
    goes_on,
    returned_by,
    shared_names,
)
from bankkit.explorer.stand_ins.primitives import Primitive

_HARMLESS = frozenset(map(id, (len, bool, int, float, abs, min, max, round, isinstance)))
_DEEPEST = 8
"""Calls within calls that are followed."""


class Reader:
    """Reads the code of a loop or of a function, and raises `Changes` if it may change anything.

    Each `visit` of an expression returns its value as far as that is known.
    """

    def __init__(
        self, scope: Variables, loop: ast.While | None, shared: frozenset[str], depth: int = 0
    ) -> None:
        self._scope = scope
        self._loop = loop
        self._shared = shared
        """The variables that other functions can see."""
        self._depth = depth

    @classmethod
    def returned(
        cls, function: Any, values: Sequence[Any], named: Mapping[str, Any], depth: int
    ) -> Any:
        """What a Python function returns, of which only its type may be known."""
        if isinstance(function, MethodType):
            values, function = [function.__self__, *values], function.__func__
        if not isinstance(function, FunctionType) or depth > _DEEPEST:
            raise Changes
        code = function.__code__
        node = function_of(code)
        if node is None or code.co_flags & (RESUMES | 0x0C):  # or it has *args, **kwargs
            raise Changes
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        known: dict[str, Any] = dict(function.__kwdefaults__ or {})
        defaults = function.__defaults__ or ()
        known |= dict(
            zip(names[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
        )
        known |= dict(zip(names, values, strict=False))
        known |= named
        if len(values) > code.co_argcount or known.keys() != set(names):
            raise Changes
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                known[name] = cell.cell_contents
            except ValueError:
                raise Changes from None
        body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
        changing = frozenset().union(*map(assigned_in, body))
        scope = Variables(known, function.__globals__, changing)
        reader = cls(scope, None, shared_names(code), depth + 1)
        reader._block(body, in_try=False, depth=1)
        returns = returned_by(node)
        if len(returns) == 1 and returns[0] is not None:
            return reader._value(returns[0])
        results = [SCALAR if each is None else reader._value(each) for each in returns]
        return SCALAR if all(map(is_scalar, results)) else UNKNOWN

    def loop(self, node: ast.While) -> None:
        """Read a loop, with what it does in a round that is not its last."""
        while True:
            scalars = len(self._scope.scalars)
            self._test(node.test)
            self._block(node.body, in_try=False, depth=0)
            if len(self._scope.scalars) == scalars:
                return

    # Statements. `depth` says how many loops are around, inside of the one that is read.

    def _block(self, block: list[ast.stmt], *, in_try: bool, depth: int) -> None:
        if self._loop is not None and not in_try and self._ends(block, depth):
            return  # a round that comes here is the last
        for statement in block:
            self._statement(statement, in_try, depth)

    def _ends(self, block: list[ast.stmt], depth: int) -> bool:
        if not block or any(map(goes_on, block)):
            return False
        last = block[-1]
        return isinstance(last, ast.Return | ast.Raise) or (
            isinstance(last, ast.Break) and depth == 0
        )

    def _statement(self, node: ast.stmt, in_try: bool, depth: int) -> None:
        if isinstance(node, ast.Pass | ast.Continue | ast.Break):
            return
        if isinstance(node, ast.Expr):
            self._value(node.value)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self._value(node.value)
        elif isinstance(node, ast.Raise):
            for each in (node.exc, node.cause):
                if each is not None:
                    self._value(each)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if not isinstance(target, ast.Name) or not self._is_local(target.id):
                    raise Changes
            if not is_scalar(self._value(node.value)):
                self._scope.scalars -= assigned_in(node)
        elif isinstance(node, ast.AugAssign):  # this may change a list in place
            if not isinstance(node.target, ast.Name) or not self._is_local(node.target.id):
                raise Changes
            if not (node.target.id in self._scope.scalars and is_scalar(self._value(node.value))):
                raise Changes
        elif isinstance(node, ast.Assert):
            self._test(node.test)
            if node.msg is not None:
                self._value(node.msg)
        elif isinstance(node, ast.If):
            self._test(node.test)
            self._block(node.body, in_try=in_try, depth=depth)
            self._block(node.orelse, in_try=in_try, depth=depth)
        elif isinstance(node, ast.While):
            self._test(node.test)
            self._block(node.body, in_try=in_try, depth=depth + 1)
            self._block(node.orelse, in_try=in_try, depth=depth)
        elif isinstance(node, ast.With):
            for item in node.items:
                if item.optional_vars is not None:
                    raise Changes
                if not isinstance(self._value(item.context_expr), Primitive):
                    raise Changes
            self._block(node.body, in_try=in_try, depth=depth)
        elif isinstance(node, ast.Try):
            self._try(node, in_try, depth)
        else:
            raise Changes

    def _try(self, node: ast.Try, in_try: bool, depth: int) -> None:
        leaves = ast.Break | ast.Continue | ast.Return
        if any(isinstance(each, leaves) for part in node.finalbody for each in ast.walk(part)):
            raise Changes
        self._block(node.body, in_try=True, depth=depth)
        for handler in node.handlers:
            if handler.type is not None:
                self._value(handler.type)
            if handler.name is not None and not self._is_local(handler.name):
                raise Changes
            self._scope.scalars -= assigned_in(handler)
            self._block(handler.body, in_try=in_try, depth=depth)
        self._block(node.orelse, in_try=in_try, depth=depth)
        self._block(node.finalbody, in_try=in_try, depth=depth)

    def _is_local(self, name: str) -> bool:
        return name not in self._shared and "*" not in self._shared

    def _test(self, node: ast.expr) -> None:
        if not has_plain_truth(self._value(node)):
            raise Changes

    # Expressions.

    def _value(self, node: ast.expr) -> Any:
        read = _EXPRESSIONS.get(type(node))
        if read is None:
            raise Changes
        return read(self, node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        return self._scope.value(node.id)

    def _attribute(self, node: ast.Attribute) -> Any:
        return attribute_of(
            self._value(node.value),
            node.attr,
            lambda function, thing: Reader.returned(function, [thing], {}, self._depth),
        )

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self._value(node.operand)
        is_plain = has_plain_truth(value) if isinstance(node.op, ast.Not) else is_scalar(value)
        if not is_plain:
            raise Changes
        return SCALAR

    def _bool(self, node: ast.BoolOp) -> Any:
        values = [self._value(each) for each in node.values]
        if not all(map(has_plain_truth, values[:-1])):
            raise Changes
        return SCALAR if all(map(is_scalar, values)) else either(values)

    def _binary(self, node: ast.BinOp) -> Any:
        if not (is_scalar(self._value(node.left)) and is_scalar(self._value(node.right))):
            raise Changes
        return SCALAR

    def _compare(self, node: ast.Compare) -> Any:
        values = [self._value(each) for each in (node.left, *node.comparators)]
        for operator, left, right in zip(node.ops, values, values[1:], strict=False):
            if isinstance(operator, ast.Is | ast.IsNot):
                continue
            if isinstance(operator, ast.In | ast.NotIn):
                is_plain = is_comparable(left) and type(right) in CONTAINERS
                is_plain = is_plain and all(map(is_comparable, islice(right, 1000)))
            else:
                is_plain = is_comparable(left) and is_comparable(right)
            if not is_plain:
                raise Changes
        return SCALAR

    def _choice(self, node: ast.IfExp) -> Any:
        self._test(node.test)
        return either([self._value(node.body), self._value(node.orelse)])

    def _item(self, node: ast.Subscript) -> Any:
        container, index = self._value(node.value), self._value(node.slice)
        if not isinstance(container, list | tuple | dict | deque) or not is_scalar(index):
            raise Changes
        cls = type(container)
        if isinstance(cls.__getitem__, FunctionType) and not is_of_explorer(cls.__getitem__):
            raise Changes
        if index is SCALAR:
            return UNKNOWN
        base = next(each for each in (list, tuple, dict, deque) if isinstance(container, each))
        try:
            return base.__getitem__(container, index)  # type: ignore[index]
        except (LookupError, TypeError):
            raise Changes from None

    def _sequence(self, node: ast.Tuple | ast.List) -> Any:
        values = [self._value(each) for each in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values

    def _call(self, node: ast.Call) -> Any:
        function = self._value(node.func)
        values = [self._value(each) for each in node.args]
        if any(each.arg is None for each in node.keywords):
            raise Changes
        named = {str(each.arg): self._value(each.value) for each in node.keywords}
        method = method_of_primitive(function)
        if method in STEPS:
            return SCALAR if method in ANSWERS else UNKNOWN
        if method:
            raise Changes
        queue_method = method_of_queue(function)
        if queue_method:
            return SCALAR if queue_method in ("empty", "full", "qsize") else UNKNOWN
        if is_step(function) or getattr(function, "__name__", "") == "get_ident":
            return SCALAR
        if isinstance(function, FunctionType | MethodType):
            if is_of_explorer(function):
                raise Changes
            return Reader.returned(function, values, named, self._depth)
        if isinstance(function, type) and issubclass(function, BaseException):
            if isinstance(function.__init__, FunctionType) or isinstance(
                function.__new__, FunctionType
            ):
                raise Changes
            return UNKNOWN
        return self._builtin(function, [*values, *named.values()])

    def _builtin(self, function: Any, values: list[Any]) -> Any:
        if function is len and len(values) == 1:
            cls = type(values[0])
            if cls in CONTAINERS or (isinstance(values[0], CONTAINERS) and is_of_explorer(cls)):
                return SCALAR
        elif function is bool and len(values) == 1:
            if has_plain_truth(values[0]):
                return SCALAR
        elif function is isinstance:
            if len(values) == 2 and type(values[1]) in (type, tuple):
                return SCALAR
        elif id(function) in _HARMLESS and all(map(is_scalar, values)):
            return SCALAR
        elif (
            isinstance(function, BuiltinFunctionType)
            and function.__name__ == "get"
            and type(function.__self__) is dict
            and is_comparable(values[0])
        ):
            return UNKNOWN if SCALAR in values else function(*values)
        raise Changes


_EXPRESSIONS: dict[type[ast.expr], Any] = {
    ast.Constant: Reader._constant,
    ast.Name: Reader._name,
    ast.Attribute: Reader._attribute,
    ast.UnaryOp: Reader._unary,
    ast.BoolOp: Reader._bool,
    ast.BinOp: Reader._binary,
    ast.Compare: Reader._compare,
    ast.IfExp: Reader._choice,
    ast.Subscript: Reader._item,
    ast.Tuple: Reader._sequence,
    ast.List: Reader._sequence,
    ast.Call: Reader._call,
}
