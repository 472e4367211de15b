"""A bad argument is refused before anything runs, in one sentence that names it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from bankkit.cli.main import main
from bankkit.explorer import Run, explore, explored, replay
from tests.explorer.test_strategies import Alternating, nothing

NAN, INFINITY = float("nan"), float("inf")
KINDS: dict[type[Exception], dict[str, tuple[Any, ...]]] = {
    TypeError: {
        "preemptions": ("2", 2.0, True, NAN, [2]),
        "timeouts": ("0", 0.5, False),
        "seed": ("lucky", 1.5, True),
        "schedules": (None, "9", 1e6, True),
        "steps": (None, 10.0, "many"),
        "seconds": (None, "60", True, [1], 1j),
        "reduction": (None, 0, "no"),
        "strategy": (3, True, ["pct"]),
        "timing": (None, 1),
        "patch": (3, None, ["json"], [3]),
        "lines": (3, None, "abc", b"abc"),
    },
    ValueError: {
        "preemptions": (-1,),
        "timeouts": (-1, -(10**30)),
        "seed": (-1,),
        "schedules": (0, -5),
        "steps": (0,),
        "seconds": (0, 0.0, -1, NAN, INFINITY, -INFINITY),
        "strategy": ("lucky", "PCT", ""),
        "timing": ("soon",),
        "patch": ("none",),
    },
}
BAD = [
    (kind, name, value)
    for kind, names in KINDS.items()
    for name, values in names.items()
    for value in values
]


def never(threading: Any) -> None:
    pytest.fail("It ran.")


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_bad_value_is_refused(kind: type[Exception], name: str, value: Any) -> None:
    """By `explore`, by the decorator where it is written, and by what replays."""
    doors: list[Any] = [partial(explore, never), explored]
    if name in ("steps", "timing", "lines", "patch"):
        doors += [partial(Run, never), partial(replay, never, explored_schedule())]
    for door in doors:
        with pytest.raises(kind) as caught:
            door(**{name: value})
        assert name in str(caught.value)
        assert str(caught.value).count(". ") == 0


def explored_schedule() -> Any:
    """A schedule."""
    run = Run(nothing)
    run.close()
    return run.schedule


@pytest.mark.parametrize("scenario", [3, None, "module:scenario", lambda: None, lambda a, b: None])
def test_what_is_no_scenario_is_refused(scenario: Any) -> None:
    """It is no bug of the program under test."""
    for door in (explore, Run, lambda scenario: replay(scenario, explored_schedule())):
        with pytest.raises(TypeError, match="scenario"):
            door(scenario)


@pytest.mark.parametrize("schedule", [None, (), "{}", b"", 3])
def test_what_is_no_schedule_is_refused(schedule: Any) -> None:
    with pytest.raises(TypeError, match="must be a Schedule"):
        replay(never, schedule)
    if schedule is not None:
        with pytest.raises(TypeError, match="must be a Schedule"):
            Run(never, schedule)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 3}, "depth is an option of strategy='pct'"),
        ({"depth": 3, "strategy": "pos"}, "depth is an option of strategy='pct'"),
        ({"delays": 1}, "delays is an option of strategy='delay'"),
        ({"delays": 1, "strategy": "pct"}, "delays is an option of strategy='delay'"),
        ({"strategy": "pct", "depth": 0}, "depth must be a whole number from 1 on"),
        ({"strategy": "pct", "depth": True}, "depth must be a whole number"),
        ({"strategy": "pct", "reduction": False}, "'pct' never reduces"),
        ({"strategy": "delay", "reduction": False}, "'delay' never reduces"),
        ({"strategy": Alternating, "reduction": False}, "this strategy never reduces"),
        ({"strategy": "exhaustive", "seed": 1}, "'exhaustive' does not"),
        ({"preemptions": 1, "seed": 1}, "a search with preemptions does not"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], words: str
) -> None:
    for door in (partial(explore, never), explored):
        with pytest.raises((TypeError, ValueError), match=words):
            door(**options)


def test_an_unknown_strategy_hears_which_there_are() -> None:
    with pytest.raises(ValueError, match="'exhaustive', 'delay', 'pct', 'pos', 'surw', 'random'"):
        explore(never, strategy="dfs")  # type: ignore[arg-type]


def test_good_values_of_other_types_are_taken() -> None:
    """What acts as a whole number is one."""

    class Two:
        def __index__(self) -> int:
            return 2

    result = explore(nothing, preemptions=Two(), seconds=60)  # type: ignore[arg-type]
    assert result.bound.preemptions == 2


@pytest.mark.parametrize(
    "option",
    ["--preemptions=-1", "--preemptions=x", "--seconds=0", "--seconds=inf", "--schedules=0",
     "--strategy=lucky", "--depth=3", "--delays=1", "--seed=-1", "--steps=0"],
)  # fmt: skip
def test_the_command_refuses_them_too(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["explore", "tests.explorer.test_strategies:nothing", option])
    except SystemExit as stopped:  # argparse
        status = int(str(stopped.code))
    assert status in (1, 2)
    assert option[2:].partition("=")[0] in capsys.readouterr().err


def test_a_limit_of_one_is_told_in_the_singular() -> None:
    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def work() -> None:
            with lock:
                pass

        threading.together(work, work)

    assert explore(scenario, schedules=1).limit == "the limit of 1 schedule was reached"
    assert explore(scenario, steps=1).limit.startswith("after 1 step thread")
