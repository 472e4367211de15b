"""The result of a race."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.drawing.figures import duration
from bankkit.lab.drawing.text import counted
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import LostUpdate, dollars


@dataclass(frozen=True)
class RaceResult:
    """The result of a race. Money is in cents, times are in nanoseconds."""

    concurrency: str
    policy: str
    mode: str
    writers: int
    readers: int
    rounds: int
    deposits: int
    """The number of acknowledged deposits."""
    expected: int
    """The balance after all acknowledged deposits, if none is lost."""
    final: int | None
    """The balance found in the bank; None if the bank was gone."""
    lost_updates: tuple[LostUpdate, ...]
    """Each lost deposit, and the deposit that overwrote it."""
    kept_out: bool
    """Whether a deposit had to wait for the lock while a forced race delayed its holder."""
    history: History
    """Every recorded event; `lab.timeline` draws them."""
    problem: str = ""
    """A sentence that says why the race ended early; empty if it did not."""

    @property
    def lost(self) -> int:
        """The missing money in cents; 0 if the bank is gone, because then it is unknown."""
        return 0 if self.final is None else self.expected - self.final

    @property
    def seconds(self) -> float:
        """Seconds from the first event to the last."""
        events = self.history.events
        return (events[-1].at - events[0].at) / 1e9 if events else 0.0

    @property
    def calls_per_second(self) -> float:
        """Answered calls per second, of readers and writers together."""
        answered = sum(event.kind == "received" for event in self.history.events)
        return answered / self.seconds if self.seconds else 0.0

    @property
    def peak_readers(self) -> int:
        """The largest number of calls that read at the same time."""
        return self.history.peak_readers()

    def waits(self, mode: Literal["read", "write"]) -> list[int]:
        """How long each call waited for the lock, in nanoseconds, shortest first."""
        return self.history.waits(mode)

    def longest_wait(self, mode: Literal["read", "write"]) -> int:
        """The longest wait for the lock in nanoseconds; 0 if no call asked for it."""
        return max(self.waits(mode), default=0)

    @cached_property
    def verdict(self) -> str:
        """What happened to the money, in a sentence or two.

        It contains no times, so that a forced race always gives the same text.
        """
        return " ".join(filter(None, (self.problem, self._about_the_money())))

    def _about_the_money(self) -> str:
        if self.final is None:
            return "The balance could not be read."
        if not self.deposits:
            return "There were no deposits."
        and_found = ", and it does" if not self.lost else f" but holds {dollars(self.final)}"
        found = f"the account should hold {dollars(self.expected)}{and_found}"
        if self.lost_updates:
            times = "" if len(self.lost_updates) == 1 else f" in {len(self.lost_updates)} updates"
            first = "" if len(self.lost_updates) == 1 else "First: "
            return f"{dollars(self.lost)} was lost{times}: {found}. {first}{self.lost_updates[0]}."
        if self.lost:
            return f"{_capital(found)}, and the recording does not show why."
        if self.mode == "forced" and not self.problem:  # a race cut short proves nothing
            why = (
                "while one deposit held the lock, another had to wait before it could read"
                if self.kept_out
                else "no deposit can be delayed between its read and its commit"
            )
            start = f"No loss could be forced under {self.concurrency}: {why}."
            return f"{start} {_capital(found)}."
        return f"Nothing was lost: {found}."

    def __repr__(self) -> str:
        return self.verdict

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        blocks = [style.aside(line) for line in self._numbers()]
        card = style.card(self._kind(), self.verdict, *blocks)
        return {"text/plain": self.verdict, "text/html": card}

    def _kind(self) -> style.Kind:
        if self.problem:
            return style.ENDED_EARLY
        if self.lost or self.lost_updates:
            return style.LOST
        return style.NOTHING_LOST

    def _numbers(self) -> list[str]:
        """The lines of numbers on the card; for a forced race they are the same in every run."""
        lines = [
            f"{counted(self.writers, 'writer')} and {counted(self.readers, 'reader')} raced for "
            f"{counted(self.rounds, 'round')} under `{self.concurrency}` in {self.mode} mode; "
            f"{counted(self.deposits, 'deposit')} got the reply OK."
        ]
        if self.mode == "free":
            waits = f"The longest wait to write was {duration(self.longest_wait('write'))}"
            if self.readers:
                waits += (
                    f", and the longest wait to read was {duration(self.longest_wait('read'))}; "
                    f"at most {counted(self.peak_readers, 'client')} read at once"
                )
            speed = f"The bank answered {self.calls_per_second:,.0f} calls a second."
            lines.append(f"{waits}. {speed}")
        return lines


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
