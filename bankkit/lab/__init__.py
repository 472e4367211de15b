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

Each returns a card or a picture, so it is the last line of its cell. `hint`, `answer` and the
letter in `predict("01.duplicate", "B")` do what the buttons do. `reset(id)` and `reset_progress()`
forget.
"""

import importlib.util

if importlib.util.find_spec("ipywidgets") is None:
    raise ImportError("bankkit.lab needs ipywidgets: pip install 'bankkit[lab]'")

from bankkit.lab.course import Course, Record
from bankkit.lab.exercises import Exercise, Prediction, Registry, Wrong
from bankkit.lab.life import life
from bankkit.lab.line import Line
from bankkit.lab.overlaps import overlaps
from bankkit.lab.progress_file import ProgressFile
from bankkit.lab.race import race
from bankkit.lab.race_result import RaceResult
from bankkit.lab.recorder import Recording, after_read, record
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
    "Exercise",
    "Line",
    "Prediction",
    "RaceResult",
    "Record",
    "Recording",
    "Wrong",
    "after_read",
    "answer",
    "check",
    "exercise",
    "hint",
    "life",
    "overlaps",
    "predict",
    "progress",
    "race",
    "record",
    "records",
    "registry",
    "reset",
    "reset_progress",
    "reveal",
    "system",
]
