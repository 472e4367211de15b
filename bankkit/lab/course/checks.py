"""Judges a submission. Whatever it is or does, the result is a short text for the learner."""

import dis
import hashlib
import inspect
import linecache
import re
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import CodeType
from typing import Any, Literal

from bankkit.lab.course.exercises import Exercise, Wrong
from bankkit.lab.course.time_limit import Printed, TimeUp, printed, run_limited
from bankkit.launch.running_bank import STOPPED

LIMIT_SECONDS = 10.0

Outcome = Literal[
    "right",
    "wrong",  # the check found a fault
    "unusable",  # the check could not use what the learner's code returned
    "failed",  # the learner's code raised an error or did not end
    "nothing yet",  # the submission is still the stub
    "interrupted",  # the learner interrupted the check
    "not checked",  # no check was possible, for example without a bank
]
Finding = tuple[Outcome, str]


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    `shown` belongs to the text and keeps its line breaks; `output` is what the learner's code
    printed. `fingerprint` is the same for submissions that differ only in layout and comments.
    """

    exercise: Exercise
    outcome: Outcome
    text: str
    shown: str = ""
    output: str = ""
    fingerprint: str = ""

    @property
    def is_try(self) -> bool:
        """Whether this check counts as a try."""
        return self.outcome in ("right", "wrong", "unusable", "failed")


def judge(exercise: Exercise, submission: Any, limit: float = LIMIT_SECONDS) -> Verdict:
    """Check a submission. The learner's code may run for `limit` seconds. Raises nothing."""
    files: set[str] = set()
    sink = Printed()
    fingerprint = shown = ""

    def theirs(code: CodeType) -> bool:
        name = code.co_filename
        return name in files or "ipykernel_" in name or name.startswith("<ipython-input")

    def inspect_submission() -> tuple[str, Finding | None]:
        files.update(code.co_filename for code in _code_objects(submission))
        return _fingerprint(submission), _finding_before_run(exercise, submission)

    def run() -> Finding:
        nonlocal shown
        try:
            exercise.check(submission, *given)
        except Wrong as wrong:
            shown = wrong.shown
            return "wrong", str(wrong)
        except (TimeUp, KeyboardInterrupt):
            raise
        except BaseException as error:  # the learner's code may raise anything, SystemExit included
            return _describe(exercise, error, theirs)
        return "right", exercise.right

    try:
        fingerprint, known = run_limited(inspect_submission, limit, theirs=theirs)
        if known is not None:
            finding = known
        else:
            with exercise.bank() if exercise.bank else nullcontext() as bank:
                given = (bank,) if exercise.bank else ()
                with printed() as sink:
                    finding = run_limited(run, limit, theirs=theirs)
    except TimeUp:
        finding = (
            "failed",
            f"`{exercise.name}` had not finished after {limit:g} seconds and was stopped. "
            "Look for a loop that never ends, or for a wait that nothing ends.",
        )
    except KeyboardInterrupt:
        finding = "interrupted", "You interrupted the check; it does not count as a try."
    except BaseException as error:
        finding = (
            "not checked",
            f"The check could not be run ({_one_line(error)}). This does not count as a try.",
        )
    outcome, text = finding
    return Verdict(exercise, outcome, text, shown, sink.text(), fingerprint)


# --- The submission ----------------------------------------------------------------------------


def _code_objects(submission: Any) -> list[CodeType]:
    """The code objects of a function, or of the methods of a class or object."""
    if isinstance(submission, type):
        found = list(vars(submission).values())
    else:
        found = [submission, *vars(type(submission)).values()]
    codes = (_attribute(each, "__code__") for each in found)
    return [code for code in codes if isinstance(code, CodeType)]


def _attribute(thing: Any, name: str) -> Any:
    """An attribute, or None if the object has none or raises any error."""
    try:
        return getattr(thing, name, None)
    except Exception:
        return None


def _normal_form(submission: Any) -> str:
    """A text that is equal for submissions that differ only in layout and comments."""
    if isinstance(submission, type):
        methods = sorted(
            (code.co_qualname, _instructions(code)) for code in _code_objects(submission)
        )
        return repr(methods)
    if inspect.isroutine(submission) and (codes := _code_objects(submission)):
        return repr(_instructions(codes[0]))
    try:
        return f"{type(submission).__qualname__}: {submission!r}"[:1000]
    except Exception:
        return type(submission).__qualname__


def _fingerprint(submission: Any) -> str:
    """Identifies a submission, so that to check the same one again is not a new try."""
    return hashlib.sha256(_normal_form(submission).encode(errors="replace")).hexdigest()[:12]


def _instructions(code: CodeType) -> list[Any]:
    return [
        _instructions(step.argval)
        if isinstance(step.argval, CodeType)
        else (step.opname, step.argrepr)
        for step in dis.get_instructions(code)
    ]


def _finding_before_run(exercise: Exercise, submission: Any) -> Finding | None:
    """A finding that needs no run: the submission is still the stub, or not of the right kind."""
    stub, name = exercise.load(exercise.stub), exercise.name
    if submission is ... or _normal_form(submission) == _normal_form(stub):
        return (
            "nothing yet",
            f"`{name}` is still as it was given to you. Write your own version, run its cell, "
            "then check again.",
        )
    if isinstance(stub, type) and not isinstance(submission, type):
        return "wrong", f"The check needs the class `{name}` itself, and got {_kind(submission)}."
    if not inspect.isfunction(stub):
        return None
    if not callable(submission) or isinstance(submission, type):
        return (
            "wrong",
            f"The check needs the function itself, and got {_kind(submission)}: hand over "
            f"`{name}`, without brackets after it.",
        )
    if inspect.iscoroutinefunction(submission):
        return "wrong", f"`{name}` must be a plain function: write `def`, not `async def`."
    wanted = list(inspect.signature(stub).parameters)
    with suppress(ValueError):  # a builtin may have no signature
        try:
            inspect.signature(submission).bind(*wanted)
        except TypeError:
            return (
                "wrong",
                f"`{name}` must have the parameters of the task: `({', '.join(wanted)})`.",
            )
    return None


def _kind(thing: Any) -> str:
    if thing is None:
        return "`None`"
    if isinstance(thing, type):
        return f"the class `{thing.__name__}`"
    name = type(thing).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} `{name}`"


# --- Its errors ----------------------------------------------------------------------------------


def _describe(
    exercise: Exercise, error: BaseException, theirs: Callable[[CodeType], bool]
) -> Finding:
    """Describe an error of the learner's code by type, message and line, without a traceback."""
    where = ""
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if theirs(frame.f_code)
    ]
    if lines:
        text = linecache.getline(*lines[-1]).strip()
        where = f" in line {lines[-1][1]} of your cell" + (f" (`{text}`)" if text else "")
    if isinstance(error, RecursionError) and where:
        return "failed", f"`{exercise.name}` calls itself without end (RecursionError){where}."
    if isinstance(error, SystemExit):
        return "failed", f"Your code asked Python to exit{where}. Let it return instead."
    if STOPPED in _one_line(error):
        return (
            "failed",
            f"The bank that your code calls{where} is stopped: run the lesson's start cell again.",
        )
    if _status(error) == "UNAVAILABLE":
        return (
            "failed",
            f"The bank that your code calls{where} does not answer (UNAVAILABLE). If it was "
            "stopped, run the lesson's start cell again.",
        )
    if where:
        return "failed", f"Your code raised {_one_line(error)}{where}."
    return (
        "unusable",
        f"The check could not use what your code returned ({_one_line(error)}). Compare what "
        f"`{exercise.name}` returns with the task.",
    )


def _status(error: BaseException) -> str:
    """The name of a gRPC error's status code; empty for another error."""
    code = getattr(error, "code", None)
    return getattr(code(), "name", "") if callable(code) else ""


def _one_line(error: BaseException) -> str:
    """`Type: message`, or status and details; at most 200 characters of it, without addresses."""
    if status := _status(error):
        details = getattr(error, "details", lambda: "")()
        return f"{status}: {details}" if details else status
    kind = type(error).__name__
    try:
        message = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(str(error).split()))
    except Exception:
        message = ""
    if len(message) > 200:
        message = message[:200] + " …"
    return f"{kind}: {message}" if message else kind
