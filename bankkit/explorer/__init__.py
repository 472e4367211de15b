"""Runs a program of several threads under every schedule, and finds one that breaks it.

    from bankkit.explorer import explore

    def scenario(threading):
        counter = threading.shared(value=0)

        def add():
            counter.value = counter.value + 1

        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counter.value == 2

    print(explore(scenario))  # bug: the schedule that loses one of the two additions

The explorer needs greenlet, and of bankkit only `bankkit.histories`: its checks find an order that
explains what the threads' calls returned, as in `explore(scenario, check=linearizable(model))`. The
docstring of `bankkit.explorer.exploration` says what a scenario is. The next schedule is chosen by
one of the `strategies`. Each room here says in its `__init__.py` what lives there, and imports only
rooms below it, in the order that `pyproject.toml` has.
"""

from bankkit.explorer.answers.overtaking import Overtaken
from bankkit.explorer.answers.result import Result
from bankkit.explorer.certificate.certificate import Certificate
from bankkit.explorer.decorator import BrokenSchedule, NotExplored, explored
from bankkit.explorer.errors import ScenarioError, Unsupported
from bankkit.explorer.exploration import explore
from bankkit.explorer.running.laboratory import Diverged, Stuck
from bankkit.explorer.running.replay_run import Run, replay
from bankkit.explorer.schedules.history_check import FailedCheck
from bankkit.explorer.schedules.schedule import Explanation, Move, Outcome, Schedule
from bankkit.explorer.starvation import Starvation, explore_starvation
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy
from bankkit.histories import linearizable, sequentially_consistent

__all__ = [
    "Bound",
    "BrokenSchedule",
    "Certificate",
    "Diverged",
    "Explanation",
    "FailedCheck",
    "Move",
    "NotExplored",
    "Outcome",
    "Overtaken",
    "Result",
    "Run",
    "ScenarioError",
    "Schedule",
    "Starvation",
    "Step",
    "Strategy",
    "Stuck",
    "Unsupported",
    "explore",
    "explore_starvation",
    "explored",
    "linearizable",
    "replay",
    "sequentially_consistent",
]
