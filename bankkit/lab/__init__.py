"""The functions that lessons use: predictions, exercises, recordings, pictures and experiments.

In a lesson:

    lab.predict("01.duplicate")                 # ask before the cell that answers it
    lab.reveal("01.duplicate", saw=code.name)   # compare with the prediction, and explain
    lab.exercise("01.safe_open")                # show a task, with hints and a locked answer
    lab.check("01.safe_open", safe_open)        # say what is wrong, or that it is right
    lab.progress()                              # show the progress in the whole course

    with lab.record(bank) as recording:         # record what happens to each call
        recording.stub.GetBalance(request)
    lab.life(recording.last)                    # draw one call, step by step
    lab.overlaps(recording)                     # draw which calls held the lock when

    result = lab.race("none", mode="forced")    # lose an update, on every machine
    lab.timeline(result)                        # see which write overwrote which

    lab.be_the_scheduler("lose 100")            # step two threads into a lost update

    lab.run_lock_script(MyLock, "ann reads, ben writes")    # use a lock step by step

    result = lab.holder_paused(fencing=False)       # pause a server until its lease expires

    lab.slots(bank)                                 # draw where a Redis Cluster keeps the accounts
    log = lab.CallLog()                             # log the answers to clients while nodes fail
    lab.outage(log)                                 # draw which clients were not served, how long

Most return a card or a picture, so each such call is the last line of its cell. `hint`, `answer`
and the letter in `predict("01.duplicate", "B")` do the same as the buttons. `reset(id)` and
`reset_progress()` delete progress.
"""

import importlib.util

if importlib.util.find_spec("ipywidgets") is None:
    raise ImportError("bankkit.lab needs ipywidgets: pip install 'bankkit[lab]'")

from bankkit.explorer.answers.result import Result
from bankkit.explorer.errors import ScenarioError, Unsupported
from bankkit.explorer.exploration import explore
from bankkit.explorer.running.laboratory import Diverged, Stuck
from bankkit.explorer.running.replay_run import Run, replay
from bankkit.explorer.schedules.schedule import Outcome, Schedule
from bankkit.explorer.starvation import Starvation, explore_starvation
from bankkit.lab.course.course import Course, Record
from bankkit.lab.course.exercises import Exercise, Prediction, Registry, Wrong
from bankkit.lab.course.progress_file import ProgressFile
from bankkit.lab.drawing.system import system
from bankkit.lab.faults.crash_experiments import (
    holder_killed,
    holder_paused,
    redis_restarted,
    two_servers,
)
from bankkit.lab.faults.crash_result import CrashResult
from bankkit.lab.faults.lossy_proxy import LossyProxy
from bankkit.lab.racing.lock_script import run_lock_script
from bankkit.lab.racing.loss_rate import loss_rate
from bankkit.lab.racing.panel import RacePanel, race_panel
from bankkit.lab.racing.race import race
from bankkit.lab.racing.race_result import RaceResult
from bankkit.lab.racing.starvation import measure_starvation, phases, waits
from bankkit.lab.racing.tradeoff import tradeoff
from bankkit.lab.recording.export import chrome_trace, to_csv
from bankkit.lab.recording.recorder import Recording, after_read, record
from bankkit.lab.replication.call_log import CallLog
from bankkit.lab.replication.outage import outage
from bankkit.lab.replication.slots import slots
from bankkit.lab.schedules.redis_steps import RedisPoints
from bankkit.lab.schedules.schedule_figure import schedule_timeline
from bankkit.lab.schedules.stepper import Stepper, be_the_scheduler
from bankkit.lab.schedules.tree import explored_tree
from bankkit.lab.timelines.call_life import life
from bankkit.lab.timelines.overlaps import overlaps
from bankkit.lab.timelines.timeline import timeline

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
    "LossyProxy",
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
    "Starvation",
    "Stepper",
    "Stuck",
    "Unsupported",
    "Wrong",
    "after_read",
    "answer",
    "be_the_scheduler",
    "check",
    "chrome_trace",
    "exercise",
    "explore",
    "explore_starvation",
    "explored_tree",
    "hint",
    "holder_killed",
    "holder_paused",
    "life",
    "loss_rate",
    "measure_starvation",
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
    "run_lock_script",
    "schedule_timeline",
    "slots",
    "system",
    "timeline",
    "to_csv",
    "tradeoff",
    "two_servers",
    "waits",
]
