"""The value that a timeline draws: a lane for each client and server, and what is in it.

Where several servers took part, each has a lane below the clients', which shows when it ran; and
marks in the lanes say where one was killed, a lease ran out, or a call was fenced off.

`Lanes` says what is to be drawn and nothing of how: `layout.py` reads it off a history, `figure.py`
draws it on paper, and `scene.py` puts it into JSON for the browser.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from bankkit.lab.recording.lost_updates import LostUpdate, Write
from bankkit.lab.recording.spans import ServerSpan, Span, WakeUp


@dataclass(frozen=True, slots=True)
class Bar:
    """A span in its lane."""

    lane: int
    row: int
    """Within the lane, from above: calls that one client has in flight together do not overlap."""
    method: str
    span: Span


@dataclass(frozen=True, slots=True)
class Moment:
    """A balance that a call read or committed, in cents."""

    lane: int
    row: int
    call: str
    kind: Literal["read", "commit"]
    at: int
    cents: int


MarkKind = Literal["killed", "paused", "resumed", "started", "expired", "fenced", "unknown"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault of a server, or of a call because of one."""

    lane: int
    """Of the call's client; servers have those after the clients'."""
    row: int
    kind: MarkKind
    at: int
    who: str
    """The server or the client."""

    @property
    def words(self) -> str:
        """What happened, where it is seen to whom."""
        return _MARKS[self.kind][0]

    def __str__(self) -> str:
        return self.said_of(self.who)

    def said_of(self, who: str) -> str:
        """What happened, as a clause about `who`."""
        return _MARKS[self.kind][1].format(who)


_MARKS: dict[MarkKind, tuple[str, str]] = {
    "killed": ("killed", "{} is killed"),
    "paused": ("paused", "{} is paused"),
    "resumed": ("goes on", "{} goes on"),
    "started": ("started again", "{} is started again"),
    "expired": ("lease ran out", "the lease of {} runs out"),
    "fenced": ("fenced off", "{} is fenced off"),
    "unknown": ("outcome unknown", "{} is not told the outcome"),
}


@dataclass(frozen=True, slots=True)
class BalanceStep:
    """The balance from a moment on, in cents."""

    at: int
    actual: int
    expected: int
    """What it were if no update had been lost."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """All that a timeline shows of one account. Times are nanoseconds of the recording's clock."""

    account: str
    start: int
    end: int
    clients: tuple[str, ...]
    """One lane each, from above."""
    rows: tuple[int, ...]
    """How many rows each lane has."""
    bars: tuple[Bar, ...]
    """In the order of their starts."""
    moments: tuple[Moment, ...]
    """In the order of their times, of writes in which they took effect."""
    wake_ups: tuple[WakeUp, ...]
    steps: tuple[BalanceStep, ...]
    """The balance at the start, and from each write on; empty if it is not known."""
    writes: tuple[Write, ...]
    lost: tuple[LostUpdate, ...]
    left_out: int
    """How many more clients there were. Their writes are in the balance."""
    trouble: str
    """Why the balance is not known, in a sentence; empty if it is, or nobody touched it."""
    servers: tuple[str, ...] = ()
    """One lane each, below those of the clients; empty if there was only one."""
    server_spans: tuple[ServerSpan, ...] = ()
    marks: tuple[Mark, ...] = ()
    """In the order of their times."""

    @property
    def served_by(self) -> dict[str, tuple[str, ...]]:
        """The servers that each client's calls came to, in the order of the first ones."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for bar in self.bars:
            if bar.span.server:
                found[bar.span.client][bar.span.server] = None
        return {client: tuple(servers) for client, servers in found.items()}

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """The lane and row of each call that is drawn."""
        return {bar.span.call: (bar.lane, bar.row) for bar in self.bars}

    @property
    def missing(self) -> int:
        """Cents that are gone in the end; less than 0 if there are too many."""
        return self.steps[-1].expected - self.steps[-1].actual if self.steps else 0
