"""What an `ok` rests on: who took how many steps on what in common, and what was not seen.

The explorer interleaves only what it sees. If the threads have nothing in common that it sees, or
if one of them does something that it cannot see, then it has run every schedule and shown nothing.
The certificate says so, and how to look.
"""

from __future__ import annotations

from dataclasses import dataclass

from bankkit.explorer.text import counted

SHOWN = 6
"""The most threads, and objects, that a sentence names."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the explorer looked at in a scenario, and what it did not look at."""

    threads: dict[str, int]
    """Each thread that ran, with the number of its steps in the first schedule."""
    common: tuple[str, ...]
    """The objects that two threads used while both of them were running."""
    doubts: tuple[str, ...]
    """What was not looked at, and how to look, in one sentence each; empty if nothing is known."""

    def __str__(self) -> str:
        steps = [f"{name}: {counted(number, 'step')}" for name, number in self.threads.items()]
        took = f"{counted(len(self.threads), 'thread')} ({_listed(steps)})"
        if len(self.threads) == 1:
            return f"{took}, so there was nothing to interleave"
        return f"{took}; in common: {_listed(self.common) or 'nothing'}"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def nothing_in_common(threads: list[str], tried: bool = False) -> str:
    """The doubt about threads that run at the same time and use nothing in common.

    `tried` tells that the search tried more than one order all the same.
    """
    so = "it is not known what the orders decide" if tried else "no order of their steps was tried"
    return (
        f"the threads {_listed(threads)} ran at the same time but used nothing in common that the "
        f"explorer sees, so {so}: pass `threading` on to the code "
        f"under test or name its modules in `patch=`, and make shared data visible with "
        f"`threading.shared`, `threading.track` or `lines=`"
    )


OPTIMISED = (
    "Python runs with -O, which leaves out every assert statement, so only exceptions and endless "
    "waits could be found: run Python without -O"
)
"""The doubt about a run in which `assert` does nothing."""

ONLY_WATCHED = (
    "a schedule failed only while its data was watched, which keeps objects alive until the "
    "schedule ends: assert nothing that depends on when they are freed, nor on anything else that "
    "may differ when a schedule is run again"
)
"""The doubt about a failure that the survey alone has seen."""
