"""A pytest plugin for tests that are decorated with `bankkit.explorer.explored`.

It saves the schedule of a failed test in pytest's cache, and `--replay FILE` runs that test with
this schedule again. It imports bankkit only if a test has done so: an installed bankkit changes
nothing about the tests of other projects.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

TEST = "test"
"""The key of the test's node id in a saved schedule."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--replay`; only its long form if the plugin pytest-replay, which has one, is there."""
    names = ["--replay-schedule"]
    if importlib.util.find_spec("pytest_replay") is None:
        names.append("--replay")
    parser.getgroup("bankkit").addoption(
        *names,
        dest="replay_schedule",
        metavar="FILE",
        help="run only the explored test of this file, with the schedule that failed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Reads the file of `--replay`. A bad one is an error of usage."""
    path = config.getoption("replay_schedule")
    if not path:
        return
    from bankkit.explorer import Schedule

    try:
        text = Path(path).read_text(encoding="utf-8")
        saved = json.loads(text)
        config.stash[_REPLAYED] = (saved[TEST], Schedule.from_json(text))
    except OSError as error:
        raise pytest.UsageError(f"--replay: {path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise pytest.UsageError(f"--replay: {path} is not a saved schedule: {error}") from None


_REPLAYED = pytest.StashKey[tuple[str, Any]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--replay`, deselects all other tests. It is an error if the test is not collected."""
    test, _ = config.stash.get(_REPLAYED, ("", None))
    if not test:
        return
    others = [item for item in items if item.nodeid != test]
    if len(others) == len(items):
        raise pytest.UsageError(f"--replay: the file is of {test}, which was not collected")
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item.nodeid == test]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Gives the test of `--replay` its schedule."""
    __tracebackhide__ = True
    test, schedule = item.config.stash.get(_REPLAYED, ("", None))
    if not test:
        return (yield)
    from bankkit.explorer import decorator

    decorator.schedule_to_replay = schedule
    try:
        return (yield)
    finally:
        decorator.schedule_to_replay = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Saves the schedule of a failed test, and says how to replay it."""
    report = yield
    module = sys.modules.get("bankkit.explorer.decorator")
    if module is None or call.excinfo is None or item.config.stash.get(_REPLAYED, None):
        return report
    error = call.excinfo.value
    if isinstance(error, module.BrokenSchedule) and hasattr(item.config, "cache"):
        path = _save(item, error.outcome.schedule)
        here = item.config.invocation_params.dir
        test = _from(here, item.path) + item.nodeid[item.nodeid.index("::") :]
        line = shlex.join(["pytest", test, "--replay", _from(here, path)])
        report.sections.append(("the schedule that failed", f"replay it with: {line}"))
    return report


def _save(item: pytest.Item, schedule: Any) -> Path:
    """Writes the schedule and the id of its test to a file in pytest's cache."""
    name = re.sub(r"\W+", "_", item.nodeid)[-100:]
    path = Path(item.config.cache.mkdir("explored")) / f"{name}.json"
    saved = {TEST: item.nodeid, **json.loads(schedule.to_json())}
    path.write_text(json.dumps(saved, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def _from(folder: Path, path: Path) -> str:
    """The path as somebody in this folder writes it."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return str(path)
