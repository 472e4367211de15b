"""What `explore` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bankkit.explorer.laboratory import Timing
from bankkit.explorer.schedule import Outcome
from bankkit.explorer.strategies.strategy import Bound
from bankkit.explorer.text import counted


@dataclass(frozen=True, slots=True)
class Result:
    """What `explore` found."""

    verdict: Literal["ok", "bug", "unknown"]
    """`ok`: every schedule within the bound was run; with `reduction`, one of each trace.
    `bug`: one of them fails. `unknown`: a limit was reached before all were run."""
    bound: Bound
    schedules: int
    """How many schedules were run, including those that were stopped early."""
    seconds: float
    bug: Outcome | None = None
    limit: str = ""
    """Why the verdict is `unknown`."""
    unreduced: str = ""
    """Why the search stopped using `reduction`: which state threads share unseen. Usually empty."""
    timing: Timing = "any"
    """Which timeouts could fire: any, or always the one that is due first."""

    def __str__(self) -> str:
        ran = counted(self.schedules, "schedule")
        if self.bug is not None:
            return f"bug after {ran} ({self.bound}): {self.bug}"
        if self.verdict == "ok":
            note = f" Run without reduction: {self.unreduced}." if self.unreduced else ""
            ok = f"ok: every schedule with {self.bound} ends well ({ran}, {self.seconds:.1f} s)."
            return ok + note
        return f"unknown: {self.limit} ({ran} with {self.bound} ended well)."
