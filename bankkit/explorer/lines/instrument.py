"""Makes the operations of named code steps, by recompiling it with a call before each of them.

Tracing would not need to change the code. But on Python 3.11 and 3.12, a greenlet switch inside a
trace callback leaves the other greenlets untraced.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.lines.accesses import Accesses, Memory
from bankkit.explorer.lines.expression_rewriting import HOOK
from bankkit.explorer.lines.named_code import functions_of
from bankkit.explorer.lines.rewriting import Rewriter
from bankkit.explorer.source.sources import parsed, without_warnings

_MISSING = object()


class Instrumentation:
    """The code that `lines=` names. In its `with` block its operations are steps.

    The block can be entered again. The first time, it raises TypeError for things that are no code,
    and ValueError for code that cannot be rewritten, or whose source is not available.
    """

    def __init__(self, things: Iterable[object], scheduler: Scheduler) -> None:
        self._things = tuple(things)
        self._scheduler = scheduler
        self._memory = Memory()
        self._rewritten: list[tuple[FunctionType, CodeType]] | None = None
        self._rebound: set[str] = set()
        self._before: list[tuple[FunctionType, CodeType]] = []
        self._hooks: list[tuple[dict[str, Any], Any]] = []

    def begin(self) -> None:
        """Forget the time of the schedule before."""
        self._memory.explorer_now = 0.0

    def __enter__(self) -> None:
        if self._rewritten is None:
            self._rewritten = list(self._rewrite())
        try:
            for function, code in self._rewritten:
                self._before.append((function, function.__code__))
                names = function.__globals__
                if not any(names is each for each, _ in self._hooks):
                    self._hooks.append((names, names.get(HOOK, _MISSING)))
                    names[HOOK] = Accesses(self._scheduler, self._memory, names, self._rebound)
                function.__code__ = code
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        while self._before:
            function, code = self._before.pop()
            function.__code__ = code
        while self._hooks:
            names, before = self._hooks.pop()
            if before is _MISSING:
                names.pop(HOOK, None)
            else:
                names[HOOK] = before

    def _rewrite(self) -> Iterator[tuple[FunctionType, CodeType]]:
        functions = {id(each): each for thing in self._things for each in functions_of(thing)}
        for function in functions.values():
            code = function.__code__
            source = "".join(linecache.getlines(code.co_filename, function.__globals__))
            if not source:
                raise ValueError(
                    f"The source of {code.co_qualname} in {code.co_filename} is not available."
                )
            file = _file(code.co_filename, source)
            self._rebound |= file.rebound
            yield function, file.rewritten(function)


@dataclass(frozen=True, slots=True)
class _File:
    """A file's functions, before and after they are rewritten."""

    name: str
    original: dict[tuple[str, int], list[CodeType]]
    """By qualified name and first line."""
    changed: dict[tuple[str, int], list[CodeType]]
    rebound: frozenset[str]
    """The names of attributes that the file assigns, and of globals that its functions assign."""

    def rewritten(self, function: FunctionType) -> CodeType:
        """The rewritten code of a function of this file."""
        code = function.__code__
        if HOOK in code.co_names:  # another block is active, or rewritten code has defined it
            return code
        where = f"{code.co_qualname} at {self.name}:{code.co_firstlineno}"
        key = code.co_qualname, code.co_firstlineno
        same = [
            number for number, each in enumerate(self.original.get(key, ())) if _is_same(each, code)
        ]
        if len(same) > 1:
            same = [each for each in same if _end(self.original[key][each]) == _end(code)]
        if len(same) != 1:
            raise ValueError(
                f"{where} is not in its file. Import the file again if it has changed."
            )
        return self.changed[key][same[0]]


@lru_cache(maxsize=64)
def _file(name: str, source: str) -> _File:
    # A notebook's cell may have an `await` outside of functions.
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = parsed(source)
    rebound = frozenset(_rebound(tree))
    changed: ast.Module = ast.fix_missing_locations(Rewriter(tree, source.splitlines()).visit(tree))
    with without_warnings():
        original, rewritten = (
            compile(each, name, "exec", flags, dont_inherit=True) for each in (source, changed)
        )
    return _File(name, _by_place(original), _by_place(rewritten), rebound)


def _rebound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Global):
            yield from node.names


def _by_place(code: CodeType) -> dict[tuple[str, int], list[CodeType]]:
    places: dict[tuple[str, int], list[CodeType]] = {}
    queue = [code]
    while queue:
        each = queue.pop(0)
        places.setdefault((each.co_qualname, each.co_firstlineno), []).append(each)
        queue += [part for part in each.co_consts if isinstance(part, CodeType)]
    return places


def _is_same(code: CodeType, other: CodeType) -> bool:
    """Whether the code has the same signature, and all names of `code`.

    The other may have more: pytest rewrites assertions.
    """
    arguments = code.co_argcount + code.co_kwonlyargcount
    return (
        code.co_varnames[:arguments] == other.co_varnames[:arguments]
        and code.co_freevars == other.co_freevars
        and set(code.co_names) <= set(other.co_names)
    )


def _end(code: CodeType) -> tuple[int, int]:
    """The last place in the source, which tells two lambdas of one line apart."""
    return max(
        ((line, column) for _, line, _, column in code.co_positions() if line and column),
        default=(0, 0),
    )
