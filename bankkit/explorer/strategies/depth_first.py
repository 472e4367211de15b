"""Depth-first search: tries every schedule once, in depth-first order.

A run follows the stored path of decisions up to the last one with an untried alternative, takes
that alternative, and continues from there. `DepthFirst` tries every schedule; the reductions in
`bounded.py` (with a bound) and `dpor.py` (without one) skip equivalent schedules.

Two schedules are *equivalent* if swapping neighbouring steps that do not conflict turns one into
the other; a class of equivalent schedules is a *trace* (Mazurkiewicz, "Trace theory", 1987). All
schedules of a trace end in the same way, so running one of them is enough.
"""

from __future__ import annotations

from dataclasses import replace

from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy


class DepthFirst(Strategy):
    """Runs every schedule within the bound, depth first, starting with the fewest switches."""

    exhaustive = True

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        super().__init__(scheduler, bound, seed)
        self.hides = False
        """Whether a larger bound would allow for more schedules."""

    def begin(self) -> None:
        """Forget the results of the schedule before, but not the path."""
        self.forget()
        self.wants_hidden = not self.hides

    def advance(self) -> bool:
        """Change the last decision that has an alternative; False if none has."""
        path = self.path
        while path:
            step = path[-1]
            if step.left:
                path[-1] = step.left.pop().instead_of(step)
                self.fixed = len(path)
                return True
            path.pop()
        return False

    def enter(self, step: Step) -> None:
        """Record a step that the search did not choose. This search records nothing."""

    def leave(self, step: Step) -> None:
        """Forget a step that is not made after all."""

    def deepen(self) -> bool:
        """Raise the bound by one, at the end of the search; False if there is nothing more to run.

        This search then starts again, so it also runs what the smaller bound allows.
        """
        if not self.hides:
            return False
        self._raise_bound()
        self.hides = False
        self.fixed = 0
        return True

    def _raise_bound(self) -> None:
        assert self._max_preemptions is not None
        self._max_preemptions += 1
        self.bound = replace(self.bound, preemptions=self._max_preemptions)

    def choose(self, choices: list[Step]) -> Step:
        """The choice to try first, which it removes: the others are tried later."""
        return choices.pop()

    def _new_step(self) -> Step | None:
        """The first choice at a new place; None at the end of a schedule."""
        choices = self.choices()
        if self.hidden:
            self.hides = True
        if not choices:
            return None
        if self._max_steps is not None and self.scheduler.depth >= self._max_steps:
            self.cut = True
            return None
        step = choices.pop()  # a call of `choose` for every step would take its time
        return step.after(self.path[-1] if self.path else None, choices)
