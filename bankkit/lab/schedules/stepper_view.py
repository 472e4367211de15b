"""Describes a run for the stepper, as plain data for JSON and `static/stepper.js`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bankkit.explorer.answers.result import Result
from bankkit.explorer.running.inspection import Inspection, code_at
from bankkit.explorer.running.replay_run import Run, ThreadView
from bankkit.explorer.schedules.schedule import Explanation, Outcome, Schedule
from bankkit.explorer.source.locations import Location
from bankkit.explorer.strategies.strategy import Bound
from bankkit.lab.drawing.text import counted
from bankkit.lab.schedules.puzzles import Puzzle
from bankkit.lab.schedules.share_text import slug


def head(puzzle: Puzzle) -> dict[str, Any]:
    """The part of the view that needs no run."""
    return {
        "goal": puzzle.goal,
        "story": puzzle.story,
        "name": slug(puzzle.name),
        "isProof": puzzle.is_proof,
        "bound": str(Bound(puzzle.bound.get("preemptions"))),
        "closed": "",
        "verdict": {"kind": "open", "text": ""},
        **{part: [] for part in ("state", "locks", "threads", "steps")},
    }


def scene(
    puzzle: Puzzle, run: Run, inspection: Inspection, why: Explanation | None
) -> dict[str, Any]:
    """The present state of the run, the steps that led to it, and which of them decide.

    The main thread is left out while it only starts the other threads and waits for them.
    """
    deciding = why.steps if why else ()
    schedule = run.schedule
    acting = {move.thread for move in (*schedule.moves, *run.enabled)}
    threads = [each for each in run.threads if each.name != "main" or "main" in acting]
    return {
        "state": list(_state(puzzle, inspection).items()),
        "locks": list(inspection.locks().items()),
        "threads": [_thread(puzzle, run, inspection, each) for each in threads],
        "steps": [
            {
                "thread": move.thread,
                "does": move.does,
                "at": move.at,
                "preempts": move.preempts,
                "decides": number in deciding,
            }
            for number, move in enumerate(schedule.moves, 1)
        ],
        "preemptions": schedule.preemptions,
        "json": schedule.to_json(),
    }


def verdict(
    puzzle: Puzzle,
    reached: bool,
    schedule: Schedule,
    outcome: Outcome | None,
    proof: Result | None,
    why: Explanation | None = None,
) -> dict[str, str]:
    """Whether the goal is reached, and how the run ended, as `kind` and `text`."""
    if reached and puzzle.is_proof:
        return {"kind": "reached", "text": f"Goal reached: the explorer says {proof}"}
    if outcome is None:
        return {"kind": "open", "text": ""}
    if reached:
        steps = counted(len(schedule), "step")
        turns = counted(schedule.preemptions, "preemption")
        text = f"Goal reached: {_ending_text(outcome)} It took {steps} with {turns}."
        return {"kind": "reached", "text": text}
    if outcome.kind != "ended":
        how = "You broke it" if puzzle.is_proof else "It broke, but not as the goal asks"
        reason = f" {why}" if why else ""
        return {"kind": "broken", "text": f"{how}: {_ending_text(outcome)}{reason}"}
    advice = ", or run every schedule" if puzzle.is_proof else ""
    text = f"This run ended well. Undo or reset, and try another order{advice}."
    return {"kind": "ended", "text": text}


def _ending_text(outcome: Outcome) -> str:
    """How the run ended, and what the threads wait for that its text does not name."""
    text = str(outcome.error).strip() if outcome.kind == "failed assertion" else outcome.text
    text = text or "an assertion failed"
    others = [
        f"{thread} {what}."
        for thread, what in outcome.waiting.items()
        if thread not in text and thread != "main"
    ]
    return " ".join([text if text.endswith(".") else f"{text}.", *others])


def _state(puzzle: Puzzle, inspection: Inspection) -> Mapping[str, str]:
    if puzzle.look is None:
        return inspection.scenario()
    try:
        return {str(name): str(words) for name, words in puzzle.look().items()}
    except Exception as error:  # `look` is the learner's own code
        return {"look() fails": f"{type(error).__name__}: {error}"}


def _thread(puzzle: Puzzle, run: Run, inspection: Inspection, view: ThreadView) -> dict[str, Any]:
    stack: Sequence[Location] = view.stack
    does, waits = view.does, view.waits or inspection.waits(view.name)
    state: str = "waiting" if waits else view.state
    if run.outcome is not None:
        failed, where = inspection.failed()
        waits = run.outcome.waiting.get(view.name, "")
        if view.name == failed:
            state, stack = "failed", where
            does = f"raised {type(run.outcome.error).__name__}"
        elif waits:
            state = "stuck"
        elif inspection.has_ended(view.name):
            state, stack = "ended", ()
        else:
            state = "left"
    hidden = {(inspect.getsourcefile(each), each.__name__) for each in puzzle.hidden}
    is_shown = [(each.file, each.function) not in hidden for each in stack]
    variables = inspection.variables(view.name, stack)
    return {
        "name": view.name,
        "state": state,
        "does": does,
        "waits": waits,
        "moves": [
            {"option": move.option, "does": move.does}
            for move in run.enabled
            if move.thread == view.name
        ],
        "calls": [
            {**_call(place), "variables": list(names.items())}
            for place, names in zip(stack, variables, strict=True)
        ],
        "shown": is_shown.index(True) if True in is_shown else 0,
    }


def _call(place: Location) -> dict[str, Any]:
    code = code_at(place.file, place.line)
    return {
        "function": place.function,
        "file": str(place).rpartition(":")[0],
        "first": code.first,
        "lines": list(code.lines),
        "line": place.line,
    }
