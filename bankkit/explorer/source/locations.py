"""Where a virtual thread is in the code, and what the code calls the objects that it uses."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from greenlet import getcurrent

from bankkit.explorer.engine.ownership import is_own
from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.source.naming import name_of_call
from bankkit.explorer.stand_ins import primitives, threads, tracking


@dataclass(frozen=True, slots=True)
class Location:
    """A line of code that a thread is about to run or to continue."""

    file: str
    function: str
    line: int

    @property
    def text(self) -> str:
        """The source of the line, without its indentation."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


def stack(task: Task) -> list[Location]:
    """The thread's calls, the innermost first; empty before its start and after its end.

    Calls of the stand-ins and of the code that runs the scenario are left out.
    """
    if task.greenlet is None:
        return []
    running = task.greenlet is getcurrent()
    return list(locations_of(sys._getframe(1) if running else task.greenlet.gr_frame))


def locations_of(frame: FrameType | None) -> Iterator[Location]:
    """The program's own calls, from a frame outwards."""
    while frame is not None:
        code = frame.f_code
        if not is_own(frame):
            yield Location(code.co_filename, code.co_name, frame.f_lineno)
        frame = frame.f_back


def here(task: Task) -> str:
    """The thread and its line, for an error: `thread reader at bank.py:12 (return balance)`."""
    calls = stack(task)
    if not calls:
        return f"thread {task.label}"
    return f"thread {task.label} at {calls[0]} ({calls[0].text})"


class NamingScheduler(Scheduler):
    """Also records what the program calls its objects: `self._mutex = Lock()` is `mutex`."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._names: dict[str, int] = {}

    def register(self, target: Any) -> None:
        """Also name the new object after the variable or attribute that it is assigned to."""
        super().register(target)
        if self.current.index == 0 and self.current.made == 1:
            self._names.clear()
        frame: FrameType | None = sys._getframe(1)
        while is_own(frame):
            frame = frame.f_back
        found, function = name_of_call(frame) if frame is not None else ("", "")
        name = found or type(target).__name__.lower()
        if isinstance(target, primitives.Lock | primitives.RLock) and function == "Condition":
            name = f"{found or 'condition'}'s lock"
        if isinstance(target, tracking.Attribute):
            name = f"{name}.{target.attribute}"
        count = self._names[name] = self._names.get(name, 0) + 1
        target.explorer_name = name if count == 1 else f"{name} {count}"


def name(target: Any) -> str:
    """What the program calls an object; its class in lower case if that is unknown."""
    if isinstance(target, threads.Thread):
        return target.explorer_task.label if target.explorer_task else target.name
    return str(getattr(target, "explorer_name", type(target).__name__.lower()))


def described(task: Task, option: int) -> str:
    """What the task is about to do if it takes this option, in words."""
    op, target, arg = task.op, task.target, task.arg
    assert op is not None
    if op is primitives.STEP:
        return str(arg).format(name(task.other))
    if op is primitives.CHOOSE:
        return f"choose {task.other}: {option}"
    if op is primitives.CALL:
        return f"call {name(target)}.{arg}"
    if op is primitives.LINE:
        return str(arg)
    if op is primitives.LOOK or op is primitives.CHANGE:
        return str(arg).format(name(target))
    if op is primitives.INVOKE:
        return f"call {arg}"
    if isinstance(arg, primitives.Condition):
        target = arg
    return op.phrase(option, name(target))
