"""What a search has done, before a failing schedule is shortened."""

from __future__ import annotations

from dataclasses import dataclass, field

from bankkit.explorer.answers.overtaking import Key
from bankkit.explorer.running.laboratory import Found
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.strategies.strategy import Bound


@dataclass
class Searched:
    """What a search has found, and what it has run."""

    found: Found | None = None
    """A schedule that fails."""
    limit: str = ""
    """Why the search ended before all schedules were run; empty if it did not."""
    unreduced: str = ""
    """Why it stopped using a reduction."""
    exhausted: Bound | None = None
    """The largest bound whose schedules have all ended well."""
    begun: int = 0
    """How many schedules were run of those with one preemption more, or one delay more."""
    random: int = 0
    """How many schedules were drawn at random."""
    sleeps: bool = False
    """Whether threads wait in loops, so that the search must begin again and let them sleep."""
    overtaken: dict[Key, tuple[int, Schedule]] = field(default_factory=dict)
    """For each lock, how often a thread that waits for it is overtaken at most, and where."""
    doubts: dict[str, None] = field(default_factory=dict)
    """What was not looked at, as sentences."""
