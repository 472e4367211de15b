"""Records the calls that a scenario's threads make, for a check of the history.

A call begins with a step of its own, and it returns in the step in which it made its last
operation. Equivalent schedules must give the same history, although a reduction ignores the order
of unrelated steps: whether one call returned before another began is part of the history even where
the two calls have nothing in common. So the beginning of a call counts as a read of the history,
and a return as a change of it. Two beginnings need no order, and neither do two returns.

For the same reason a history contains no moments, but small numbers that say only which calls
returned before which others began.
"""

from __future__ import annotations

import inspect
from collections import Counter, deque
from dataclasses import dataclass, field
from math import inf
from typing import Any, NoReturn

from bankkit.explorer.engine.scheduler import WRITE, Scheduler, Task
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.stand_ins import primitives
from bankkit.histories.operation import Operation, Raised


@dataclass(slots=True)
class _Calls:
    """The calls of one schedule, of all objects."""

    made: list[RecordedCall] = field(default_factory=list)
    """All that the scenario has made, also those that no thread has begun."""
    begun: list[RecordedCall] = field(default_factory=list)
    """In the order of their beginnings."""


class RecordedHistories:
    """The histories of the present schedule, one for each recorded object."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._schedule = -1
        self._calls = _Calls()
        self._names: Counter[str] = Counter()
        self._of_things: list[tuple[object, OperationHistory]] = []

    def add(self, name: str) -> OperationHistory:
        """A new history of an object with this name, which gets a number if it is taken."""
        self._forget_other_schedules()
        self._names[name] += 1
        count = self._names[name]
        full_name = name if count == 1 else f"{name or 'history'} {count}"
        return OperationHistory(self._scheduler, full_name, self._calls)

    def of(self, thing: object) -> OperationHistory:
        """The history of this object. It has only one, however often it is recorded."""
        self._forget_other_schedules()
        for other, history in self._of_things:
            if other is thing:
                return history
        history = self.add(type(thing).__name__)
        self._of_things.append((thing, history))
        return history

    def operations(self) -> tuple[Operation, ...]:
        """The calls of this schedule, by thread, then in the thread's order.

        Raises ScenarioError for a call that is not the context of a `with` statement.
        """
        self._forget_other_schedules()
        for call in self._calls.made:
            if not call.is_entered:
                raise ScenarioError(
                    f"The call {call} of a history is never entered, so it is not recorded. "
                    f"Write: with history.call(…) as call: call.returned(…)"
                )
        by_thread = sorted(self._calls.begun, key=lambda call: call.task.key)
        return tuple(call.operation() for call in by_thread)

    def _forget_other_schedules(self) -> None:
        if self._schedule != self._scheduler.schedule:
            self._schedule = self._scheduler.schedule
            self._calls, self._names, self._of_things = _Calls(), Counter(), []


class OperationHistory:
    """The calls of one object, as the threads of this schedule make them.

    `threading.history()` makes one; `threading.recorded(thing)` also records all calls of an
    object.
    """

    explorer_key: int
    explorer_now: float

    def __init__(self, scheduler: Scheduler, name: str, calls: _Calls) -> None:
        self._explorer = scheduler
        self.name = name
        """The name of the object; it may be empty."""
        self._calls = calls
        self._now = 0
        """Counts the beginnings that came after a return."""
        self._has_returned = False
        scheduler.register(self)

    def call(self, name: str, /, *arguments: Any, **keywords: Any) -> RecordedCall:
        """A context manager: its block is a call of the operation with this name.

            with history.call("withdraw", "alice", 5) as call:
                call.returned(bank.withdraw("alice", 5))

        A block that ends without `returned` has returned None, or raised its exception.
        """
        call = RecordedCall(self, self._explorer, name, arguments, keywords)
        self._calls.made.append(call)
        return call

    def begin(self, call: RecordedCall) -> int:
        """Make the step in which the call begins; return when that was."""
        self._explorer.point(primitives.INVOKE, self, call)
        if self._has_returned:
            self._now, self._has_returned = self._now + 1, False
        call.task = self._explorer.current
        self._calls.begun.append(call)
        return self._now

    def end(self) -> int:
        """When the present step is, in which a call returns."""
        self._has_returned = True
        self._explorer.also.append((self.explorer_key, WRITE, True))
        return self._now

    def refuse(self, name: str, result: object) -> NoReturn:
        """End the search: this call has returned before it did its work."""
        if inspect.iscoroutine(result):
            result.close()  # otherwise Python warns that nobody awaits it
        self._explorer.refuse(
            f"The recorded call {name}() returned {result!r}, which does its work only later. "
            f"Record the code that does the work, with threading.history()."
        )


class RecordedCall:
    """A call that is being recorded."""

    def __init__(
        self,
        history: OperationHistory,
        scheduler: Scheduler,
        name: str,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        self._history = history
        self._scheduler = scheduler
        self._name = name
        self._arguments = tuple(map(unchanging, arguments))
        self._keywords = tuple((key, unchanging(value)) for key, value in keywords.items())
        self._start = self._end = inf
        self._result: Any = None
        self._is_over = False
        self.is_entered = False
        """Whether it is, or was, the context of a `with` statement."""
        self.task: Task
        """The thread that calls."""
        self._client = ""

    def __enter__(self) -> RecordedCall:
        if self.is_entered:
            raise RuntimeError(f"The call {self} was recorded before. Make another one.")
        self.is_entered = True
        self._start = self._history.begin(self)
        self._client = self.task.label
        return self

    def returned(self, result: object) -> None:
        """The call returns this now. Raises RuntimeError if it has ended already."""
        if self._is_over:
            raise RuntimeError(f"The call {self} has ended already.")
        self._is_over = True
        if not self._scheduler.is_over:  # threads that are unwound return too
            self._result = unchanging(result)
            self._end = self._history.end()

    def unknown(self) -> None:
        """The caller does not get to know how the call ended, for example after a timeout.

        Then it may take effect at any later time, or not at all.
        """
        self._is_over = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._is_over:
            return
        if error is None:
            self.returned(None)
        elif isinstance(error, Exception) and not isinstance(error, ScenarioError):
            self.returned(Raised.of(error))

    def operation(self) -> Operation:
        """The call as data."""
        return Operation(
            self._client,
            self._name,
            self._arguments,
            self._start,
            self._end,
            self._result,
            self._history.name,
            self._keywords,
        )

    def __str__(self) -> str:
        return str(self.operation())


class RecordedObject:
    """Passes everything on to `thing`; calls of some methods are recorded in a history."""

    __slots__ = ("_explorer_recorded",)

    def __init__(
        self,
        history: OperationHistory,
        thing: object,
        methods: frozenset[str],
        unknown: tuple[type[BaseException], ...],
    ) -> None:
        object.__setattr__(self, "_explorer_recorded", (history, thing, methods, unknown))

    def explorer_thing(self) -> object:
        """The object itself."""
        return self._explorer_recorded[1]

    def __getattr__(self, name: str) -> Any:
        history, thing, methods, unknown = self._explorer_recorded
        value = getattr(thing, name)
        if name not in methods:
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            with history.call(name, *arguments, **keywords) as call:
                try:
                    result = value(*arguments, **keywords)
                except unknown:
                    call.unknown()
                    raise
                if inspect.isawaitable(result) or inspect.isgenerator(result):
                    history.refuse(name, result)
                call.returned(result)
            return result

        call.__name__ = name  # a thread is called after its function
        return call

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._explorer_recorded[1], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._explorer_recorded[1], name)

    def __repr__(self) -> str:
        return repr(self._explorer_recorded[1])


def methods_of(thing: object, names: tuple[str, ...]) -> frozenset[str]:
    """The methods to record: those with these names, or all public ones.

    Raises TypeError for a name that is not a method, and for an object without methods.
    """
    for name in names:
        if not callable(getattr(thing, name)):
            raise TypeError(f"{name!r} is not a method of {thing!r}.")
    public = (name for name in dir(type(thing)) if not name.startswith("_"))
    found = names or [name for name in public if callable(getattr(type(thing), name))]
    if not found:
        raise TypeError(f"{thing!r} has no public method whose calls could be recorded.")
    return frozenset(found)


def unchanging(value: Any) -> Any:
    """The value, or a copy of a list, a dict, a set or a deque, which may change later."""
    kind = type(value)
    if kind in (list, set, tuple, frozenset, deque):
        return kind(map(unchanging, value))
    if kind is dict:
        return {key: unchanging(each) for key, each in value.items()}
    if kind is bytearray:
        return bytes(value)
    return value
