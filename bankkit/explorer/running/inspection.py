"""Shows the state of a paused run: its locks, its threads' variables and its code."""

from __future__ import annotations

import ast
import dataclasses
import linecache
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, zip_longest
from traceback import walk_tb
from types import FrameType
from typing import Any

from bankkit.explorer.engine.scheduler import Task
from bankkit.explorer.running.replay_run import Run
from bankkit.explorer.schedules.outcomes import waits
from bankkit.explorer.source.locations import Location, locations_of, name
from bankkit.explorer.source.sources import parsed
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.stand_ins.containers import plain
from bankkit.explorer.stand_ins.tracking import Shared, tracked_attributes

LONGEST = 90
"""The most characters, or elements, shown of a value."""


class Inspection:
    """Inspects one run from its start on; call `look` after every step."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._objects: dict[int, Any] = {}
        """The primitives that threads have used, by id, in order of first use."""
        self._frames: dict[str, list[FrameType]] = {}
        """Each thread's last known calls, by its name, the innermost call first."""

    @property
    def _tasks(self) -> list[Task]:
        return self._run._laboratory.scheduler.tasks

    def look(self) -> None:
        """Record the primitives and calls of all threads as they are now."""
        for task in self._tasks:
            for each in (task.target, task.arg):
                if isinstance(each, _SHOWN):
                    self._objects.setdefault(id(each), each)
            if task.greenlet is not None and task.greenlet.gr_frame is not None:
                self._frames[task.label] = list(frames(task.greenlet.gr_frame))

    def variables(self, thread: str, stack: Sequence[Location]) -> list[dict[str, str]]:
        """The local variables of a thread's calls, the innermost call first.

        After the end of the run these are the last known values; a call that began in the last step
        has none.
        """
        known = self._frames.get(thread, [])[::-1]
        found = []
        for place, frame in zip_longest(stack[::-1], known[: len(stack)]):
            code = frame.f_code if frame else None
            same = code and (code.co_filename, code.co_name) == (place.file, place.function)
            found.append(variables(frame) if same else {})
        return found[::-1]

    def has_ended(self, thread: str) -> bool:
        """Whether the thread ran to its end, or to its exception."""
        return any(task.label == thread and task.done for task in self._tasks)

    def failed(self) -> tuple[str, list[Location]]:
        """The thread that raised, and where, the innermost call first; `("", [])` if none did."""
        failure = self._run._laboratory.scheduler.failure
        if failure is None:
            return "", []
        task, error = failure
        calls = [
            Location(frame.f_code.co_filename, frame.f_code.co_name, line)
            for frame, line in walk_tb(error.__traceback__)
            if next(locations_of(frame), None) == _location(frame)
        ]
        return task.label, calls[::-1]

    def scenario(self) -> dict[str, str]:
        """The local variables of the scenario's own function."""
        known = self._frames.get("main", [])
        return variables(known[-1]) if known else {}

    def waits(self, thread: str) -> str:
        """Where a blocked thread waits, and for what, even if it can time out; empty for others."""
        for task in self._tasks:
            if task.label == thread and _is_blocked(task):
                return waits(task)
        return ""

    def locks(self) -> dict[str, str]:
        """The state of each primitive in words, by its name in the program."""
        return {name(each): self._in_words(each) for each in self._objects.values()}

    def _in_words(self, thing: Any) -> str:
        if self._run.outcome is None:
            waiting = [task.label for task in self._tasks if _waits_for(task, thing)]
        else:  # the tasks are over; only a Condition still knows its waiters
            waiters = thing._waiters if isinstance(thing, primitives.Condition) else ()
            waiting = [task.label for task in waiters]
        parts = []
        if isinstance(thing, primitives.Lock | primitives.RLock):
            parts.append(f"locked by {thing.owner.label}" if thing.owner else "free")
        elif isinstance(thing, primitives.Semaphore):
            parts.append(f"{thing._value} left")
        elif isinstance(thing, primitives.Event):
            parts.append("set" if thing._flag else "not set")
        elif not waiting:
            parts.append("nobody waits")
        if waiting:
            parts.append(f"{' and '.join(waiting)} wait{'s' if len(waiting) == 1 else ''}")
        return ", ".join(parts)


_SHOWN = (
    primitives.Lock,
    primitives.RLock,
    primitives.Condition,
    primitives.Semaphore,
    primitives.Event,
    primitives.Barrier,
)


def _is_blocked(task: Task) -> bool:
    """Whether the task cannot continue, except by a timeout."""
    if task.done or task.op is None:
        return False
    options = task.op.options(task)
    return not options or (task.op.fires and 0 not in options)


def _waits_for(task: Task, thing: Any) -> bool:
    if not _is_blocked(task):
        return False
    if isinstance(task.arg, primitives.Condition) and not task.notified:
        return task.arg is thing
    return task.target is thing


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of the program's own calls, from `frame` outwards; compare `locations_of`."""
    while frame is not None:
        place = next(locations_of(frame), None)
        if place is None:
            return
        while _location(frame) != place:
            assert frame.f_back is not None
            frame = frame.f_back
        yield frame
        frame = frame.f_back


def _location(frame: FrameType) -> Location:
    return Location(frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)


def variables(frame: FrameType) -> dict[str, str]:
    """A call's local variables as text, without those that `safe_repr` cannot show."""
    texts = {each: safe_repr(value) for each, value in frame.f_locals.items()}
    return {each: text for each, text in texts.items() if text is not None}


def safe_repr(value: object) -> str | None:
    """A plain value as text, at most LONGEST characters; None for other objects.

    It never calls the `repr` of another object, which may run any code.
    """
    text = _safe_repr(value)
    return text if text is None or len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _safe_repr(value: object, containers: tuple[int, ...] = ()) -> str | None:
    """The whole text. `containers` has the ids of what the value is in; a cycle becomes `…`."""
    value = plain(value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if id(value) in containers:
        return "…"
    containers = (*containers, id(value))
    if isinstance(value, dict):
        keys = _safe_reprs(value.keys(), containers)
        values = _safe_reprs(value.values(), containers)
        if keys is None or values is None:
            return None
        return f"{{{', '.join(map(': '.join, zip(keys, values, strict=True)))}}}"
    if isinstance(value, list | tuple | set | frozenset | deque) and not hasattr(value, "_fields"):
        parts = _safe_reprs(value, containers)
        ends = {list: "[]", deque: "[]", tuple: "()"}.get(type(value), "{}")
        return None if parts is None else f"{ends[0]}{', '.join(parts)}{ends[1]}"
    attributes = _attributes(value)
    if not attributes:
        return None
    texts = {key: _safe_repr(each, containers) for key, each in attributes.items()}
    inside = ", ".join(
        f"{key}={text}" for key, text in texts.items() if text not in (None, "None", "''")
    )
    kind = "shared" if isinstance(value, Shared) else type(value).__name__
    return f"{kind}({inside})" if inside else None


def _safe_reprs(values: Iterable[object], containers: tuple[int, ...]) -> list[str] | None:
    """The texts of the first LONGEST values; None if one of them has none."""
    texts = [_safe_repr(each, containers) for each in islice(values, LONGEST)]
    known = [each for each in texts if each is not None]
    return known if len(known) == len(texts) else None


def _attributes(value: object) -> Mapping[str, object]:
    """The attributes of a dataclass or NamedTuple, or the shared or tracked ones of an object."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):  # a NamedTuple
        return dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
    return tracked_attributes(value)


@dataclass(frozen=True, slots=True)
class Code:
    """The text of a function, from its line `first` on."""

    first: int
    lines: tuple[str, ...]


def code_at(file: str, line: int) -> Code:
    """The innermost function around a line of a file; the line alone outside of functions."""
    source = "".join(linecache.getlines(file))
    around = [each for each in _functions(source) if each[0] <= line <= each[1]]
    first, last = max(around, default=(line, line))
    text = textwrap.dedent("\n".join(source.splitlines()[first - 1 : last]))
    return Code(first, tuple(text.split("\n")))


@lru_cache(maxsize=64)
def _functions(source: str) -> tuple[tuple[int, int], ...]:
    """The first and the last line of every function."""
    try:
        tree = parsed(source)
    except SyntaxError:  # a notebook's cell may contain more than Python
        return ()
    return tuple(
        (each.lineno, each.end_lineno or each.lineno)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )
