"""You are the scheduler: several threads run real code, step by step, in the learner's order.

The threads run in the kernel, on the OS thread that made the stepper. `static/stepper.js` shows
what `stepper_view` describes, and sends the learner's commands. Lessons and tests can do the same
without a browser: `step`, `undo`, `replay`.
"""

from __future__ import annotations

import asyncio
import inspect
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bankkit.explorer.answers.result import Result
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.exploration import explore
from bankkit.explorer.running.inspection import Inspection
from bankkit.explorer.running.laboratory import Scenario
from bankkit.explorer.running.replay_run import Run
from bankkit.explorer.schedules.schedule import Explanation, Outcome, Schedule
from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.schedules import share_text, stepper_view
from bankkit.lab.schedules.puzzles import PUZZLES, Look, Puzzle
from bankkit.lab.schedules.share_text import Turn
from bankkit.runtime.closing import Closing

if TYPE_CHECKING:  # anywidget takes long to import
    from bankkit.lab.schedules.stepper_widget import StepperWidget

KIND = style.Kind("☰", "You are the scheduler", style.SKY_BLUE)

EXPLORING_SECONDS = 30.0
"""The most time that a search by the explorer takes."""

_open: dict[str, Stepper] = {}
"""The open stepper of each puzzle, by the puzzle's name."""


def be_the_scheduler(
    what: str | Scenario,
    *,
    goal: str = "",
    look: Look | None = None,
    prove: bool = False,
    preemptions: int | None = 2,
    patch: Iterable[ModuleType] = (),
    lines: Iterable[object] = (),
) -> Stepper:
    """Step through several threads in an order that you choose, to reach a goal.

    `what` is the name of a puzzle: `"lose 100"`, `"make both wait forever"`, `"prove you cannot"`.
    Or it is a scenario, as for `lab.explore`, with its `patch` and `lines`. Then `goal` is the
    learner's task in words. The goal is reached when an assertion fails, a thread raises, or a
    thread waits forever. With `prove`, it is reached when the explorer, started by a button, finds
    that every schedule with at most `preemptions` (None means no bound) ends well.

    The stepper shows the state of the scenario's primitives and its own plain variables. `look`, a
    function without arguments that returns texts by name, replaces the variables:

        lab.be_the_scheduler(scenario, look=lambda: {"in the queue": str(len(queue))})

    A new stepper closes an older one of the same name. ValueError for an unknown puzzle.
    """
    if isinstance(what, str):
        if what not in PUZZLES:
            names = ", ".join(f'"{name}"' for name in PUZZLES)
            raise ValueError(
                f"There is no puzzle {what!r}. Choose {names}, or give your own scenario."
            )
        puzzle = PUZZLES[what]()
    else:
        puzzle = _puzzle_of(what, goal, look, prove, preemptions, tuple(patch), tuple(lines))
    if puzzle.name in _open:
        _open[puzzle.name].close(
            "A newer stepper has replaced this one. Run this cell again to continue here."
        )
    stepper = _open[puzzle.name] = Stepper(puzzle)
    return stepper


def _puzzle_of(
    scenario: Scenario,
    goal: str,
    look: Look | None,
    prove: bool,
    preemptions: int | None,
    patch: tuple[ModuleType, ...],
    lines: tuple[object, ...],
) -> Puzzle:
    if prove:
        story = "Try to break it. When you believe that this is impossible, ask the explorer."
    else:
        story = "In which order of steps does it break?"
    settings: dict[str, Any] = {"wanted": frozenset()} if prove else {}
    return Puzzle(
        name=getattr(scenario, "__name__", type(scenario).__name__),
        goal=goal or ("Prove that you cannot break it" if prove else "Break it"),
        story=story,
        scenario=scenario,
        code=(scenario,) if inspect.isfunction(scenario) else (),
        look=look,
        bound={"preemptions": preemptions},
        patch=patch,
        lines=lines,
        **settings,
    )


class Stepper(Closing):
    """A run that the learner steps through. A notebook shows it as a widget.

    It is a context manager that closes the stepper. A closed one raises RuntimeError.
    """

    def __init__(self, puzzle: Puzzle) -> None:
        self.puzzle = puzzle
        self.proof: Result | None = None
        """The result of the explorer; None before `explore`."""
        self._run: Run | None = None
        self._inspection: Inspection | None = None
        self._ahead: list[Turn] = []
        """The turns that are still to come while a schedule is replayed step by step."""
        self._message = ""
        self._closed = ""
        self._busy = ""
        self._home_thread = threading.get_ident()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # not in a notebook
            self._loop = None

    # For lessons.

    @property
    def goal_reached(self) -> bool:
        """Whether the run has ended as the puzzle asks, or the explorer has proved it."""
        if self.puzzle.is_proof:
            return self.proof is not None and self.proof.verdict == "ok"
        return self.outcome is not None and self.outcome.kind in self.puzzle.wanted

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None before its end."""
        return self._current_run().outcome

    @property
    def schedule(self) -> Schedule:
        """The steps so far, for `lab.replay(scenario, stepper.schedule)`."""
        return self._current_run().schedule

    @property
    def share(self) -> str:
        """The steps so far as one line of text, for `replay`."""
        return share_text.write(self.puzzle.name, self._turns())

    def step(self, thread: str, option: int | None = None) -> None:
        """Make a thread's next step, with its first option or the given one.

        Raises ValueError, with the possible threads, if it cannot make this step now. Raises Stuck
        if the thread is then in a real wait; the run is as it was before.
        """
        self._ahead.clear()
        self._step(thread, option)
        self._publish()

    def undo(self) -> None:
        """Take back the last step. Does nothing at the start."""
        self._play(self._turns()[:-1])
        self._publish()

    def reset(self) -> None:
        """Go back to the start."""
        self._play([])
        self._publish()

    def replay(self, what: str | Schedule) -> None:
        """Make the steps of a schedule from the start.

        `what` is a text from `share`, a schedule that `explore` found, or its JSON text. Raises
        ValueError, with the reason, if it is not a schedule of this puzzle; the run is then as it
        was before.
        """
        self._play_or_restore(self._read(what))
        self._publish()

    def explore(self) -> Result:
        """Run every schedule within the puzzle's bound. If one fails, the stepper shows it."""
        puzzle = self.puzzle
        turns = self._turns()
        self._drop_run()  # the explorer needs the objects that the run uses
        try:
            self.proof = explore(
                puzzle.scenario,
                patch=puzzle.patch,
                lines=puzzle.lines,
                seconds=EXPLORING_SECONDS,
                **puzzle.bound,
            )
        finally:
            self._play(turns)
        if self.proof.bug is not None:
            self._play([(move.thread, move.option) for move in self.proof.bug.schedule.moves])
        self._publish()
        return self.proof

    def close(self, why: str = "This stepper is closed. Run this cell again to continue.") -> None:
        """End the run where it is, and close what it used. `why` is what the widget then shows."""
        if self._closed:
            return
        self._closed = why
        self._drop_run()
        self.puzzle.close()
        if _open.get(self.puzzle.name) is self:
            del _open[self.puzzle.name]
        if "widget" in vars(self):
            self.widget.view = {**self.widget.view, "closed": why, "message": ""}

    # The run.

    def _current_run(self) -> Run:
        if self._closed:
            raise RuntimeError(self._closed)
        if self._run is None:
            self._start()
        assert self._run is not None
        return self._run

    def _start(self) -> None:
        puzzle = self.puzzle
        run = Run(puzzle.scenario, patch=puzzle.patch, lines=puzzle.lines)
        self._run, self._inspection = run, Inspection(run)
        self._inspection.look()

    def _drop_run(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = self._inspection = None

    def _turns(self) -> list[Turn]:
        return [(move.thread, move.option) for move in self._current_run().schedule.moves]

    def _why(self) -> Explanation | None:
        """Why the run fails, if it has made the steps of the schedule that the explorer found."""
        bug = self.proof.bug if self.proof else None
        found = [(move.thread, move.option) for move in bug.schedule.moves] if bug else []
        is_shown = bug is not None and self.outcome is not None and found == self._turns()
        return bug.why if bug is not None and is_shown else None

    def _step(self, thread: str, option: int | None) -> None:
        run = self._current_run()
        moves = [
            move for move in run.enabled if move.thread == thread and option in (None, move.option)
        ]
        if not moves:
            possible = ", ".join(
                dict.fromkeys(
                    f"{each.thread}/{each.option}" if each.option else each.thread
                    for each in run.enabled
                )
            )
            wanted = f"{thread}/{option}" if option else thread
            raise ValueError(f"{wanted} cannot step now; {possible or 'no thread'} can.")
        before = self._turns()
        try:
            run.step(moves[0])
        except ScenarioError:
            self._play(before)
            raise
        assert self._inspection is not None
        self._inspection.look()

    def _play(self, turns: Sequence[Turn]) -> None:
        """Make these steps from the start."""
        self._ahead.clear()
        self._drop_run()
        self._start()
        for number, turn in enumerate(turns, 1):
            try:
                self._step(*turn)
            except ValueError as error:
                raise ValueError(
                    f"Step {number} of this schedule is not possible: {error}"
                ) from None

    def _play_or_restore(self, turns: Sequence[Turn]) -> None:
        """As `_play`, but if that fails, the run is as it was before."""
        before = self._turns()
        try:
            self._play(turns)
        except (ValueError, ScenarioError):
            self._play(before)
            raise

    def _read(self, what: str | Schedule) -> list[Turn]:
        if isinstance(what, str) and what.lstrip().startswith("{"):
            what = Schedule.from_json(what)
        if isinstance(what, Schedule):
            return [(move.thread, move.option) for move in what.moves]
        return share_text.read(self.puzzle.name, what)

    # The widget.

    @cached_property
    def widget(self) -> StepperWidget:
        """The live widget, for use in other widgets. Closing it closes the stepper."""
        from bankkit.lab.schedules.stepper_widget import StepperWidget

        widget = StepperWidget()
        widget.on_msg(self._on_message)
        widget.at_close = self.close
        if widget.comm is not None:
            widget.comm.on_close(lambda _: self._on_home_thread(self.close))
        self._handle(widget, {"do": "show"})
        return widget

    def _on_home_thread(self, act: Callable[[], object]) -> None:
        """Call `act` on the thread that made the run: newer kernels get messages on another one."""
        if threading.get_ident() == self._home_thread or self._loop is None:
            act()
        else:
            self._loop.call_soon_threadsafe(act)

    def _on_message(self, widget: StepperWidget, content: Any, buffers: Any) -> None:
        self._on_home_thread(lambda: self._handle(widget, content))

    def _handle(self, widget: StepperWidget, content: Mapping[str, Any]) -> None:
        """Carry out a command; the widget shows an error."""
        self._message = ""
        try:
            if not self._closed:
                self._carry_out(widget, content)
        except Exception as error:
            self._message = str(error) or type(error).__name__
        self._busy = ""
        widget.view = {**self._safe_view(widget), "answered": content.get("number", 0)}

    def _carry_out(self, widget: StepperWidget, content: Mapping[str, Any]) -> None:
        what = content["do"]
        if what == "step":
            self._ahead.clear()
            self._step(str(content["thread"]), int(content["option"]))
        elif what == "undo":
            self._play(self._turns()[:-1])
        elif what == "reset":
            self._play([])
        elif what == "replay":
            turns = self._read(str(content["text"]))
            self._play_or_restore(turns)
            self._play([])
            self._ahead = list(turns)
        elif what == "next":
            if self._ahead:
                ahead = self._ahead
                self._step(*ahead[0])
                self._ahead = ahead[1:]
        elif what == "explore":
            self._busy = "The explorer is running every schedule …"
            widget.view = self._view()
            result = self.explore()
            if result.verdict == "unknown":
                self._message = f"The explorer has proved nothing. Its verdict is {result}"
        else:
            self._current_run()

    def _publish(self) -> None:
        self._message = self._busy = ""
        if "widget" in vars(self):
            self.widget.view = self._safe_view(self.widget)

    def _safe_view(self, widget: StepperWidget) -> dict[str, Any]:
        """The present view, or the last one with the error that prevents a new one."""
        if self._closed:
            return {**widget.view, "closed": self._closed}
        try:
            return self._view()
        except Exception as error:
            message = self._message or str(error) or type(error).__name__
            blank = stepper_view.head(self.puzzle)
            return {**blank, **widget.view, "message": message, "busy": "", "ahead": 0}

    def _view(self) -> dict[str, Any]:
        run, why = self._current_run(), self._why()
        assert self._inspection is not None
        return {
            **stepper_view.head(self.puzzle),
            **stepper_view.scene(self.puzzle, run, self._inspection, why),
            "verdict": stepper_view.verdict(
                self.puzzle, self.goal_reached, run.schedule, run.outcome, self.proof, why
            ),
            "share": self.share,
            "ahead": len(self._ahead),
            "message": self._message,
            "busy": self._busy,
        }

    # Without a kernel.

    @property
    def line(self) -> str:
        """The goal and the story, the same on every machine."""
        story = self.puzzle.story.replace("`", "")
        return f"You are the scheduler. Goal: {self.puzzle.goal}. {story}"

    def __repr__(self) -> str:
        return self.line

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        live = self.widget._repr_mimebundle_()  # None without a front end
        blocks = [style.prose(self.puzzle.story)]
        blocks += [style.source(_source(each)) for each in self.puzzle.code]
        blocks.append(style.aside("Run this cell to step through the threads: it needs a kernel."))
        card = style.card(KIND, self.puzzle.goal, *blocks)
        return {**(live[0] if live else {}), "text/html": card, "text/plain": self.line}


def _source(function: Callable[..., object]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # defined where Python keeps no source
        return f"{function.__name__}()"
