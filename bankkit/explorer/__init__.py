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

The explorer needs greenlet and nothing else of bankkit. The docstring of
`bankkit.explorer.exploration` says what a scenario is. The next schedule is chosen by one of the
`strategies`.
"""

from bankkit.explorer.decorator import BrokenSchedule, NotExplored, explored
from bankkit.explorer.errors import ScenarioError, Unsupported
from bankkit.explorer.exploration import Result, explore
from bankkit.explorer.laboratory import Diverged, Stuck
from bankkit.explorer.overtaking import Overtaken
from bankkit.explorer.replay_run import Run, replay
from bankkit.explorer.schedule import Move, Outcome, Schedule
from bankkit.explorer.starvation import Starvation, explore_starvation
from bankkit.explorer.strategies.depth_first import Bound

__all__ = [
    "Bound",
    "BrokenSchedule",
    "Diverged",
    "Move",
    "NotExplored",
    "Outcome",
    "Overtaken",
    "Result",
    "Run",
    "ScenarioError",
    "Schedule",
    "Starvation",
    "Stuck",
    "Unsupported",
    "explore",
    "explore_starvation",
    "explored",
    "replay",
]
