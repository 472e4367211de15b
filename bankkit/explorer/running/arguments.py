"""The arguments of `explore`, `replay` and `Run` are checked here, before anything runs."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from bankkit.explorer.running.settings import Settings, Subject
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.strategies.named import NAMES, RANDOM, is_random

_COUNTS = {"preemptions": 0, "timeouts": 0, "delays": 0, "depth": 1, "seed": 0}
"""Whole numbers that may be left out, each with the smallest."""
_LIMITS = {"schedules": 1, "steps": 1, "workers": 1}
"""Whole numbers that may not."""
CODE = ("patch", "lines", "steps", "timing", "check")
"""The options that `replay` has, too."""


def checked_code(scenario: Any, options: Mapping[str, Any]) -> Subject:
    """A scenario with its options that `CODE` names. TypeError or ValueError if bad."""
    _check_scenario(scenario)
    given = {name: _checked(name, options[name]) for name in CODE if name in options}
    return Subject(scenario, **given)


def checked_settings(options: Mapping[str, Any]) -> Settings:
    """The other options of `explore`. TypeError or ValueError for a bad one or two that clash."""
    given = {
        name: _checked(name, value)
        for name, value in options.items()
        if name == "timing" or name not in CODE
    }
    settings = Settings(**given)
    _check_together(settings)
    return settings


def checked_schedule(schedule: Any) -> Schedule:
    """A schedule to run again. TypeError for anything else."""
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"schedule must be a Schedule, such as result.bug.schedule or what Schedule.from_json "
            f"returns, not {_shown(schedule)}."
        )
    return schedule


def _check_scenario(scenario: Any) -> None:
    if not callable(scenario):
        raise TypeError(
            f"A scenario is a function that takes the explorer's `threading`, not "
            f"{_shown(scenario)}."
        )
    try:
        signature = inspect.signature(scenario)
    except (TypeError, ValueError):  # some functions that are written in C have none
        return
    try:
        signature.bind(None)
    except TypeError:
        name = getattr(scenario, "__qualname__", type(scenario).__qualname__)
        raise TypeError(
            f"{name}{signature} cannot be a scenario: it must work with one argument, the "
            f"explorer's `threading`."
        ) from None


def _checked(name: str, value: Any) -> Any:
    if name in _COUNTS:
        return None if value is None else _whole(name, value, _COUNTS[name], " or None")
    if name in _LIMITS:
        return _whole(name, value, _LIMITS[name], "")
    return _CHECKS[name](value)


def _whole(name: str, value: Any, smallest: int, otherwise: str) -> int:
    wanted = f"{name} must be a whole number from {smallest} on{otherwise}, not {_shown(value)}."
    if isinstance(value, bool):
        raise TypeError(wanted)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(wanted) from None
    if number < smallest:
        raise ValueError(wanted)
    return number


def _seconds(value: Any) -> float:
    wanted = f"seconds must be a finite number above 0, not {_shown(value)}."
    if isinstance(value, bool | str | bytes):
        raise TypeError(wanted)
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(wanted) from None
    if not 0 < seconds < math.inf:
        raise ValueError(wanted)
    return seconds


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {_shown(value)}.")
    return value


def _strategy(value: Any) -> Any:
    names = ", ".join(map(repr, NAMES))
    wanted = f"strategy must be one of {names}, None, or a class of your own, not {_shown(value)}."
    if value is None or callable(value):
        return value
    if not isinstance(value, str):
        raise TypeError(wanted)
    if value not in NAMES:
        raise ValueError(wanted)
    return value


def _timing(value: Any) -> Any:
    wanted = f"timing must be 'any' or 'ordered', not {_shown(value)}."
    if not isinstance(value, str):
        raise TypeError(wanted)
    if value not in ("any", "ordered"):
        raise ValueError(wanted)
    return value


def _patch(value: Any) -> Any:
    if isinstance(value, ModuleType):
        raise TypeError(f"patch= takes several modules: patch=[{value.__name__}].")
    if isinstance(value, str) and value == "all":
        return value
    wanted = f"patch= takes modules or 'all', not {_shown(value)}."
    if isinstance(value, str):
        raise ValueError(wanted)
    if not isinstance(value, Iterable):
        raise TypeError(wanted)
    modules = tuple(value)
    for each in modules:
        if not hasattr(each, "__dict__"):  # what has names like a module will do
            raise TypeError(f"patch= takes modules or 'all', not a list with {_shown(each)}.")
    return modules


def _lines(value: Any) -> tuple[object, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"lines must be a list of functions, classes or modules, not {_shown(value)}."
        )
    return tuple(value)


def _check(value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(
            f"check= must be a function of a history, such as linearizable(model), not "
            f"{_shown(value)}."
        )
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "check": _check,
    "seconds": _seconds,
    "reduction": partial(_yes_or_no, "reduction"),
    "overtaken": partial(_yes_or_no, "overtaken"),
    "strategy": _strategy,
    "timing": _timing,
    "patch": _patch,
    "lines": _lines,
}


def _check_together(settings: Settings) -> None:
    """Refuse options that the chosen strategy would not use."""
    strategy = settings.strategy
    named = repr(strategy) if isinstance(strategy, str) else "this strategy"
    if settings.depth is not None and strategy != "pct":
        raise ValueError("depth is an option of strategy='pct' only.")
    if settings.delays is not None and strategy != "delay":
        raise ValueError("delays is an option of strategy='delay' only.")
    if not settings.reduction and strategy not in (None, "exhaustive"):
        raise ValueError(f"reduction=False belongs to an exhaustive search; {named} never reduces.")
    if settings.workers > 1 and settings.overtaken:
        raise ValueError("overtaken=True needs workers=1.")
    if settings.workers > 1 and strategy == "delay" and settings.delays is None:
        raise ValueError("workers > 1 needs a number of delays for strategy='delay'.")
    if settings.workers > 1 and callable(strategy) and not is_random(strategy):
        raise ValueError("workers > 1 cannot divide an exhaustive strategy of your own.")
    draws = callable(strategy) or strategy in RANDOM or settings.deepens
    if settings.seed is not None and not draws:
        searches = named if strategy else "a search with preemptions"
        raise ValueError(f"seed is for strategies that draw schedules, and {searches} does not.")


def _shown(value: Any) -> str:
    """A value in an error, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
