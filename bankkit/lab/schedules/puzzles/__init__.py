"""The puzzles of "you are the scheduler": each is a program of real code, and a goal to reach.

A puzzle's program is an ordinary scenario: `lab.explore(puzzle.scenario)` works, too. The programs
have their own package, because the explorer tells a scenario's calls from the lab's by package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, get_args

from bankkit.explorer.running.laboratory import Scenario
from bankkit.explorer.schedules.schedule import End
from bankkit.lab.schedules.puzzles.teller_and_auditor import TellerAndAuditor
from bankkit.lab.schedules.puzzles.two_tellers import TwoTellers
from bankkit.locks import FirstDraftLock, NoLock, ReadWriteLock
from bankkit.teller import Teller

Look = Callable[[], Mapping[str, str]]
"""Returns what to show of the program between two steps: texts by name."""

BROKEN = frozenset(get_args(End)) - {"ended"}
"""Every end of a run except the good one."""


@dataclass(frozen=True)
class Puzzle:
    """A program, and the goal that the learner should reach as its scheduler."""

    name: str
    goal: str
    story: str
    scenario: Scenario
    code: tuple[Callable[..., object], ...]
    """The functions whose code is shown if there is no kernel."""
    look: Look | None = None
    """What to show between steps; None shows the scenario's own variables."""
    wanted: frozenset[str] = BROKEN
    """The ends of a run that reach the goal; empty if the goal is a proof by the explorer."""
    bound: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of `explore` for a proof; they define what its `ok` means."""
    hidden: tuple[Callable[..., object], ...] = ()
    """Functions that are too short to show: the stepper shows the line that calls them."""
    patch: tuple[ModuleType, ...] = ()
    lines: tuple[object, ...] = ()
    close: Callable[[], None] = lambda: None
    """Close what the scenario has opened. The next run opens it again."""

    @property
    def is_proof(self) -> bool:
        """Whether the goal is a proof that no schedule fails."""
        return not self.wanted


def _lose_100() -> Puzzle:
    tellers = TwoTellers(NoLock)
    return Puzzle(
        name="lose 100",
        goal="Lose $100",
        story="Alice and Bob each deposit $100 into the same empty account. This is the bank's "
        "real code, without a lock (`none`). Which order of steps leaves $100 there, not $200?",
        scenario=tellers,
        code=(Teller._apply,),
        look=tellers.look,
        wanted=frozenset({"failed assertion"}),
        hidden=(Teller._read, Teller._commit),
        close=tellers.close,
    )


def _both_wait() -> Puzzle:
    pair = TellerAndAuditor(FirstDraftLock)
    return Puzzle(
        name="make both wait forever",
        goal="Make both wait forever",
        story="A teller writes under the lock `first-draft`, and an auditor reads under it. The "
        "teller goes home only when the audit is done. Tests find no bug in this lock. Which "
        "order of steps makes both wait forever?",
        scenario=pair,
        # `release_write` is not shown: its comment gives the answer away.
        code=(TellerAndAuditor.__call__, FirstDraftLock.acquire_read, FirstDraftLock.acquire_write),
        look=pair.look,
        wanted=frozenset({"deadlock", "livelock", "lost wakeup"}),
    )


def _prove() -> Puzzle:
    tellers = TwoTellers(ReadWriteLock)
    return Puzzle(
        name="prove you cannot",
        goal="Prove that you cannot",
        story="Alice and Bob deposit again, now with the bank's own lock, `read-write`. Try to "
        "lose $100, or to make one of them wait forever. When you believe that this is "
        "impossible, let the explorer run every schedule.",
        scenario=tellers,
        code=(Teller._apply, ReadWriteLock.acquire_write, ReadWriteLock.release_write),
        look=tellers.look,
        wanted=frozenset(),
        bound={"reduction": False},
        hidden=(Teller._read, Teller._commit),
        close=tellers.close,
    )


PUZZLES: dict[str, Callable[[], Puzzle]] = {
    "lose 100": _lose_100,
    "make both wait forever": _both_wait,
    "prove you cannot": _prove,
}
