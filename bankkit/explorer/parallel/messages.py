"""What the processes of a parallel search tell each other."""

from __future__ import annotations

import importlib
import io
import pickle
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from bankkit.explorer.running.settings import Settings, Subject
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.strategies.prefixes import Prefix
from bankkit.explorer.strategies.strategy import Bound

ELSEWHERE = "workers > 1 needs code that other processes can import"


@dataclass(frozen=True)
class Job:
    """The share of one process in a search."""

    code: Subject
    settings: Settings
    part: str
    """`prefixes`, `drawn`, or which of the searches of a `Deepening` it makes."""
    number: int
    """Which of the processes it is, from 0 on."""
    seconds: float
    """How much time is left."""


@dataclass
class Report:
    """What a process has found at the end of its job, or below a prefix."""

    ran: int = 0
    """How many schedules it has run, all in all."""
    found: Schedule | None = None
    limit: str = ""
    unreduced: str = ""
    exhausted: Bound | None = None
    begun: int = 0
    random: int = 0
    wants_more: bool = False
    """Whether it waits for another prefix."""
    seen: dict[int, int] = field(default_factory=dict)
    """The trace prefixes that a reduction has seen, to be compared with those of the others."""
    sleeps: bool = False
    """Whether the search must begin again, and let threads sleep in loops that only look."""
    doubts: dict[str, None] = field(default_factory=dict)
    """What it has not looked at, as sentences."""
    error: BaseException | None = None
    """Why the scenario cannot be explored."""


Task = Prefix | None
"""A prefix to search below; None if there is no other."""


class _Importable(pickle.Pickler):
    """Pickles functions, classes and modules by name, and refuses those that have none."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, ModuleType):
            _refuse_main(thing.__name__, thing.__name__)
            return importlib.import_module, (thing.__name__,)
        if isinstance(thing, FunctionType | BuiltinFunctionType | type):
            _refuse_main(thing.__module__, thing.__qualname__)
        return NotImplemented


def _refuse_main(module: str | None, name: str) -> None:
    if module == "__main__":
        raise ValueError(
            f"{ELSEWHERE}: move {name} from __main__, which may be a notebook, to a module."
        )


def packed(job: Job) -> bytes:
    """A job as bytes. ValueError, in one sentence, if another process could not import its code."""
    data = io.BytesIO()
    try:
        _Importable(data, pickle.HIGHEST_PROTOCOL).dump(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"{ELSEWHERE}: functions and classes at the top level of a module ({reason})."
        ) from None
    return data.getvalue()


def portable(error: BaseException) -> BaseException:
    """The error, or one with its words if it cannot be sent to another process."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # whatever its class does
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
