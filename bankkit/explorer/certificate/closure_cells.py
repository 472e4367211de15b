"""Finds the cells of the variables that closures share: a frame does not show its own."""

from __future__ import annotations

import functools
import gc
from types import CellType, CodeType, FrameType, FunctionType, MethodType
from typing import Any

_PROBE = object()
EMPTY = object()
"""What `contents_of` returns for a variable without a value."""


class Cells:
    """The cells of one schedule. It must not run for the garbage collector to find its functions.

    `gc.get_referrers` finds the functions that the schedule has made. The others are those that
    `know` was called for.
    """

    def __init__(self) -> None:
        self._known: dict[CodeType, list[FunctionType]] = {}
        self._found: dict[int, dict[str, CellType]] = {}
        """By id of the frame."""

    def clear(self) -> None:
        """Forget the schedule."""
        self._known.clear()
        self._found.clear()

    def enter(self, frame: FrameType) -> None:
        """The frame is new: it may have the id of an earlier one."""
        self._found.pop(id(frame), None)

    def know(self, function: Any) -> None:
        """Remember a function, and those in its variables."""
        todo = [function]
        while todo:
            each = todo.pop()
            if isinstance(each, functools.partial):
                todo.append(each.func)
            elif isinstance(each, MethodType):
                todo.append(each.__func__)
            elif isinstance(each, FunctionType) and each.__closure__ is not None:
                known = self._known.setdefault(each.__code__, [])
                if not any(one is each for one in known):
                    known.append(each)
                    todo += [contents_of(cell) for cell in each.__closure__]

    def of(self, frame: FrameType, variable: str) -> CellType | None:
        """The cell of a variable of the frame; None if no function but the frame's has it."""
        found = self._found.setdefault(id(frame), {})
        if variable not in found:
            for cell in self._candidates(frame.f_code, variable):
                if _is_of(cell, frame, variable):
                    found[variable] = cell
                    break
        return found.get(variable)

    def _candidates(self, code: CodeType, variable: str) -> list[CellType]:
        codes = [code]
        if variable in code.co_cellvars:
            codes = [each for each in code.co_consts if isinstance(each, CodeType)]
        found = {}
        for each in codes:
            if variable in each.co_freevars:
                index = each.co_freevars.index(variable)
                for function in self._functions(each):
                    if function.__closure__ is not None:
                        cell = function.__closure__[index]
                        found[id(cell)] = cell
        return list(found.values())

    def _functions(self, code: CodeType) -> list[FunctionType]:
        made = [
            each
            for each in gc.get_referrers(code)
            if isinstance(each, FunctionType) and each.__code__ is code
        ]
        return made + self._known.get(code, [])


def _is_of(cell: CellType, frame: FrameType, variable: str) -> bool:
    """Whether the frame sees what is put into the cell."""
    before = contents_of(cell)
    cell.cell_contents = _PROBE
    try:
        return frame.f_locals.get(variable) is _PROBE
    finally:
        if before is EMPTY:
            del cell.cell_contents
        else:
            cell.cell_contents = before
        _ = frame.f_locals  # before Python 3.13, the end of a trace function stores them all


def contents_of(cell: CellType) -> Any:
    """The value of the cell's variable, or `EMPTY`."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY
