"""The content of a timeline: a lane for each client and server, with its bars and marks.

If a recording has several servers, each has a lane below the clients' lanes, which shows when it
ran. Marks show where a server was killed, a lease expired, or a call was fenced off.

`Lanes` says what to draw, and not how: `layout.py` computes it from a history, `figure.py` draws it
with matplotlib, and `scene.py` converts it to JSON for the browser.
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
    """Number within the lane, from above; concurrent calls of one client have different rows."""
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
    """A fault of a server, or its effect on a call."""

    lane: int
    """The lane of the call's client, or of the server; the servers' lanes follow the clients'."""
    row: int
    kind: MarkKind
    at: int
    who: str
    """The server or the client."""

    @property
    def words(self) -> str:
        """The fault in a few words, without the server or client."""
        return _MARKS[self.kind][0]

    def __str__(self) -> str:
        return self.said_of(self.who)

    def said_of(self, who: str) -> str:
        """The fault as a clause about `who`."""
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
    """The balance in cents, from the moment `at` on."""

    at: int
    actual: int
    expected: int
    """The balance that the account would have if no update had been lost."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The timeline of one account. Times are in nanoseconds, on the recording's clock."""

    account: str
    start: int
    end: int
    clients: tuple[str, ...]
    """One lane each, from above."""
    rows: tuple[int, ...]
    """The number of rows in each client's lane."""
    bars: tuple[Bar, ...]
    """In the order of their starts."""
    moments: tuple[Moment, ...]
    """In order of time; the moments of a write are those at which it took effect."""
    wake_ups: tuple[WakeUp, ...]
    steps: tuple[BalanceStep, ...]
    """The balance at the start and after each write; empty if it is unknown."""
    writes: tuple[Write, ...]
    lost: tuple[LostUpdate, ...]
    left_out: int
    """The number of clients without a lane. Their writes are in the balance."""
    trouble: str
    """A sentence that says why the balance is unknown; otherwise empty."""
    servers: tuple[str, ...] = ()
    """One lane each, below those of the clients; empty if there was only one server."""
    server_spans: tuple[ServerSpan, ...] = ()
    marks: tuple[Mark, ...] = ()
    """In order of time."""

    @property
    def served_by(self) -> dict[str, tuple[str, ...]]:
        """The servers that each client called, in the order of their first calls."""
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
        """The cents missing from the final balance; negative if the balance is too high."""
        return self.steps[-1].expected - self.steps[-1].actual if self.steps else 0
