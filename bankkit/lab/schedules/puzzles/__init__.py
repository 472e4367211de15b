"""The puzzles of "you are the scheduler": a program of real code, and what to bring about with it.

A puzzle's program is a scenario like any other: `lab.explore(puzzle.scenario)` works as well. It
stands in a package of its own, because a scenario's calls are told from the lab's by their package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, get_args

from bankkit.explorer.laboratory import Scenario
from bankkit.explorer.schedule import End
from bankkit.lab.schedules.puzzles.teller_and_auditor import TellerAndAuditor
from bankkit.lab.schedules.puzzles.two_tellers import TwoTellers
from bankkit.locks import FirstDraftLock, NoLock, ReadWriteLock
from bankkit.teller import Teller

Look = Callable[[], Mapping[str, str]]
"""What to show of the program between two steps, by name."""

BROKEN = frozenset(get_args(End)) - {"ended"}


@dataclass(frozen=True)
class Puzzle:
    """A program, and what the learner shall bring about as its scheduler."""

    name: str
    goal: str
    story: str
    scenario: Scenario
    code: tuple[Callable[..., object], ...]
    """What of it is shown where there is no kernel."""
    look: Look | None = None
    """None shows the scenario's own variables."""
    wanted: frozenset[str] = BROKEN
    """How a run must end to reach the goal; nothing, if the goal is the explorer's proof."""
    bound: Mapping[str, Any] = field(default_factory=dict)
    """What the explorer is told, and so what its `ok` means."""
    passes: tuple[Callable[..., object], ...] = ()
    """Functions too short to look at: the line that calls them is shown instead."""
    patch: tuple[ModuleType, ...] = ()
    lines: tuple[object, ...] = ()
    close: Callable[[], None] = lambda: None
    """Gives up what the scenario has opened; it opens it again if it is run again."""

    @property
    def is_proof(self) -> bool:
        return not self.wanted


def _lose_100() -> Puzzle:
    tellers = TwoTellers(NoLock)
    return Puzzle(
        name="lose 100",
        goal="Lose $100",
        story="Alice and Bob each deposit $100 into one empty account: the bank's real code, and "
        "`none` for a lock. In which order of steps do they leave $100 there, and not $200?",
        scenario=tellers,
        code=(Teller._apply,),
        look=tellers.look,
        wanted=frozenset({"failed assertion"}),
        passes=(Teller._read, Teller._commit),
        close=tellers.close,
    )


def _both_wait() -> Puzzle:
    pair = TellerAndAuditor(FirstDraftLock)
    return Puzzle(
        name="make both wait for ever",
        goal="Make both wait for ever",
        story="A teller writes under the lock `first-draft`, an auditor reads under it, and the "
        "teller goes home only once the audit is done. Tests find nothing wrong with that lock. "
        "In which order of steps do both wait for ever?",
        scenario=pair,
        # Not `release_write`: its comment gives the answer away.
        code=(TellerAndAuditor.__call__, FirstDraftLock.acquire_read, FirstDraftLock.acquire_write),
        look=pair.look,
        wanted=frozenset({"deadlock", "lost wakeup"}),
    )


def _prove() -> Puzzle:
    tellers = TwoTellers(ReadWriteLock)
    return Puzzle(
        name="prove you cannot",
        goal="Prove that you cannot",
        story="Alice and Bob again, now with the bank's own lock, `read-write`. Try to lose $100, "
        "or to make one of them wait for ever. When you believe that it cannot be done, have the "
        "explorer run every schedule there is.",
        scenario=tellers,
        code=(Teller._apply, ReadWriteLock.acquire_write, ReadWriteLock.release_write),
        look=tellers.look,
        wanted=frozenset(),
        bound={"reduction": False},
        passes=(Teller._read, Teller._commit),
        close=tellers.close,
    )


PUZZLES: dict[str, Callable[[], Puzzle]] = {
    "lose 100": _lose_100,
    "make both wait for ever": _both_wait,
    "prove you cannot": _prove,
}
