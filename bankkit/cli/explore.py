"""The command `explore`: runs a scenario under every schedule, from a shell."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bankkit.explorer import Schedule

DESCRIPTION = """\
Run a scenario under every schedule within a bound, and print a schedule that
breaks it, if there is one.

SCENARIO is module:function, or path/to/file.py:function. The function takes one
argument, the explorer's replacement of the module threading.

Exit status: 0 if every schedule ended well; 1 if one fails; 2 if an argument is
bad; 3 if a limit was reached, or the scenario cannot be explored.
"""

OK, BUG, USAGE, UNKNOWN = range(4)

OPTIONS = (
    "preemptions", "timeouts", "strategy", "delays", "depth", "seed", "schedules", "seconds",
    "workers",
)  # fmt: skip
"""The options of `explore` that its own defaults stand for if they are not given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `explore`, except those that only Python code can give."""
    parser.add_argument("scenario", metavar="SCENARIO")
    bound: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("--preemptions", **bound, help="at most this many in a schedule")
    parser.add_argument("--timeouts", **bound, help="at most this many early ones in a schedule")
    parser.add_argument("--no-reduction", action="store_true", help="run equivalent schedules too")
    parser.add_argument("--strategy", help="exhaustive, delay, pct, pos, surw or random")
    parser.add_argument("--delays", **bound, help="of delay: at most this many in a schedule")
    parser.add_argument("--depth", **bound, help="of pct: steps that must be in a certain order")
    parser.add_argument("--seed", **bound, help="of strategies that draw schedules")
    parser.add_argument("--schedules", **bound, help="stop after this many")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after this time")
    parser.add_argument("--workers", **bound, help="so many processes search (1)")
    parser.add_argument("--steps", **bound, help="the longest schedule")
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module whose threading and time are replaced; may be repeated",
    )
    parser.add_argument(
        "--lines",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="code whose every line is a step; may be repeated",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write a failing schedule here")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run only this saved schedule")


def main(options: argparse.Namespace) -> int:
    """Explores, or replays a schedule; returns the exit status. ValueError for a bad argument."""
    from bankkit.explorer import ScenarioError, explore, replay

    scenario: Callable[[Any], object] = _named(options.scenario)
    if not callable(scenario):
        raise ValueError(f"{options.scenario} is not a function.")
    code: dict[str, Any] = {
        "patch": [_named(name) for name in options.patch],
        "lines": [_named(name) for name in options.lines],
    }
    if options.steps is not None:
        code["steps"] = options.steps
    try:
        if options.replay:
            outcome = replay(scenario, _saved(options.replay), **code)
            print(outcome)
            return OK if outcome.kind == "ended" else BUG
        given: dict[str, Any] = {
            name: value for name in OPTIONS if (value := getattr(options, name)) is not None
        }
        result = explore(scenario, reduction=not options.no_reduction, **given, **code)
    except ScenarioError as error:
        print(f"bankkit: {type(error).__name__}: {error}", file=sys.stderr)
        return UNKNOWN
    except TypeError as error:
        raise ValueError(error) from None
    print(result)
    if result.bug is None:
        return OK if result.verdict == "ok" else UNKNOWN
    if options.save:
        options.save.write_text(result.bug.schedule.to_json(), encoding="utf-8")
        print(f"The schedule is in {options.save}: replay it with --replay {options.save}")
    return BUG


def _saved(path: Path) -> Schedule:
    from bankkit.explorer import Schedule

    try:
        return Schedule.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _named(name: str) -> Any:
    """What `module`, `module:name` or `file.py:name` names; imports the module."""
    head, _, path = name.rpartition(":")
    place = head if len(head) > 1 else name  # C:\\file.py has no name after its colon
    path = path if place == head else ""
    if place.endswith(".py"):
        found = _from_file(Path(place))
    else:
        if "" not in sys.path:
            sys.path.append("")  # the current folder, behind everything that it could hide
        try:
            found = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise  # the module exists, and imports one that does not
            raise ValueError(f"There is no module {error.name}.") from None
    for part in filter(None, path.split(".")):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"{place} has no {path}.") from None
    return found


def _from_file(path: Path) -> Any:
    """The module in a file, imported as by its folder's own scripts."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    sys.path.append(str(path.absolute().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
