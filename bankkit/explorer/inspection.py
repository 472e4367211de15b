"""What can be seen of a run while it stands still: its locks, its threads' variables, its code."""

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

from bankkit.explorer import primitives
from bankkit.explorer.locations import Location, locations_of, name
from bankkit.explorer.outcomes import waits
from bankkit.explorer.replay_run import Run
from bankkit.explorer.scheduler import Task
from bankkit.explorer.stand_in import _Shared, _Tracked

LONGEST = 90
"""Characters of a value that are shown."""


class Inspection:
    """Looks into one run, from its start on: `look` after every step."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._objects: dict[int, Any] = {}
        """The primitives that threads were seen to use, by id, in that order."""
        self._frames: dict[str, list[FrameType]] = {}

    @property
    def _tasks(self) -> list[Task]:
        return self._run._laboratory.scheduler.tasks

    def look(self) -> None:
        for task in self._tasks:
            for each in (task.target, task.arg):
                if isinstance(each, _SHOWN):
                    self._objects.setdefault(id(each), each)
            if task.greenlet is not None and task.greenlet.gr_frame is not None:
                self._frames[task.label] = list(frames(task.greenlet.gr_frame))

    def variables(self, thread: str, stack: Sequence[Location]) -> list[dict[str, str]]:
        """The local variables of a thread's calls, the innermost call first.

        A run that has ended has taken its calls along: what they held last is still known, but not
        of a call that began in the last step.
        """
        known = self._frames.get(thread, [])[::-1]
        told = []
        for place, frame in zip_longest(stack[::-1], known[: len(stack)]):
            code = frame.f_code if frame else None
            same = code and (code.co_filename, code.co_name) == (place.file, place.function)
            told.append(variables(frame) if same else {})
        return told[::-1]

    def has_ended(self, thread: str) -> bool:
        return any(task.label == thread and task.done for task in self._tasks)

    def failed(self) -> tuple[str, list[Location]]:
        """The thread that has raised, and where, the innermost call first; or nothing."""
        failure = self._run._laboratory.scheduler.failure
        if failure is None:
            return "", []
        task, error = failure
        calls = [
            Location(frame.f_code.co_filename, frame.f_code.co_name, line)
            for frame, line in walk_tb(error.__traceback__)
            if next(locations_of(frame), None) == _place(frame)
        ]
        return task.label, calls[::-1]

    def scenario(self) -> dict[str, str]:
        """The variables of the scenario itself."""
        known = self._frames.get("main", [])
        return variables(known[-1]) if known else {}

    def waits(self, thread: str) -> str:
        """Where a thread waits and for what, also while a timeout could end that; else nothing."""
        for task in self._tasks:
            if task.label == thread and _is_kept(task):
                return waits(task)
        return ""

    def locks(self) -> dict[str, str]:
        """What state the primitives are in, by what the program calls them."""
        return {name(each): self._in_words(each) for each in self._objects.values()}

    def _in_words(self, thing: Any) -> str:
        if self._run.outcome is None:
            waiting = [task.label for task in self._tasks if _waits_for(task, thing)]
        else:  # only what the objects themselves remember
            waits_on_it = thing._waiters if isinstance(thing, primitives.Condition) else ()
            waiting = [task.label for task in waits_on_it]
        said = []
        if isinstance(thing, primitives.Lock | primitives.RLock):
            said.append(f"locked by {thing.owner.label}" if thing.owner else "free")
        elif isinstance(thing, primitives.Semaphore):
            said.append(f"{thing.value} left")
        elif isinstance(thing, primitives.Event):
            said.append("set" if thing._set else "not set")
        elif not waiting:
            said.append("nobody waits")
        if waiting:
            said.append(f"{' and '.join(waiting)} wait{'s' if len(waiting) == 1 else ''}")
        return ", ".join(said)


_SHOWN = (
    primitives.Lock,
    primitives.RLock,
    primitives.Condition,
    primitives.Semaphore,
    primitives.Event,
    primitives.Barrier,
)


def _is_kept(task: Task) -> bool:
    """Whether it cannot go on, but for a timeout."""
    if task.done or task.op is None:
        return False
    options = task.op.options(task)
    return not options or (task.op.fires and 0 not in options)


def _waits_for(task: Task, thing: Any) -> bool:
    if not _is_kept(task):
        return False
    if isinstance(task.arg, primitives.Condition) and not task.notified:
        return task.arg is thing
    return task.target is thing


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The program's own calls, as `locations_of` has them."""
    while frame is not None:
        place = next(locations_of(frame), None)
        if place is None:
            return
        while _place(frame) != place:
            assert frame.f_back is not None
            frame = frame.f_back
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> Location:
    return Location(frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)


def variables(frame: FrameType) -> dict[str, str]:
    """What a call's variables hold, as far as that can be told in a few words."""
    told = {each: tell(value) for each, value in frame.f_locals.items()}
    return {each: words for each, words in told.items() if words is not None}


def tell(value: object) -> str | None:
    """A plain value in words, and nothing for an object: its `repr` may be anybody's code."""
    words = _tell(value)
    return words if words is None or len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def _tell(value: object, around: tuple[int, ...] = ()) -> str | None:
    """`around` has the ids of what the value is in: one that is in itself is told as `…` there."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if id(value) in around:
        return "…"
    around = (*around, id(value))
    if isinstance(value, dict):
        keys, values = _tell_all(value.keys(), around), _tell_all(value.values(), around)
        if keys is None or values is None:
            return None
        return f"{{{', '.join(map(': '.join, zip(keys, values, strict=True)))}}}"
    if isinstance(value, list | tuple | set | frozenset | deque) and not hasattr(value, "_fields"):
        parts = _tell_all(value, around)
        ends = {list: "[]", deque: "[]", tuple: "()"}.get(type(value), "{}")
        return None if parts is None else f"{ends[0]}{', '.join(parts)}{ends[1]}"
    attributes = _attributes(value)
    if not attributes:
        return None
    told = {key: _tell(each, around) for key, each in attributes.items()}
    inside = ", ".join(
        f"{key}={words}" for key, words in told.items() if words not in (None, "None", "''")
    )
    kind = "shared" if isinstance(value, _Shared) else type(value).__name__
    return f"{kind}({inside})" if inside else None


def _tell_all(values: Iterable[object], around: tuple[int, ...]) -> list[str] | None:
    """The first of them; nothing if one cannot be told."""
    words = [_tell(each, around) for each in islice(values, LONGEST)]
    told = [each for each in words if each is not None]
    return told if len(told) == len(words) else None


def _attributes(value: object) -> Mapping[str, object]:
    """Of a record, or of what the scenario shares or tracks."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):  # a NamedTuple
        return dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
    tracked = [each for each, kind in vars(type(value)).items() if isinstance(kind, _Tracked)]
    if tracked:
        return {key: each for key, each in vars(value).items() if key in tracked}
    return {}


@dataclass(frozen=True, slots=True)
class Code:
    """The text of a function, from its line `first` on."""

    first: int
    lines: tuple[str, ...]


def code_at(file: str, line: int) -> Code:
    """The innermost function around a line of a file; the line alone where there is none."""
    source = "".join(linecache.getlines(file))
    around = [each for each in _functions(source) if each[0] <= line <= each[1]]
    first, last = max(around, default=(line, line))
    text = textwrap.dedent("\n".join(source.splitlines()[first - 1 : last]))
    return Code(first, tuple(text.split("\n")))


@lru_cache(maxsize=64)
def _functions(source: str) -> tuple[tuple[int, int], ...]:
    """The first and the last line of every function."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a notebook's cell may hold more than Python
        return ()
    return tuple(
        (each.lineno, each.end_lineno or each.lineno)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )
