"""What came of an experiment with servers that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import LostUpdate, dollars


class Answer(NamedTuple):
    """What a client was told of one deposit."""

    client: str
    request_id: str
    status: str
    """The name of the status code."""
    reason: str = ""
    """The ErrorInfo's, of a call that the bank refused."""

    @property
    def acknowledged(self) -> bool:
        return self.status == "OK"

    def __str__(self) -> str:
        return f"{self.client} was told {self.status}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True)
class CrashResult:
    """What came of an experiment. Money is in cents, times are in nanoseconds."""

    story: str
    """What was done to the servers, and what followed, in sentences."""
    concurrency: str
    answers: tuple[Answer, ...]
    """In the order in which the calls were made."""
    expected: int
    """The balance that the acknowledged deposits make."""
    final: int
    """The balance that there is."""
    lost_updates: tuple[LostUpdate, ...]
    """Which deposit was lost, and who overwrote it."""
    history: History
    """All that was recorded, by clients and servers; `lab.timeline` draws it."""

    @property
    def deposits(self) -> int:
        """How many were acknowledged; one that was sent again counts once."""
        return len({answer.request_id for answer in self.answers if answer.acknowledged})

    @property
    def lost(self) -> int:
        """The money that is missing."""
        return self.expected - self.final

    @property
    def verdict(self) -> str:
        """What happened, in sentences that are the same at every run."""
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
