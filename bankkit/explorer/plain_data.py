"""Watches the instructions of a schedule for what the explorer does not see.

- Plain data that a thread reads and then writes in one step, while another thread may write it: a
  lost update that no schedule shows, because threads do not switch there.
- Real locks, queues and pools, which the explorer does not schedule.
- Event loops.

It looks at names, attributes and items as the source has them, without calling
anything. Methods such as `append` are single steps of the interpreter and are left out, and so is
code without source.
"""

from __future__ import annotations

import ast
import dis
import linecache
import logging
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import (
    CodeType,
    FrameType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any, Protocol

from bankkit.explorer import primitives
from bankkit.explorer.closure_cells import Cells
from bankkit.explorer.containers import TrackedContainer
from bankkit.explorer.outsiders import is_of_a_package, is_of_the_library
from bankkit.explorer.scheduler import Task
from bankkit.explorer.stand_in import PointProxy
from bankkit.explorer.tracking import TrackedAttribute, is_stand_in
from bankkit.explorer.unscheduled import LOCKS, is_unscheduled

_HERE = str(Path(__file__).parent)
_MISSING = object()

Key = tuple[object, ...]
Place = tuple[str, int]
"""A file and a line."""

Use = tuple[Task, int, Place | None]
"""Who used the data, in which step, and where it had read the value in this step, if it had."""


class Order(Protocol):
    """The scheduler of a survey, which knows what happens before what."""

    current: Task
    tasks: list[Task]
    trusted: list[Any]

    @property
    def is_running(self) -> bool:
        """Whether a virtual thread has the turn."""

    def happens_before(self, task: Task, number: int) -> bool:
        """Whether the thread's step of this number happens before the present moment."""

    def number(self, task: Task) -> int:
        """The number of the thread's present step."""

    def doubt(self, sentence: str) -> None:
        """Add something that was not looked at."""


class Watch:
    """Watches the schedules of one survey."""

    def __init__(self, scheduler: Order) -> None:
        self._scheduler = scheduler
        self._read: dict[int, dict[Key, Place]] = {}
        """What each thread has read in its present step, and where."""
        self._reads: dict[Key, list[Use]] = {}
        self._writes: dict[Key, list[Use]] = {}
        self._real: dict[int, set[int]] = {}
        self._doubted: set[tuple[str, str]] = set()
        self._kept: list[Any] = []
        self.cells = Cells()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all code that runs in the block, unless a debugger traces it already."""
        traces = sys.gettrace() is None
        if traces:
            sys.settrace(self._enter)
        try:
            yield
        finally:
            if traces:
                sys.settrace(None)
            for each in (self._read, self._reads, self._writes, self._real, self.cells):
                each.clear()
            self._kept.clear()

    def step(self, task: Task) -> None:
        """The thread begins its next step."""
        self._read.pop(task.index, None)

    def _enter(self, frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        file = code.co_filename
        if file.startswith((_HERE, "<")):
            return None
        if is_of_the_library(file):
            if code.co_name == "run_forever" and file.endswith("base_events.py"):
                self._scheduler.doubt(
                    "an asyncio event loop ran, and the order of its tasks was not varied"
                )
            return None
        scheduler = self._scheduler
        if not scheduler.is_running:
            return None
        if is_of_a_package(file):
            if scheduler.current.index and not self._in_a_call(frame):
                self._look_at_owner(frame)
            return None
        if self._in_a_call(frame) or not _nodes(file):
            return None
        for name, value in frame.f_locals.items():
            if is_unscheduled(value):
                self._use_real(scheduler.current, value, frame, ast.Name(name, ast.Load()))
        if not _accesses(code):
            return None
        self.cells.enter(frame)
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._look

    def _look_at_owner(self, frame: FrameType) -> None:
        """Look for real locks in the object of a method of an installed package."""
        owner = frame.f_locals.get("self")
        if isinstance(owner, logging.Handler):
            return  # its lock guards it alone, within one call
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            if is_unscheduled(value):
                node = ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load())
                self._use_real(self._scheduler.current, value, frame, node)

    def _in_a_call(self, frame: FrameType | None) -> bool:
        """Whether this runs in a call that is declared to be one step, or in trusted code."""
        task = self._scheduler.current
        trusted = self._scheduler.trusted
        called = (task.target,) if task.op is primitives.CALL else ()
        while (trusted or called) and frame is not None:
            owner = frame.f_locals.get("self") if "self" in _names(frame) else None
            if owner is not None and (
                (called and (owner is called[0] or type(owner) is PointProxy))
                or any(owner is each for each in trusted)
            ):
                return True
            frame = frame.f_back
        return False

    def _look(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            access = _accesses(frame.f_code).get(frame.f_lasti)
            if access is not None and self._scheduler.is_running:
                self._access(frame, *access)
        return self._look

    def _access(self, frame: FrameType, node: ast.expr, is_store: bool) -> None:
        task = self._scheduler.current
        if not is_store:
            value = _value(frame, node)
            self.cells.know(value)
            if is_unscheduled(value):
                self._use_real(task, value, frame, node)
                return
        key = self._key(frame, node)
        if key is None:
            return
        place = frame.f_code.co_filename, frame.f_lineno
        read = self._read.setdefault(task.index, {})
        if not is_store:
            read.setdefault(key, place)
        use = task, self._scheduler.number(task), read.get(key)
        if is_store:
            # A write after a read in the same step loses another write, or acts on an old check.
            rivals = [each for each in self._writes.get(key, ()) if use[2] or each[2]]
            rivals += [each for each in self._reads.get(key, ()) if use[2] == each[2]]
        else:
            rivals = [each for each in self._writes.get(key, ()) if each[2] == use[2]]
        for other, number, _ in rivals:
            if not self._scheduler.happens_before(other, number):
                self._doubt(frame, node, other, task)
        uses = (self._writes if is_store else self._reads).setdefault(key, [])
        if use not in uses:
            uses.append(use)

    def _doubt(self, frame: FrameType, node: ast.expr, one: Task, other: Task) -> None:
        self._doubt_once(
            node,
            frame,
            f"`{ast.unparse(node)}` is plain data that the threads {one.label} and {other.label} "
            f"use without a lock where one of them changes it ({_at(frame)}), and they never "
            f"switch there: make it visible with `threading.shared`, `threading.track` or `lines=`",
        )

    def _doubt_once(self, node: ast.expr, frame: FrameType, sentence: str) -> None:
        """Add a doubt, unless another one is about the same expression in the same file."""
        about = ast.unparse(node), frame.f_code.co_filename
        if about not in self._doubted:
            self._doubted.add(about)
            self._scheduler.doubt(sentence)

    def _use_real(self, task: Task, value: Any, frame: FrameType, node: ast.expr) -> None:
        self._kept.append(value)
        users = self._real.setdefault(id(value), set())
        users.add(task.index)
        if task.index or len(users) > 1 or not isinstance(value, LOCKS):
            self._doubt_once(
                node,
                frame,
                f"thread {task.label} used `{ast.unparse(node)}` ({_at(frame)}), a real "
                f"{type(value).__name__} that the explorer does not schedule: pass `threading` on "
                f"to the code that makes it, or name its module in `patch=`",
            )

    def _key(self, frame: FrameType, node: ast.expr) -> Key | None:
        """What identifies the place that the expression names; None if no other thread has it."""
        if isinstance(node, ast.Name):
            code, variable = frame.f_code, node.id
            if variable in code.co_freevars or variable in code.co_cellvars:
                cell = self.cells.of(frame, variable)
                if cell is None:
                    return None
                self._kept.append(cell)
                return "variable", id(cell)
            if variable in frame.f_locals and frame.f_locals is not frame.f_globals:
                return None
            return "global", id(frame.f_globals), variable
        if isinstance(node, ast.Attribute):
            owner = _value(frame, node.value)
            if owner is _MISSING or _is_seen(type(owner), node.attr):
                return None
            self._kept.append(owner)
            if isinstance(owner, ModuleType):
                return "global", id(vars(owner)), node.attr
            return "attribute", id(owner), node.attr
        if isinstance(node, ast.Subscript):
            owner = _value(frame, node.value)
            if type(owner) not in (dict, list, bytearray, deque) and not isinstance(
                owner, dict | list
            ):
                return None
            if isinstance(type(owner), type(TrackedContainer)):
                return None
            self._kept.append(owner)
            return "item", id(owner), _index(frame, node.slice)
        return None


def _at(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _index(frame: FrameType, node: ast.expr) -> object:
    """The index of an item, if it is a constant or the value of a name; else one for all others."""
    value = node.value if isinstance(node, ast.Constant) else _value(frame, node)
    return value if isinstance(value, str | int | float | bytes) else None


def _is_seen(cls: type[Any], attribute: str) -> bool:
    """Whether accesses of the attribute are steps, or belong to a stand-in or a property."""
    for base in cls.__mro__:
        found = vars(base).get(attribute)
        if isinstance(found, TrackedAttribute) or (
            found is not None
            and hasattr(type(found), "__set__")
            and not isinstance(found, MemberDescriptorType)
        ):
            return True
    return is_stand_in(cls)


def _value(frame: FrameType, node: ast.expr) -> Any:
    """The value of a name or of attributes of one, without calling anything; or `_MISSING`."""
    if isinstance(node, ast.Name):
        if node.id in _names(frame):
            return frame.f_locals.get(node.id, _MISSING)
        return frame.f_globals.get(node.id, _MISSING)
    if isinstance(node, ast.Attribute):
        owner = _value(frame, node.value)
        return _MISSING if owner is _MISSING else _attribute(owner, node.attr)
    return _MISSING


def _attribute(owner: Any, attribute: str) -> Any:
    if isinstance(owner, ModuleType | type):
        return vars(owner).get(attribute, _MISSING)
    try:
        own = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        own = {}
    if attribute in own:
        return own[attribute]
    for base in type(owner).__mro__:
        if attribute in vars(base):
            found = vars(base)[attribute]
            if isinstance(found, MemberDescriptorType):
                try:
                    return found.__get__(owner)
                except AttributeError:
                    return _MISSING
            return _MISSING if hasattr(type(found), "__get__") else found
    return _MISSING


def _names(frame: FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames + code.co_cellvars + code.co_freevars


Access = tuple[ast.expr, bool]
"""An expression, and whether it is stored to."""

Span = tuple[int | None, int | None, int | None, int | None]


@lru_cache(maxsize=4096)
def _accesses(code: CodeType) -> dict[int, Access]:
    """The instructions of a function that access a name, an attribute or an item."""
    nodes = _nodes(code.co_filename)
    found = {}
    for instruction in dis.get_instructions(code) if nodes else ():
        operation, place = instruction.opname, instruction.positions
        if place is None or not operation.startswith(("LOAD_", "STORE_", "DELETE_", "BINARY_")):
            continue
        if "FAST" in operation:
            continue  # a variable of this call alone
        node = nodes.get((place.lineno, place.col_offset, place.end_lineno, place.end_col_offset))
        if node is not None:
            is_store = operation.startswith(("STORE_", "DELETE_"))
            found[instruction.offset] = node, is_store
    return found


@lru_cache(maxsize=256)
def _nodes(file: str) -> dict[Span, ast.expr]:
    """The names, attributes and items in a file, by where they begin and end."""
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    return {
        (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset): node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    }
