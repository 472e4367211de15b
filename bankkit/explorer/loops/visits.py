"""What a thread does in a loop: its steps, with the places and the variables that they had."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from bankkit.explorer.engine.scheduler import WRITE, Op, Task
from bankkit.explorer.loops.looking import Looking
from bankkit.explorer.source.sources import Place, place_at
from bankkit.explorer.stand_ins import primitives

_LOCKS = primitives.Lock | primitives.RLock
_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_WAKES = primitives.WAKE, primitives.WAKE_TIMED


class Visit:
    """A step of a thread, with the place where it was made."""

    __slots__ = ("arg", "depth", "frames", "now", "number", "op", "option", "other", "places",
        "target", "variables")  # fmt: skip

    def __init__(self, task: Task, option: int, depth: int, frames: tuple[FrameType, ...]) -> None:
        self.op: Op = task.op  # type: ignore[assignment]  # it is about to make a step
        self.option = option
        self.target = task.target
        self.other = task.other
        self.arg = task.arg
        self.depth = depth
        """The number of the step."""
        self.number = -1
        """A number for its place and variables."""
        self.now = task.now
        self.frames = frames
        """The program's calls, the outermost first."""
        self.places = tuple([(each.f_code, each.f_lasti) for each in frames])
        """The instruction of each call. Several may have the same place in the source."""
        self.variables = tuple([dict(each.f_locals) for each in frames])

    def calls(self) -> Iterator[tuple[tuple[CodeType, int], dict[str, Any]]]:
        """Each call's code, place and variables, the outermost first."""
        return zip(self.places, self.variables, strict=True)

    def place(self, level: int) -> Place | None:
        """The place of one of the calls in the source."""
        return place_at(*self.places[level])

    @property
    def used(self) -> Any:
        """The object that the step uses."""
        return self.target if self.other is None or not self.option else self.other

    @property
    def lock(self) -> Any:
        """The lock that it uses; None for a step that uses none."""
        used = self.other if self.op is primitives.STEP else self.used
        return used if isinstance(used, _LOCKS) else None

    @property
    def changes(self) -> bool:
        """Whether the step may change more than who has a lock."""
        if self.op is primitives.LINE:  # then the loop would not be one that only looks
            return False
        if self.op in _WAKES and not self.option:  # it has used up a notification
            return True
        return self.op.mode(self.option) == WRITE and self.lock is None

    def is_like(self, other: Visit) -> bool:
        """Whether both are the same step at the same place."""
        return (
            self.op is other.op
            and self.option == other.option
            and self.used is other.used
            and self.places == other.places
        )


class Round:
    """What a thread does and sees from one visit of a place to the next."""

    def __init__(self, visits: list[Visit], looking: Looking, period: float) -> None:
        self.visits = visits
        self.looking = looking
        self.start = visits[0].depth
        """The number of the step from which on nothing may have changed."""
        self.period = period
        """How long one round takes, in seconds of virtual time."""


def same_variables(some: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether variables are the same objects, or the same numbers and texts."""
    return some.keys() == others.keys() and all(
        value is others[name]
        or (type(value) in _SCALARS and type(others[name]) is type(value) and value == others[name])
        for name, value in some.items()
    )
