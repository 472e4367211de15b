"""A decorator that makes a scenario a test: it passes only if the explorer answers `ok`.

    from bankkit.explorer import explored

    @explored(preemptions=2)
    def test_two_deposits(threading):
        account = threading.shared(balance=0)
        ...

It needs no pytest: a call of the decorated function explores, and raises `BrokenSchedule` for a
bug. Under pytest, the plugin `pytest_bankkit` also saves the failing schedule and says how to
replay it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, overload

from bankkit.explorer.exploration import explore
from bankkit.explorer.running.arguments import CODE, checked_code, checked_settings
from bankkit.explorer.running.replay_run import replay
from bankkit.explorer.schedules.schedule import Outcome, Schedule
from bankkit.explorer.strategies.named import is_random

PARAMETER = "threading"
"""The parameter of a scenario that gets the explorer's `threading`."""

Test = Callable[..., Any]

schedule_to_replay: Schedule | None = None
"""The schedule that an explored test runs instead of a search; the pytest plugin sets it."""


class BrokenSchedule(AssertionError):
    """A schedule fails. The text has the reason and the table of its steps."""

    def __init__(self, text: str, outcome: Outcome) -> None:
        super().__init__(text)
        self.outcome = outcome
        """How the schedule ended, with the schedule itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.outcome), self.__dict__


class NotExplored(AssertionError):
    """The explorer found no bug, but does not answer `ok` either. The text has the reason."""


@overload
def explored(scenario: Test, /) -> Test: ...


@overload
def explored(**options: Any) -> Callable[[Test], Test]: ...


def explored(scenario: Test | None = None, /, **options: Any) -> Any:
    """Makes a scenario a test that explores it with these options, which are those of `explore`.

    The function must have a parameter `threading`; its other parameters stay, so that pytest can
    fill them with fixtures and parametrized values. They are the same objects for all schedules: a
    scenario must not change them.

    The test raises `BrokenSchedule` for a bug, and `NotExplored` if the verdict is not `ok`, for
    example because a limit was reached. With a random strategy it passes if there is no bug.
    TypeError for a function without the parameter, for an `async def` and a generator, and for an
    option that `explore` does not have; TypeError or ValueError for one that it refuses.
    """
    if scenario is None:
        inspect.signature(explore).bind(None, **options)
        checked_code(lambda threading: None, options)  # a bad option is an error here
        if checked_settings(options).workers > 1:
            raise ValueError("A test is searched by one worker: `pytest -n` divides the tests.")
        return lambda function: _explored(function, options)
    return _explored(scenario, options)


def _explored(function: Test, options: dict[str, Any]) -> Test:
    signature = inspect.signature(function)
    if PARAMETER not in signature.parameters:
        raise TypeError(
            f"{function.__qualname__} needs a parameter named {PARAMETER}: the explorer passes its "
            f"own module threading there."
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} must be a plain function: it is never awaited.")
    rest = [each for name, each in signature.parameters.items() if name != PARAMETER]

    @wraps(function)
    def test(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        given = signature.replace(parameters=rest).bind(*arguments, **named).arguments

        def scenario(threading: Any) -> None:
            function(**given, **{PARAMETER: threading})

        _run(scenario, options)

    test.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return test


def _run(scenario: Callable[[Any], None], options: dict[str, Any]) -> None:
    __tracebackhide__ = True
    if schedule_to_replay is not None:
        same = {name: options[name] for name in CODE if name in options}
        outcome = replay(scenario, schedule_to_replay, **same)
        if outcome.kind != "ended":
            raise BrokenSchedule(str(outcome), outcome) from outcome.error
        return
    result = explore(scenario, **options)
    if result.bug is not None:
        raise BrokenSchedule(str(result), result.bug) from result.bug.error
    if result.verdict != "ok" and not is_random(options.get("strategy")):
        raise NotExplored(str(result))
