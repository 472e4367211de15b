"""Watches the schedules of a survey for what the explorer does not see.

- Plain data that one thread changes while another one may use it (see `races`): the search may
  leave out one order of the two, and it never switches threads between two such accesses.
- Real locks, queues and pools, which the explorer does not schedule.
- Event loops.

What a thread reads is known from the source of the instructions that run, without calling anything.
What it changes is also known from the objects themselves (see `contents`). What code without source
reads, and what happens inside of installed packages, is not seen.
"""

from __future__ import annotations

import ast
import functools
import io
import logging
import operator
import sys
import weakref
from collections import ChainMap, Counter, UserDict, UserList, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import (
    BuiltinMethodType,
    CodeType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Protocol, TypeVar

from bankkit.explorer.certificate.closure_cells import Cells
from bankkit.explorer.certificate.contents import Contents, containers_in, is_container
from bankkit.explorer.certificate.copied import (
    attributes_in,
    is_generated,
    places_in,
    reads_attributes,
    reads_the_whole,
)
from bankkit.explorer.certificate.frame_tracing import FrameTracing, Table
from bankkit.explorer.certificate.frame_values import (
    MISSING,
    SCALARS,
    dict_of,
    is_scalar,
    names_of,
    value_of,
)
from bankkit.explorer.certificate.unscheduled import LOCKS, MADE_OF_LOCKS, is_unscheduled
from bankkit.explorer.engine.ownership import is_of_a_package, is_of_the_explorer, is_of_the_library
from bankkit.explorer.engine.races import EVERY, Order, Races, Usage
from bankkit.explorer.engine.scheduler import Task
from bankkit.explorer.lines.expression_rewriting import HOOK
from bankkit.explorer.source.locations import name as name_of
from bankkit.explorer.source.source_accesses import (
    Access,
    Look,
    accesses,
    has_columns,
    nodes_of,
    text_of,
)
from bankkit.explorer.stand_ins import containers, primitives, threads
from bankkit.explorer.stand_ins.stand_in import PointProxy
from bankkit.explorer.stand_ins.tracking import (
    Attribute,
    TrackedAttribute,
    is_of_the_explorer_itself,
    is_stand_in,
    is_tracked_attribute,
)

_ORDERLESS = (
    len, sorted, sum, min, max, any, all, set, frozenset, Counter, bool,
)  # fmt: skip
"""Functions whose results do not depend on the order of a container's items."""

_BLIND = (isinstance, issubclass, callable, id, type, super, object)
"""Functions that do not look into their arguments."""

_APPEND = frozenset({"append", "extend"})

T = TypeVar("T")


class Survey(Order, Protocol):
    """The scheduler of a survey."""

    current: Task
    trusted: list[Any]

    @property
    def is_running(self) -> bool:
        """Whether a virtual thread has the turn."""

    def is_tracked(self, value: Any) -> bool:
        """Whether to get to this container or iterator through tracked data is a step."""

    def works(self, task: Task) -> None:
        """The thread does more in its present step than to start threads or wait for their ends."""

    def is_missed(self, value: Any) -> bool:
        """Whether tracked data holds this value, and there is a doubt about that."""

    def doubt(self, sentence: str) -> None:
        """Add something that was not looked at."""


class Watch:
    """Watches the schedules of one survey."""

    def __init__(self, scheduler: Survey) -> None:
        self._scheduler = scheduler
        self._races = Races(scheduler)
        self._contents = Contents(self._is_ignored)
        self._runs: Task | None = None
        """The thread whose changes have not been looked for yet."""
        self._at: dict[int, tuple[CodeType, int]] = {}
        """By thread: the last instruction of the program that is known, in which code."""
        self._met: set[int] = set()
        """The ids of values in `_contents` that are no real primitives, and never will be."""
        self._tables: dict[int, tuple[CodeType, Table[Sequence[Access]] | None]] = {}
        """By id of a code object: the accesses of its instructions, if any matters."""
        self._tracing = FrameTracing(self)
        self._is_named = False
        """Whether the code that is looked at is named in `lines=`, and each access is a step."""
        self._in_line: set[int] = set()
        """The threads whose present step belongs to code that `lines=` names."""
        self._number = 0
        """How many accesses were looked at."""
        self._first: dict[int, tuple[int, list[tuple[Any, ...]]]] = {}
        """By thread: the number of the first access in its present step, and what it uses."""
        self._real: dict[int, tuple[Any, set[int]]] = {}
        self._told: set[int] = set()
        """The ids of the real locks, queues and so on about which there is a doubt."""
        self._raced: dict[int, set[Any]] = {}
        """By id of an object: the keys of its parts that threads race for."""
        self._version_used: dict[int, int] = {}
        """By thread: the id of the container whose tracked version its present step changes."""
        self._tracked_as: dict[int, dict[Any, str]] = {}
        """By id of an object, and by key: what the program calls the tracked data there."""
        self._direct: dict[int, dict[Any, tuple[str, tuple[CodeType, int] | None]]] = {}
        """By id of an object, and by key: the latest use that is no step, and its place."""
        self._doubted: set[str] = set()
        self.cells = Cells()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all code that runs in the block, unless a debugger traces it already."""
        try:
            with self._tracing.tracing():
                yield
                if self._runs is not None:
                    self._find_changes()
        finally:
            self._runs = None
            for each in (
                self._races, self._contents, self.cells, self._at, self._met, self._in_line,
                self._first, self._real, self._told, self._raced, self._version_used,
                self._tracked_as, self._direct,
            ):  # fmt: skip
                each.clear()

    @property
    def has_doubts(self) -> bool:
        """Whether the threads use data, or real locks and queues, in ways that are no steps."""
        return bool(self._doubted)

    def close(self) -> None:
        """No schedule is watched any more."""
        self._tracing.close()

    # The turns of the threads.

    def know(self, function: Any) -> None:
        """A thread is going to call this function."""
        self.cells.know(function)
        self._contents.add(function, getattr(function, "__name__", "target"))

    def know_thread(self, thread: Any) -> None:
        """This thread is about to start."""
        self._contents.add(thread, thread.name)

    def ignore(self, thing: Any) -> None:
        """Do not look at this object, nor at what it has."""
        self._contents.ignore(thing)

    def turn(self, task: Task) -> None:
        """This thread has the turn, and its next changes are later than those so far."""
        if self._runs is None:
            self._begin_turn(task)
            return
        before = self._tracing.pause()
        try:
            self._begin_turn(task)
        finally:
            self._tracing.resume(before)

    def _begin_turn(self, task: Task) -> None:
        if self._runs is not None:
            self._find_changes()
        self._runs = task

    def rest(self, task: Task) -> None:
        """This thread had the turn. Nothing changes until the next call of `turn`."""
        self.turn(self._runs or task)
        self._runs = None

    def step(self, task: Task, target: Any) -> None:
        """The thread begins its next step, which uses this target."""
        self.turn(task)
        self._version_used.pop(task.index, None)
        self._first.pop(task.index, None)
        if isinstance(target, Attribute) and target.data is not None:
            owner, key = target.data
            self._tracked_as.setdefault(id(owner), {})[key] = name_of(target)
            if task.op is primitives.CHANGE:
                self._version_used[task.index] = id(owner)
            is_change = task.op in (primitives.CHANGE, primitives.STORE)
            usage = Usage.WRITE if is_change else Usage.READ
            self._use(task, owner, key, usage, "", is_step=True)
        if task.op is primitives.LINE:
            self._in_line.add(task.index)
        else:
            self._in_line.discard(task.index)

    def _find_changes(self) -> None:
        task = self._runs
        assert task is not None
        for owner, key, usage, name in self._contents.changes():
            if self._version_used.get(task.index) == id(owner):
                continue  # the step is known
            self._use(task, owner, key, usage, name, is_step=task.index in self._in_line)

    def _is_ignored(self, value: Any) -> bool:
        scheduler = self._scheduler
        return (
            containers.is_version(value)
            or (scheduler.is_tracked(value) and not is_container(value))
            or scheduler.is_missed(value)
            or any(value is each for each in scheduler.trusted)
        )

    def _value(self, frame: FrameType, node: ast.expr) -> Any:
        """The value of an expression, unless it is the tracked version of a container."""
        value = value_of(frame, node)
        held = value.__self__ if type(value) is BuiltinMethodType else value
        if is_container(held) and self._scheduler.is_tracked(held) and _is_by_tracking(frame, node):
            return MISSING
        return value

    # What a frame does.

    def may_matter(self, code: CodeType) -> bool:
        """Whether this may be code of the program, or begins it."""
        is_own = _kind_of(code.co_filename) is _Whose.EXPLORER
        return not is_own or code is threads.Thread.run.__code__

    def enter(self, frame: FrameType) -> Table[Sequence[Access]] | None:
        """A function begins or continues: the accesses of its instructions, if they matter."""
        scheduler = self._scheduler
        if not scheduler.is_running:
            return None
        code = frame.f_code
        kind = _kind_of(code.co_filename)
        task = scheduler.current
        if kind is _Whose.EXPLORER:
            if code is threads.Thread.run.__code__:
                if task is not self._runs:
                    self._begin_turn(task)
                self._run_target(frame)
            return None
        if not (_is_target(frame) and nodes_of(code.co_filename)):
            scheduler.works(task)
        if kind is _Whose.LIBRARY:
            if code.co_name == "run_forever" and code.co_filename.endswith("base_events.py"):
                scheduler.doubt(
                    "an asyncio event loop ran, and the order of its tasks was not varied"
                )
            if HOOK not in code.co_names and not (_is_ours(frame) or self._in_a_call(frame)):
                self._look_at_arguments(task, frame)
            return None
        if task is not self._runs:
            self._begin_turn(task)
        if kind is _Whose.PACKAGE:
            if task.index and not self._in_a_call(frame):
                self._look_at_owner(frame)
            return None
        if self._in_a_call(frame):
            return None
        self._contents.add_globals(frame.f_globals, code)
        for name, value in frame.f_locals.items():
            if type(value) in SCALARS or id(value) in self._met:
                continue
            self._contents.add(value, name)
            if is_unscheduled(value):
                self._use_real(task, value, frame, name)
        if is_generated(code.co_name) and not nodes_of(code.co_filename):
            self._look_at_attributes(task, frame, code.co_name)
        table = self._table_of(code)
        if table is not None:
            self.cells.enter(frame)
            self._at[task.index] = code, frame.f_lasti
        return table

    def before(self, frame: FrameType, entry: Sequence[Access]) -> None:
        """An instruction that makes these accesses is about to run."""
        for access in entry:
            if self._scheduler.is_running:
                self._access(frame, access)

    def _table_of(self, code: CodeType) -> Table[Sequence[Access]] | None:
        """The accesses of the code's instructions; None if none matters."""
        known = self._tables.get(id(code))
        if known is None:
            table = accesses(code)
            if not has_columns(code):
                self._scheduler.doubt(
                    f"{Path(code.co_filename).name} was compiled with -X no_debug_ranges, so it is "
                    f"not known which plain data its threads share: run Python without it, and "
                    f"delete __pycache__"
                )
            known = self._tables[id(code)] = code, table or None
        return known[1]

    def _run_target(self, frame: FrameType) -> None:
        thread = dict_of(frame.f_locals["self"])
        task = self._scheduler.current
        self._is_named = False
        self._call(task, thread.get("_target"), thread.get("_args", ()), "target", ())

    def _look_at_arguments(self, task: Task, frame: FrameType) -> None:
        """A function of the library looks into the containers that it gets."""
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        caller = "" if frame.f_back is None else str(frame.f_back.f_globals.get("__name__", ""))
        if not {module.partition(".")[0], caller.partition(".")[0]}.isdisjoint(_WITH_THREADS):
            return  # it takes care of its own data
        if reads_attributes(module, code.co_qualname):
            self._look_at_attributes(task, frame, f"{module}.{code.co_qualname}")
        for name in code.co_varnames[: code.co_argcount]:
            value = frame.f_locals.get(name)
            if is_container(value):
                values = [value]
            elif name == "self" and isinstance(value, _AROUND_CONTAINERS):
                values = [
                    each
                    for key, each in dict_of(value).items()
                    if is_container(each) and not is_tracked_attribute(value, key)
                ]
                values += getattr(value, "maps", ())
            else:
                continue
            for each in values:
                if is_container(each) and not self._is_ignored(each):
                    where = f"{module}.{code.co_qualname}"
                    self._contents.add(each, f"{name} of {where}")
                    self._use(task, each, EVERY, Usage.READ, f"{name} of {where}", is_step=False)

    def _look_at_attributes(self, task: Task, frame: FrameType, function: str) -> None:
        """This function reads all attributes of the objects that it gets."""
        for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]:
            for owner, key in attributes_in(frame.f_locals.get(name)):
                text = f"{name} of {function}"
                self._use(task, owner, key, Usage.READ, text, is_step=False)

    def _look_at_owner(self, frame: FrameType) -> None:
        """Look for real locks in the object of a method of an installed package."""
        owner = frame.f_locals.get("self")
        if isinstance(owner, logging.Handler):
            return  # its lock guards it alone, within one call
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            if is_unscheduled(value):
                self._use_real(self._scheduler.current, value, frame, f"self.{name}")

    def _in_a_call(self, frame: FrameType | None) -> bool:
        """Whether this runs in a call that is declared to be one step, or in trusted code."""
        task = self._scheduler.current
        trusted = self._scheduler.trusted
        called = (task.target,) if task.op is primitives.CALL else ()
        while (trusted or called) and frame is not None:
            owner = _owner(frame)
            if owner is not None and (
                (called and (owner is called[0] or type(owner) is PointProxy))
                or any(owner is each for each in trusted)
            ):
                return True
            frame = frame.f_back
        return False

    def _access(self, frame: FrameType, access: Access) -> None:
        task = self._scheduler.current
        node = access.node
        self._at[task.index] = _at(frame)
        self._number += 1
        self._is_named = HOOK in frame.f_code.co_names
        if isinstance(node, ast.Call):
            self._call_of(task, frame, node)
            return
        value = MISSING
        if not access.stores:
            value = self._value(frame, node)
            if value is not MISSING and type(value) not in SCALARS:
                if id(value) not in self._met and self._is_real(task, value, frame, node):
                    return
                if access.look is not Look.NOTHING:
                    self._look_into(task, value, access.look, text_of(node))
        if not access.is_local:
            if access.stores:
                self._scheduler.works(task)
            if self._is_named and not isinstance(value, _DEFINITIONS):
                self._first.setdefault(task.index, (self._number, []))
            usage = Usage.WRITE if access.stores else Usage.READ
            for owner, key in self._places(frame, node):
                self._use(task, owner, key, usage, text_of(node))

    def _is_real(self, task: Task, value: Any, frame: FrameType, node: ast.expr) -> bool:
        """Record that the thread has this value; return whether it is a real primitive."""
        if is_unscheduled(value):
            self._use_real(task, value, frame, text_of(node))
            return True
        self.cells.know(value)
        self._contents.add(value, text_of(node))
        if self._contents.knows(value) and not isinstance(value, MADE_OF_LOCKS):
            self._met.add(id(value))
        return False

    def _look_into(self, task: Task, value: Any, look: Look, text: str) -> None:
        if look is Look.NOTHING:
            return
        if look is Look.ITEMS and _is_iterator(value) and not self._is_ignored(value):
            self._use(task, value, EVERY, Usage.WRITE, text)
            return
        usage = Usage.GLANCE if look is Look.TRUTH else Usage.READ
        found = containers_in(value)
        if look is Look.WHOLE:
            found = [each for each, _ in places_in(value)] or found
        for each in found:
            if not self._is_ignored(each):
                self._use(task, each, EVERY, usage, text)

    def _places(self, frame: FrameType, node: ast.expr) -> Iterator[tuple[object, Any]]:
        """Where the data is that the expression names: objects, and keys in them."""
        if isinstance(node, ast.Name):
            code, variable = frame.f_code, node.id
            if variable in code.co_freevars or variable in code.co_cellvars:
                cell = self.cells.of(frame, variable)
                if cell is not None:
                    yield cell, EVERY
            elif variable not in frame.f_locals or frame.f_locals is frame.f_globals:
                yield frame.f_globals, variable
        elif isinstance(node, ast.Attribute):
            owner = value_of(frame, node.value)
            if owner is not MISSING:
                yield from _places_of_attribute(owner, node.attr)
        elif isinstance(node, ast.Subscript):
            owner, index = self._value(frame, node.value), value_of(frame, node.slice)
            for each in containers_in(owner):
                if each is owner and is_scalar(index) and not self._is_ignored(each):
                    yield each, index

    # Calls of code that is written in C.

    def _call_of(self, task: Task, frame: FrameType, node: ast.Call) -> None:
        arguments = [
            MISSING if isinstance(each, ast.Starred) else self._value(frame, each)
            for each in node.args
        ]
        texts = [text_of(each) for each in node.args]
        function = self._value(frame, node.func)
        if not is_stand_in(type(getattr(function, "__self__", function))):
            self._scheduler.works(task)
        self._call(task, function, arguments, text_of(node.func), texts)

    def _call(self, task: Task, function: Any, arguments: Any, name: str, texts: Any) -> None:
        arguments = list(arguments)
        texts = [*texts, *map(repr, arguments[len(texts) :])]
        while isinstance(function, functools.partial):
            arguments = [*function.args, *arguments]
            texts = [*[name for _ in function.args], *texts]
            function = function.func
        if isinstance(function, MethodDescriptorType) and arguments:
            owner = arguments.pop(0)
            if owner is MISSING or not isinstance(owner, function.__objclass__):
                return
            function = function.__get__(owner, type(owner))
            name = f"{texts.pop(0)}.{name.rpartition('.')[2]}"
        if any(function is each for each in _ATTRIBUTES):
            self._call_with_a_name(task, function, arguments, texts)
        elif reads_the_whole(function):
            for value, text in zip(arguments, texts, strict=True):
                for owner, key in places_in(value, function):
                    if not self._is_ignored(owner):
                        self._use(task, owner, key, Usage.READ, text)
        elif isinstance(function, operator.attrgetter) and arguments:
            names = function.__reduce__()[1]
            for each in names:
                self._call_with_a_name(task, getattr, [arguments[0], each], texts)
        elif isinstance(function, BuiltinMethodType) and not isinstance(
            function.__self__, ModuleType | type | None
        ):
            owner, method = function.__self__, function.__name__
            self._call_method(task, owner, method, arguments, name)
            if method not in containers.TAKES_AN_ITEM:
                for value, text in zip(arguments, texts, strict=True):
                    self._look_into(task, value, Look.ITEMS, text)
        elif function is next and arguments:
            if _is_iterator(arguments[0]) and not self._is_ignored(arguments[0]):
                self._use(task, arguments[0], EVERY, Usage.WRITE, texts[0])
        elif isinstance(function, BuiltinMethodType) or (
            isinstance(function, type) and _is_made_in_c(function)
        ):
            if any(function is each for each in _BLIND):
                return
            look = Look.TRUTH if any(function is each for each in _ORDERLESS) else Look.ITEMS
            for value, text in zip(arguments, texts, strict=True):
                self._look_into(task, value, look, text)

    def _call_with_a_name(
        self, task: Task, function: Any, arguments: list[Any], texts: list[str]
    ) -> None:
        if len(arguments) < 2 or MISSING in (arguments[0], arguments[1]):
            return
        owner, name = arguments[:2]
        if type(name) is str:
            is_read = function in (getattr, hasattr, object.__getattribute__)
            usage = Usage.READ if is_read else Usage.WRITE
            for thing, key in _places_of_attribute(owner, name):
                self._use(task, thing, key, usage, f"{texts[0]}.{name}")

    def _call_method(
        self, task: Task, owner: Any, method: str, arguments: list[Any], name: str
    ) -> None:
        name = name.rpartition(".")[0] or name
        if isinstance(owner, io.IOBase):
            if owner not in (sys.stdout, sys.stderr) and not self._is_ignored(owner):
                self._use(task, owner, EVERY, Usage.WRITE, name)
        elif _is_iterator(owner):
            self._use(task, owner, EVERY, Usage.WRITE, name)
        elif is_container(owner) and not self._is_ignored(owner):
            if method in _APPEND and issubclass(type(owner), list | deque):
                self._use(task, owner, EVERY, Usage.APPEND, name)
            elif method in _OF_ONE and arguments and is_scalar(arguments[0]):
                usage = Usage.READ if method in containers.READING else Usage.WRITE
                self._use(task, owner, arguments[0], usage, name)
            elif method in containers.READING:
                self._use(task, owner, EVERY, Usage.READ, name)
            elif not (method == "update" or (method in _MEMBER and isinstance(owner, set))):
                # Of the others it is seen which parts they change.
                self._use(task, owner, EVERY, Usage.WRITE, name)

    # What is wrong with it.

    def _use(
        self,
        task: Task,
        owner: object,
        key: Any,
        usage: Usage,
        name: str,
        *,
        is_step: bool | None = None,
    ) -> None:
        if is_step is None:
            is_step = self._is_named or self._is_alone(task, owner, key, usage, name)
        if not is_step:
            direct = self._direct.setdefault(id(owner), {})
            direct.pop(key, None)
            direct[key] = name, self._at.get(task.index)
        rivals = self._races.use(task, owner, key, usage, is_step=is_step)
        raced = self._raced.setdefault(id(owner), set())
        if rivals is None:
            return
        if key in raced or EVERY in raced or (raced and key is EVERY):
            self._doubted.add(name)  # in another schedule, this may be the first name that is seen
            return
        raced.add(key)
        tracked = _part(self._tracked_as.get(id(owner), {}), key)
        direct_use = _part(self._direct.get(id(owner), {}), key)
        if tracked and direct_use:
            self._doubt_alias(owner, f"`{tracked}`", *direct_use)
            return
        one, other = (each.label for each in rivals)
        where = _where(self._at.get(task.index))
        if usage is Usage.READ and task not in rivals:
            self._doubt_once(
                name,
                f"the order of the items in `{name}`{where} depends on which of the threads {one} "
                f"and {other} appends first, and these orders were not varied: make it visible "
                f"with `threading.track` or `lines=`, or compare the sorted items",
            )
            return
        self._doubt_once(
            name,
            f"`{name}` is plain data that the threads {one} and {other} use without a lock where "
            f"one of them changes it{where}, and they never switch there: make it visible with "
            f"`threading.shared`, `threading.track` or `lines=`",
        )

    def _is_alone(self, task: Task, *use: Any) -> bool:
        """Whether this belongs to the only access in a step of named code, which calls other code.

        Then it is a part of the step, and the search tries both orders of it and another step.
        """
        if task.index not in self._in_line:
            return False
        number, uses = self._first.setdefault(task.index, (self._number, []))
        if number == self._number:
            uses.append(use)
            return True
        while uses:  # the first access was not the only one
            self._use(task, *uses.pop(), is_step=False)
        return False

    def _doubt_alias(
        self, owner: object, tracked: str, direct: str, at: tuple[CodeType, int] | None
    ) -> None:
        """Add the doubt about tracked data that is also used in ways that are no steps."""
        is_container = self._scheduler.is_tracked(owner)
        what = (
            f"the {type(owner).__name__} that {tracked} was made from" if is_container else tracked
        )
        self._doubt_once(
            tracked,
            f"{what} is also used directly, as `{direct}`{_where(at)}, which is not a step: use "
            f"{tracked} there, too",
        )

    def _use_real(self, task: Task, value: Any, frame: FrameType, name: str) -> None:
        users = self._real.setdefault(id(value), (value, set()))[1]
        users.add(task.index)
        if id(value) in self._told:
            self._doubted.add(name)
        elif task.index or len(users) > 1 or not isinstance(value, LOCKS):
            self._told.add(id(value))
            where = _place(*_at(frame))
            self._doubt_once(
                name,
                f"thread {task.label} used `{name}` ({where}), a real {type(value).__name__} that "
                f"the explorer does not schedule: pass `threading` on to the code that makes it, "
                f"or name its module in `patch=`",
            )

    def _doubt_once(self, name: str, sentence: str) -> None:
        """Add a doubt, unless another one is about what the program calls the same."""
        if name not in self._doubted:
            self._doubted.add(name)
            self._scheduler.doubt(sentence)


_DEFINITIONS = FunctionType, MethodType, BuiltinMethodType, ModuleType, type
"""The classes of values that code names in order to call them, and that rarely change."""

_WITH_THREADS = frozenset({
    "asyncio", "concurrent", "logging", "multiprocessing", "queue", "sched", "socketserver",
    "threading",
})  # fmt: skip
_AROUND_CONTAINERS = (
    UserDict, UserList, ChainMap, weakref.WeakValueDictionary, weakref.WeakKeyDictionary,
    weakref.WeakSet,
)  # fmt: skip
"""Classes in Python whose objects keep their items in a container."""
_ATTRIBUTES = (
    getattr, hasattr, setattr, delattr, object.__setattr__, object.__delattr__,
    object.__getattribute__,
)  # fmt: skip
_MEMBER = frozenset({"add", "discard", "remove"})
_OF_ONE = frozenset({"get", "pop", "setdefault", "__getitem__", "__setitem__", "__delitem__",
                     "__contains__"})  # fmt: skip
"""The methods of a dict whose first argument is the only key that they use."""


class _Whose(Enum):
    """Whose code is in a file."""

    PROGRAM = 0
    EXPLORER = 1
    LIBRARY = 2
    PACKAGE = 3


@functools.lru_cache(maxsize=4096)
def _kind_of(file: str) -> _Whose:
    if is_of_the_explorer(file):
        return _Whose.EXPLORER
    if is_of_the_library(file):
        return _Whose.LIBRARY
    return _Whose.PACKAGE if is_of_a_package(file) else _Whose.PROGRAM


def _is_ours(frame: FrameType | None) -> bool:
    """Whether the explorer has called this code of the library."""
    kind = _Whose.LIBRARY
    while frame is not None and kind is _Whose.LIBRARY:
        kind = _kind_of(frame.f_code.co_filename)
        frame = frame.f_back
    return kind is _Whose.EXPLORER


def _is_target(frame: FrameType) -> bool:
    """Whether it is the frame of the function that a thread was made with."""
    caller = frame.f_back
    return caller is not None and caller.f_code is threads.Thread.run.__code__


def _at(frame: FrameType) -> tuple[CodeType, int]:
    return frame.f_code, frame.f_lasti


def _part(parts: dict[Any, T], key: Any) -> T | None:
    """What is known of this part of an object, or of the whole, or of any part of it."""
    if key in parts or EVERY in parts or key is not EVERY:
        return parts.get(key, parts.get(EVERY))
    return next(reversed(parts.values()), None)


def _where(at: tuple[CodeType, int] | None) -> str:
    return f" ({_place(*at)})" if at else ""


def _place(code: CodeType, instruction: int) -> str:
    """The file and the line of an instruction, which is known by its offset."""
    lines = (
        line for start, end, line in code.co_lines() if start <= max(0, instruction) < end and line
    )
    return f"{Path(code.co_filename).name}:{next(lines, code.co_firstlineno)}"


def _is_by_tracking(frame: FrameType, node: ast.expr) -> bool:
    """Whether the program gets the expression's value through tracked data."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        owner = value_of(frame, node.value)
        if containers.is_version(owner) or (
            isinstance(node, ast.Attribute) and is_tracked_attribute(owner, node.attr)
        ):
            return True
        node = node.value
    return False


def _owner(frame: FrameType) -> Any:
    """The object whose method the frame runs, whatever the method calls it; None if none is."""
    if "self" in names_of(frame):
        return frame.f_locals.get("self")
    code = frame.f_code
    owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    kind: Any = type(owner)
    return owner if _is_method(kind, code) else None


@functools.lru_cache(maxsize=4096)
def _is_method(cls: Any, code: CodeType) -> bool:
    """Whether a function of the class has this code, and is not only called with its objects."""
    found = (vars(base).get(code.co_name) for base in cls.__mro__)
    return any(getattr(getattr(each, "fget", each), "__code__", None) is code for each in found)


def _is_iterator(value: Any) -> bool:
    """Whether it is an iterator or a generator that code in C moves on."""
    kind = type(value)
    if kind is type(iter(int, 0)):
        return False  # it only calls a function
    return (
        kind is GeneratorType
        or isinstance(value, io.IOBase)
        or isinstance(getattr(kind, "__next__", None), WrapperDescriptorType)
    )


def _is_made_in_c(cls: type[Any]) -> bool:
    """Whether code in C looks into the arguments of a call of the class."""
    makers: tuple[Any, ...] = cls.__new__, cls.__init__
    return not issubclass(cls, BaseException) and not any(
        isinstance(each, FunctionType) for each in makers
    )


def _places_of_attribute(owner: Any, name: str) -> Iterator[tuple[object, Any]]:
    """Where an attribute is: in the object itself, and in the class that it gets it from."""
    if isinstance(owner, ModuleType):
        yield vars(owner), name
        return
    cls = owner if isinstance(owner, type) else type(owner)
    own = dict_of(owner)
    in_class = None
    for base in type.mro(cls) if isinstance(owner, type) else cls.__mro__:
        if name in vars(base):
            in_class = base, vars(base)[name]
            break
    if in_class is not None:
        base, found = in_class
        is_slot = isinstance(found, MemberDescriptorType)
        if isinstance(found, TrackedAttribute) or (hasattr(type(found), "__set__") and not is_slot):
            return
        if isinstance(found, functools.cached_property) and sys.version_info < (3, 12):
            return  # it has a lock
        if is_of_the_explorer_itself(base) and not is_slot:
            return
        if is_slot and not isinstance(owner, type):
            yield owner, name
            return
        if isinstance(owner, type) or own is None or name not in own:
            yield base, name
    if own is not None and not isinstance(owner, type) and not is_of_the_explorer_itself(cls):
        yield own, name
