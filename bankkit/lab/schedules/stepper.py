"""You are the scheduler: real code of several threads, one step at a time, in the learner's order.

All that runs runs here, in the kernel, on the thread that made the stepper; `static/stepper.js`
shows what `stepper_view` tells it, and sends commands. In a lesson, and in its test, the same can
be done without a browser: `step`, `undo`, `replay`.
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

from bankkit.explorer.exploration import Result, explore
from bankkit.explorer.inspection import Inspection
from bankkit.explorer.laboratory import Scenario, ScenarioError
from bankkit.explorer.replay_run import Run
from bankkit.explorer.schedule import Outcome, Schedule
from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.schedules import share_text, stepper_view
from bankkit.lab.schedules.puzzles import PUZZLES, Look, Puzzle
from bankkit.lab.schedules.share_text import Turn
from bankkit.runtime.closing import Closing

if TYPE_CHECKING:  # it needs anywidget, which takes long to import
    from bankkit.lab.schedules.stepper_widget import StepperWidget

KIND = style.Kind("☰", "You are the scheduler", style.SKY_BLUE)

EXPLORING_SECONDS = 30.0
"""How long the explorer may take behind its button."""

_open: dict[str, Stepper] = {}
"""Of each puzzle the one stepper that runs."""


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
    """Step through several threads in an order of your own, with the goal to break something.

    `what` is the name of a puzzle: `"lose 100"`, `"make both wait for ever"`, `"prove you cannot"`.
    Or it is a scenario, as `lab.explore` takes it, with its `patch` and `lines`; then `goal` says
    in words what to do, and it is reached when an assertion fails, a thread raises, or somebody
    waits for ever. With `prove` it is reached when the explorer, asked by a button, finds every
    schedule with so many `preemptions` (None is no bound) to end well.

    What the scenario's primitives hold is shown, and its own plain variables. `look`, a function
    without arguments that gives words by name, shows something else in place of the variables:

        lab.be_the_scheduler(scenario, look=lambda: {"in the queue": str(len(queue))})

    A new stepper of the same name closes the one before. ValueError for an unknown puzzle.
    """
    if isinstance(what, str):
        if what not in PUZZLES:
            names = ", ".join(f'"{name}"' for name in PUZZLES)
            raise ValueError(
                f"There is no puzzle {what!r}. There are {names}, or your own scenario."
            )
        puzzle = PUZZLES[what]()
    else:
        puzzle = _own(what, goal, look, prove, preemptions, tuple(patch), tuple(lines))
    if puzzle.name in _open:
        _open[puzzle.name].close(
            "A newer one has been opened since. Run this cell again to go on here."
        )
    stepper = _open[puzzle.name] = Stepper(puzzle)
    return stepper


def _own(
    scenario: Scenario,
    goal: str,
    look: Look | None,
    prove: bool,
    preemptions: int | None,
    patch: tuple[ModuleType, ...],
    lines: tuple[object, ...],
) -> Puzzle:
    if prove:
        story = "Try to break it. When you believe that it cannot be done, ask the explorer."
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
    """What `be_the_scheduler` gives. Shown in a notebook, it is the widget."""

    def __init__(self, puzzle: Puzzle) -> None:
        self.puzzle = puzzle
        self.proof: Result | None = None
        """What the explorer said, once it was asked."""
        self._run: Run | None = None
        self._inspection: Inspection | None = None
        self._ahead: list[Turn] = []
        """What is still to come of a schedule that is shown step by step."""
        self._message = ""
        self._closed = ""
        self._busy = ""
        self._home = threading.get_ident()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # not in a notebook
            self._loop = None

    # For lessons.

    @property
    def goal_reached(self) -> bool:
        if self.puzzle.is_proof:
            return self.proof is not None and self.proof.verdict == "ok"
        return self.outcome is not None and self.outcome.kind in self.puzzle.wanted

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on."""
        return self._going().outcome

    @property
    def schedule(self) -> Schedule:
        """The steps so far. `lab.replay(scenario, stepper.schedule)` does them again."""
        return self._going().schedule

    @property
    def share(self) -> str:
        """The steps so far in one line, which `replay` reads."""
        return share_text.write(self.puzzle.name, self._turns())

    def step(self, thread: str, option: int | None = None) -> None:
        """Do a thread's next step; where it has several options, the one of that number.

        ValueError, with what is possible, if it is not possible; Stuck if the thread waits for
        real, and then nothing was done.
        """
        self._ahead.clear()
        self._step(thread, option)
        self._publish()

    def undo(self) -> None:
        """Take the last step back. Nothing happens at the start."""
        self._play(self._turns()[:-1])
        self._publish()

    def reset(self) -> None:
        """Back to the start."""
        self._play([])
        self._publish()

    def replay(self, what: str | Schedule) -> None:
        """Do the steps of a schedule from the start: of `share`'s text, or as `explore` found it.

        ValueError, with the reason, for a text that is no schedule of this puzzle; nothing has
        changed then.
        """
        self._try(self._read(what))
        self._publish()

    def explore(self) -> Result:
        """Run every schedule within the puzzle's bound. One that breaks is shown."""
        puzzle = self.puzzle
        turns = self._turns()
        self._leave()  # what the scenario uses is used by the explorer now
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

    def close(self, why: str = "It is closed. Run this cell again to go on.") -> None:
        """Leave the run where it is, and give up what it used. Nothing is left running."""
        if self._closed:
            return
        self._closed = why
        self._leave()
        self.puzzle.close()
        if _open.get(self.puzzle.name) is self:
            del _open[self.puzzle.name]
        if "widget" in vars(self):
            self.widget.view = {**self.widget.view, "closed": why, "message": ""}

    # The run.

    def _going(self) -> Run:
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

    def _leave(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = self._inspection = None

    def _turns(self) -> list[Turn]:
        return [(move.thread, move.option) for move in self._going().schedule.moves]

    def _step(self, thread: str, option: int | None) -> None:
        run = self._going()
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
            who = f"{thread}/{option}" if option else thread
            raise ValueError(f"{who} cannot step now; {possible or 'nobody'} can.")
        before = self._turns()
        try:
            run.step(moves[0])
        except ScenarioError:
            self._play(before)
            raise
        assert self._inspection is not None
        self._inspection.look()

    def _play(self, turns: Sequence[Turn]) -> None:
        """These steps, from the start."""
        self._ahead.clear()
        self._leave()
        self._start()
        for number, turn in enumerate(turns, 1):
            try:
                self._step(*turn)
            except ValueError as error:
                raise ValueError(
                    f"Step {number} of this schedule is not possible: {error}"
                ) from None

    def _try(self, turns: Sequence[Turn]) -> None:
        """As `_play`; where that fails nothing has changed."""
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
        """The live one, to be put beside other widgets. Closing it closes the stepper."""
        from bankkit.lab.schedules.stepper_widget import StepperWidget

        widget = StepperWidget()
        widget.on_msg(self._on_message)
        widget.at_close = self.close
        if widget.comm is not None:
            widget.comm.on_close(lambda _: self._at_home(self.close))
        self._obey(widget, {"do": "show"})
        return widget

    def _at_home(self, act: Callable[[], object]) -> None:
        """Do it on the thread that the run belongs to: newer kernels take messages on another."""
        if threading.get_ident() == self._home or self._loop is None:
            act()
        else:
            self._loop.call_soon_threadsafe(act)

    def _on_message(self, widget: StepperWidget, content: Any, buffers: Any) -> None:
        self._at_home(lambda: self._obey(widget, content))

    def _obey(self, widget: StepperWidget, content: Mapping[str, Any]) -> None:
        """Carry out a command; what goes wrong is said in the widget."""
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
            self._try(turns)
            self._play([])
            self._ahead = list(turns)
        elif what == "next":
            if self._ahead:
                ahead = self._ahead
                self._step(*ahead[0])
                self._ahead = ahead[1:]
        elif what == "explore":
            self._busy = "The explorer is at work …"
            widget.view = self._view()
            result = self.explore()
            if result.verdict == "unknown":
                self._message = f"The explorer does not know. {result}"
        else:
            self._going()

    def _publish(self) -> None:
        self._message = self._busy = ""
        if "widget" in vars(self):
            self.widget.view = self._safe_view(self.widget)

    def _safe_view(self, widget: StepperWidget) -> dict[str, Any]:
        """The view; where there is none, the last one with what is in the way."""
        if self._closed:
            return {**widget.view, "closed": self._closed}
        try:
            return self._view()
        except Exception as error:
            message = self._message or str(error) or type(error).__name__
            blank = stepper_view.head(self.puzzle)
            return {**blank, **widget.view, "message": message, "busy": "", "ahead": 0}

    def _view(self) -> dict[str, Any]:
        run = self._going()
        assert self._inspection is not None
        return {
            **stepper_view.head(self.puzzle),
            **stepper_view.scene(self.puzzle, run, self._inspection),
            "verdict": stepper_view.verdict(
                self.puzzle, self.goal_reached, run.schedule, run.outcome, self.proof
            ),
            "share": self.share,
            "ahead": len(self._ahead),
            "message": self._message,
            "busy": self._busy,
        }

    # Where there is no kernel.

    @property
    def line(self) -> str:
        """What it is, the same on every machine."""
        story = self.puzzle.story.replace("`", "")
        return f"You are the scheduler. Goal: {self.puzzle.goal}. {story}"

    def __repr__(self) -> str:
        return self.line

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        live = self.widget._repr_mimebundle_()  # nothing where there is no front end for it
        blocks = [style.prose(self.puzzle.story)]
        blocks += [style.source(_source(each)) for each in self.puzzle.code]
        blocks.append(style.aside("Run this cell to step through the threads: it needs a kernel."))
        card = style.card(KIND, self.puzzle.goal, *blocks)
        return {**(live[0] if live else {}), "text/html": card, "text/plain": self.line}


def _source(function: Callable[..., object]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed in where it is not kept
        return f"{function.__name__}()"
