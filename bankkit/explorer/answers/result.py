"""What `explore` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bankkit.explorer.answers.overtaking import Overtaken
from bankkit.explorer.certificate.certificate import Certificate
from bankkit.explorer.running.laboratory import Timing
from bankkit.explorer.schedules.schedule import Outcome
from bankkit.explorer.strategies.strategy import Bound
from bankkit.explorer.text import counted

Verdict = Literal["ok", "bug", "unknown"]


@dataclass(frozen=True, slots=True)
class Result:
    """What `explore` found."""

    verdict: Verdict
    """`ok`: every schedule within the bound was run; with `reduction`, one of each trace.
    `bug`: one of them fails. `unknown`: a limit was reached before all were run, or the scenario
    does something that the explorer does not see. Then all that ran may have shown nothing."""
    bound: Bound
    schedules: int
    """How many schedules were run, including those that were stopped early."""
    seconds: float
    bug: Outcome | None = None
    limit: str = ""
    """Which limit was reached, if one was; the verdict is `unknown` then."""
    unreduced: str = ""
    """Why the search stopped using `reduction`: which state threads share unseen. Usually empty."""
    timing: Timing = "any"
    """Which timeouts could fire: any, or always the one that is due first."""
    exhausted: Bound | None = None
    """The largest bound whose schedules were all run, and ended well; None if there is none."""
    begun: int = 0
    """How many schedules were run of the next larger bound, which was not exhausted."""
    random: int = 0
    """How many of the schedules were drawn at random."""
    certificate: Certificate | None = None
    """What the threads had in common, and what was not looked at; None with a bug."""

    overtaken: tuple[Overtaken, ...] = ()
    """If it was asked for: for each lock, the schedule in which a thread that waits for it is
    overtaken most often, the worst first."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What was not looked at, and how to look. If there is any, the verdict is not `ok`."""
        return self.certificate.doubts if self.certificate is not None else ()

    @property
    def coverage(self) -> str:
        """Which smaller bound was exhausted, and how far the search came after that.

        Empty if none was, or if the verdict is `ok`.
        """
        if self.exhausted is None or self.verdict == "ok":
            return ""
        told = f"every schedule with {self.exhausted} ends well"
        if not self.begun:
            return told
        return f"{told}; {self._next} was begun: {counted(self.begun, 'schedule')}"

    @property
    def _next(self) -> int:
        """The number of preemptions, or of delays, in the next larger bound."""
        assert self.exhausted is not None
        number = self.exhausted.delays
        return (self.exhausted.preemptions or 0 if number is None else number) + 1

    def __str__(self) -> str:
        ran = counted(self.schedules, "schedule")
        if self.bug is not None:
            bound = f"{self.bound}; {self.coverage}" if self.coverage else str(self.bound)
            return f"bug after {ran} ({bound}): {self.bug}"
        if self.verdict == "ok":
            note = f" Run without reduction: {self.unreduced}." if self.unreduced else ""
            ok = f"ok: every schedule with {self.bound} ends well ({ran}, {self.seconds:.1f} s)."
            worst = f" In the worst of them, {self.overtaken[0]}." if self.overtaken else ""
            return f"{ok}{note}{worst} {self.certificate}."
        why = [self.limit] if self.limit else []
        why += [f"not everything was looked at: {doubt}" for doubt in self.doubts]
        told = self.coverage and f" {self.coverage[0].upper()}{self.coverage[1:]}."
        return f"unknown: {'; '.join(why)} ({ran} with {self.bound} ended well).{told}"
