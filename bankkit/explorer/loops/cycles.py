"""Finds that threads come back to a state where they have been: they can do so forever.

Two threads that each take a lock, fail to take the other's, and step back may repeat that without
an end, although each of them runs. Such a schedule shows a livelock if it is a cycle of states, and
fair: each thread that could have run in the cycle has run. (Musuvathi and Qadeer, "Fair stateless
model checking", PLDI 2008.)

The state consists of the threads' places and variables, and of the primitives. All threads that run
in the cycle must be in loops that change nothing else; see `looking`. A step that changes anything
else, such as a tracked attribute, makes the state a new one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from bankkit.explorer.engine.scheduler import Task
from bankkit.explorer.stand_ins import primitives

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_TIMES = 3
"""A state must come so often. At the first time, a thread may be about to use what it has read
before the cycle; at the second it has read it in the cycle."""


class Cycles:
    """The states of one schedule."""

    def __init__(self) -> None:
        self._moments: dict[Hashable, list[int]] = {}
        """The numbers of steps after which a state was there."""
        self._places: dict[Hashable, tuple[int, object]] = {}
        """A number for each place of a thread. The object keeps what its `id` stands for."""
        self._enabled: list[frozenset[int]] = []
        """The threads that could run before each step."""
        self._ran: list[int] = []
        """The thread of each step."""
        self._objects: dict[int, Any] = {}
        """The primitives that threads have used."""
        self._changes = 0
        """How many steps have changed something of which the state is not known."""

    def place(self, op: object, target: Any, frames: Iterable[Any], holder: object) -> int:
        """A number for a thread's next step, its lines and its variables.

        `frames` has the code, place and variables of each call; `holder` keeps these alive.
        """
        key = (
            op,
            id(target),
            tuple(
                [
                    (id(code), where, tuple([(name, _value(each)) for name, each in names.items()]))
                    for code, where, names in frames
                ]
            ),
        )
        return self._places.setdefault(key, (len(self._places), holder))[0]

    def at_decision(self, depth: int, places: Iterable[tuple[int, int, bool]]) -> list[int]:
        """Record the state before a step.

        `places` has each thread's start order and place, and whether it could run. Returns the
        earlier moments at which the state was the same.
        """
        places = tuple(places)
        state = (
            tuple([(index, place) for index, place, _ in places]),
            tuple([_state(each) for each in self._objects.values()]),
            self._changes,
        )
        moments = self._moments.setdefault(state, [])
        if not moments or moments[-1] != depth:
            moments.append(depth)
        while len(self._enabled) < depth:  # there was a choice of one thread only
            self._enabled.append(frozenset())
        self._enabled.append(frozenset(index for index, _, can_run in places if can_run))
        return moments[:-1]

    def makes_step(self, task: Task, used: Any, *, changes: bool) -> None:
        """Record a step and the object that it uses."""
        self._ran.append(task.index)
        if isinstance(used, _KNOWN):
            self._objects.setdefault(used.explorer_key, used)
        elif changes:
            self._changes += 1

    def changes(self) -> None:
        """Something has changed of which the state is not known."""
        self._changes += 1

    def cycle(self, moments: list[int], depth: int) -> tuple[int, set[int]] | None:
        """The step at which a fair cycle began, and the threads that run in it; None if none did.

        `moments` are those of `at_decision`.
        """
        if len(moments) < _TIMES - 1:
            return None
        start = moments[-1]
        if moments[-2] >= start or depth <= start:
            return None
        ran = set(self._ran[start:depth])
        could_run = set().union(*self._enabled[start:depth])
        return (moments[-2], ran) if could_run <= ran else None


_KNOWN = (
    primitives.Lock, primitives.RLock, primitives.Semaphore, primitives.Event, primitives.Condition,
)  # fmt: skip


def _state(thing: Any) -> Hashable:
    if isinstance(thing, primitives.Lock):
        return thing.owner.index if thing.owner is not None else -1
    if isinstance(thing, primitives.RLock):
        return (thing.owner.index if thing.owner is not None else -1), thing.count
    if isinstance(thing, primitives.Semaphore):
        return thing._value
    if isinstance(thing, primitives.Event):
        return thing._flag
    return tuple([task.index for task in thing._waiters])


def _value(value: Any) -> Hashable:
    return (type(value), value) if type(value) in _SCALARS else id(value)
