"""What lessons need: predictions, exercises with checks, and a learner's progress.

In a lesson:

    lab.predict("01.duplicate")                 # ask, before the cell that answers it
    lab.reveal("01.duplicate", saw=code.name)   # compare with what was kept, and explain
    lab.exercise("01.safe_open")                # a task, with hints and a gated answer
    lab.check("01.safe_open", safe_open)        # what is wrong in plain words, or that it is right
    lab.progress()                              # the table over the course

    with lab.record(bank) as recording:         # note what happens to each call
        recording.stub.GetBalance(request)
    lab.life(recording.last)                    # draw one call's life
    lab.overlaps(recording)                     # draw who held the lock when

    result = lab.race("none", mode="forced")    # lose an update, on every machine
    lab.timeline(result)                        # see who overwrote whom

    lab.be_the_scheduler("lose 100")            # step two threads into it by hand

    lab.act_out(MyLock, "ann reads, ben writes")    # a lock, step by step

    result = lab.holder_paused(fencing=False)       # a server that sleeps through its lease

    lab.slots(bank)                                 # where a Redis Cluster keeps the accounts
    log = lab.CallLog()                             # what clients are told while nodes die
    lab.outage(log)                                 # and who was not served, and for how long

Each returns a card or a picture, so it is the last line of its cell. `hint`, `answer` and the
letter in `predict("01.duplicate", "B")` do what the buttons do. `reset(id)` and `reset_progress()`
forget.
"""

import importlib.util

if importlib.util.find_spec("ipywidgets") is None:
    raise ImportError("bankkit.lab needs ipywidgets: pip install 'bankkit[lab]'")

from bankkit.lab.beyond.call_log import CallLog
from bankkit.lab.beyond.outage import outage
from bankkit.lab.beyond.slots import slots
from bankkit.lab.course import Course, Record
from bankkit.lab.crashing.crash_result import CrashResult
from bankkit.lab.crashing.experiments import (
    holder_killed,
    holder_paused,
    redis_restarted,
    two_servers,
)
from bankkit.lab.exercises import Exercise, Prediction, Registry, Wrong
from bankkit.lab.exploring.explorer import Result, explore
from bankkit.lab.exploring.laboratory import Diverged, ScenarioError, Stuck
from bankkit.lab.exploring.redis_points import RedisPoints
from bankkit.lab.exploring.replaying import Run, replay
from bankkit.lab.exploring.schedule_figure import schedule_timeline
from bankkit.lab.exploring.schedules import Outcome, Schedule
from bankkit.lab.exploring.stepper import Stepper, be_the_scheduler
from bankkit.lab.exploring.tree import explored_tree
from bankkit.lab.line import Line
from bankkit.lab.progress_file import ProgressFile
from bankkit.lab.racing.act_out import act_out
from bankkit.lab.racing.loss_rate import loss_rate
from bankkit.lab.racing.panel import RacePanel, race_panel
from bankkit.lab.racing.race import race
from bankkit.lab.racing.race_result import RaceResult
from bankkit.lab.racing.rush_hour import phases, rush_hour, waits
from bankkit.lab.racing.tradeoff import tradeoff
from bankkit.lab.recording.export import chrome_trace, to_csv
from bankkit.lab.recording.life import life
from bankkit.lab.recording.overlaps import overlaps
from bankkit.lab.recording.recorder import Recording, after_read, record
from bankkit.lab.recording.timeline import timeline
from bankkit.lab.system import system

_course = Course(Registry("bankkit.lab.lessons"), ProgressFile())

predict = _course.predict
reveal = _course.reveal
exercise = _course.exercise
check = _course.check
hint = _course.hint
answer = _course.answer
progress = _course.progress
records = _course.records
reset = _course.reset
reset_progress = _course.reset_progress
registry = _course.registry

__all__ = [
    "CallLog",
    "CrashResult",
    "Diverged",
    "Exercise",
    "Line",
    "Outcome",
    "Prediction",
    "RacePanel",
    "RaceResult",
    "Record",
    "Recording",
    "RedisPoints",
    "Result",
    "Run",
    "ScenarioError",
    "Schedule",
    "Stepper",
    "Stuck",
    "Wrong",
    "act_out",
    "after_read",
    "answer",
    "be_the_scheduler",
    "check",
    "chrome_trace",
    "exercise",
    "explore",
    "explored_tree",
    "hint",
    "holder_killed",
    "holder_paused",
    "life",
    "loss_rate",
    "outage",
    "overlaps",
    "phases",
    "predict",
    "progress",
    "race",
    "race_panel",
    "record",
    "records",
    "redis_restarted",
    "registry",
    "replay",
    "reset",
    "reset_progress",
    "reveal",
    "rush_hour",
    "schedule_timeline",
    "slots",
    "system",
    "timeline",
    "to_csv",
    "tradeoff",
    "two_servers",
    "waits",
]
