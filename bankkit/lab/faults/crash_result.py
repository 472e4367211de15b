"""The result of an experiment with servers that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import LostUpdate, dollars


class Answer(NamedTuple):
    """The answer that a client got for one deposit."""

    client: str
    request_id: str
    status: str
    """The name of the status code."""
    reason: str = ""
    """The reason in the ErrorInfo, if the bank refused the call."""

    @property
    def acknowledged(self) -> bool:
        """Whether the status is OK."""
        return self.status == "OK"

    def __str__(self) -> str:
        return f"{self.client} was told {self.status}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True)
class CrashResult:
    """The result of an experiment. Money is in cents, times are in nanoseconds."""

    story: str
    """What the experiment did to the servers, and what followed, in sentences."""
    concurrency: str
    answers: tuple[Answer, ...]
    """One answer for each call, in the order of the calls."""
    expected: int
    """The balance after all acknowledged deposits, if none is lost."""
    final: int
    """The balance found in Redis."""
    lost_updates: tuple[LostUpdate, ...]
    """Each lost deposit, and the deposit that overwrote it."""
    history: History
    """Every event that clients and servers recorded; `lab.timeline` draws them."""

    @property
    def deposits(self) -> int:
        """The number of acknowledged deposits; a repeated deposit counts once."""
        return len({answer.request_id for answer in self.answers if answer.acknowledged})

    @property
    def lost(self) -> int:
        """The missing money in cents."""
        return self.expected - self.final

    @property
    def verdict(self) -> str:
        """What happened, in sentences that are the same in every run."""
        answers = ", ".join(map(str, self.answers))
        found = f"{dollars(self.expected)} acknowledged, {dollars(self.final)} found"
        if self.lost_updates:
            money = f"Lost {dollars(self.lost)}: {found}. {self.lost_updates[0]}."
        elif self.lost:
            money = f"{found}, and the recording does not show why."
        else:
            money = f"Nothing was lost: {found}."
        return f"{self.story} {answers[0].upper()}{answers[1:]}. {money}"

    def __repr__(self) -> str:
        return self.verdict

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        kind = style.LOST if self.lost or self.lost_updates else style.NOTHING_LOST
        card = style.card(kind, self.verdict)
        return {"text/plain": self.verdict, "text/html": card}
