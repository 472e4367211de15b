"""Calls back when code of the program begins, and before each of its instructions that matter.

From Python 3.12 on, `sys.monitoring` (PEP 669) makes only the events that are asked for, and each
place in the code can be taken out for good. With `sys.settrace`, these Pythons would make an event
of every instruction of every function, those of the explorer included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

_monitoring: Any = getattr(sys, "monitoring", None)

Table = Mapping[int, T]
"""What matters about the code's instructions, by their offset in bytes."""


class FrameHandler(Protocol[T]):
    """What is called back."""

    def may_matter(self, code: CodeType) -> bool:
        """Whether `enter` may ever return a table for this code, or do anything else."""

    def enter(self, frame: FrameType) -> Table[T] | None:
        """A function begins or continues; return its table, the same one each time, or None."""

    def before(self, frame: FrameType, entry: T) -> None:
        """An instruction is about to run that has this entry in the table of its frame."""


class SetTrace:
    """Uses `sys.settrace`, for Python 3.11. Does nothing while a debugger uses it."""

    def __init__(self, handler: FrameHandler[Any]) -> None:
        self._handler = handler
        self._local: dict[int, Any] = {}
        """By id of a table: the trace function for its frames."""

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace this thread in the block."""
        if sys.gettrace() is not None:
            yield
            return
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)

    def pause(self) -> Any:
        """Until `resume` gets what this returns, no code that runs is the program's."""
        trace = sys.gettrace()
        sys.settrace(None)
        return trace

    def resume(self, trace: Any) -> None:
        """Trace again, if it did before the pause."""
        sys.settrace(trace)

    def close(self) -> None:
        """Forget all tables."""
        self._local.clear()

    def _enter(self, frame: FrameType, event: str, _: object) -> Any:
        table = self._handler.enter(frame)
        if table is None:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        trace = self._local.get(id(table))
        if trace is None:
            trace = self._local[id(table)] = self._tracer(table)
        return trace

    def _tracer(self, table: Table[Any]) -> Any:
        before, entry_at = self._handler.before, table.get

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if event == "opcode":
                entry = entry_at(frame.f_lasti)
                if entry is not None:
                    before(frame, entry)
            return trace

        return trace


class Monitoring:
    """Uses `sys.monitoring`. It is on until it is closed; between two blocks it only checks."""

    def __init__(self, handler: FrameHandler[Any]) -> None:
        self._handler = handler
        self._tables: dict[int, tuple[CodeType, Table[Any]]] = {}
        """By id of the code: the code and its table."""
        self._thread = 0
        """The thread that is traced; 0 for none."""
        self._tool: int | None = None

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace this thread in the block. Does nothing while a debugger uses `sys.settrace`."""
        if sys.gettrace() is None:
            if self._tool is None:
                self._begin()
            self._thread = get_ident()
        try:
            yield
        finally:
            self._thread = 0

    def pause(self) -> Any:
        """Until `resume` gets what this returns, no code that runs is the program's."""
        thread, self._thread = self._thread, 0
        return thread

    def resume(self, thread: Any) -> None:
        """Trace again, if it did before the pause."""
        self._thread = thread

    def close(self) -> None:
        """Give the monitoring back to others."""
        if self._tool is not None:
            tool, self._tool = self._tool, None
            _monitoring.set_events(tool, 0)
            for code, _ in self._tables.values():
                _monitoring.set_local_events(tool, code, 0)
            for event in _STARTS | {_monitoring.events.PY_THROW, _monitoring.events.INSTRUCTION}:
                _monitoring.register_callback(tool, event, None)
            _monitoring.free_tool_id(tool)
        self._tables.clear()

    def _begin(self) -> None:
        events = _monitoring.events
        free = [tool for tool in range(6) if _monitoring.get_tool(tool) is None]
        if not free:
            return
        tool = self._tool = free[-1]
        _monitoring.use_tool_id(tool, "bankkit.explorer")
        for event in _STARTS:
            _monitoring.register_callback(tool, event, self._on_start)
        _monitoring.register_callback(tool, events.PY_THROW, self._on_throw)
        _monitoring.register_callback(tool, events.INSTRUCTION, self._on_instruction)
        _monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW)
        _monitoring.restart_events()  # an earlier tool of this number may have taken places out

    def _on_start(self, code: CodeType, offset: int) -> Any:
        if not self._handler.may_matter(code):
            return _monitoring.DISABLE
        if get_ident() == self._thread:
            self._enter(sys._getframe(1))
        return None

    def _on_throw(self, code: CodeType, offset: int, error: BaseException) -> Any:
        if get_ident() == self._thread and self._handler.may_matter(code):
            self._enter(sys._getframe(1))

    def _enter(self, frame: FrameType) -> None:
        table = self._handler.enter(frame)
        if table is None:
            if frame.f_trace is _watched:  # a generator that continues elsewhere
                frame.f_trace = None
            return
        frame.f_trace = _watched
        code = frame.f_code
        if id(code) not in self._tables:
            self._tables[id(code)] = code, table
            assert self._tool is not None
            _monitoring.set_local_events(self._tool, code, _monitoring.events.INSTRUCTION)

    def _on_instruction(self, code: CodeType, offset: int) -> Any:
        known = self._tables.get(id(code))
        if known is None:
            return _monitoring.DISABLE
        entry = known[1].get(offset)
        if entry is None:
            return _monitoring.DISABLE
        if get_ident() == self._thread:
            frame = sys._getframe(1)
            if frame.f_trace is _watched:
                self._handler.before(frame, entry)
        return None


def _watched(frame: FrameType, event: str, argument: object) -> None:
    """Marks a frame, as its trace function, whose instructions are looked at. It is not called."""


if sys.version_info >= (3, 12):
    FrameTracing = Monitoring
    _STARTS = {_monitoring.events.PY_START, _monitoring.events.PY_RESUME}
else:
    FrameTracing = SetTrace
    _STARTS: set[int] = set()
