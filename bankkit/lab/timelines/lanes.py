"""What a race looked like on one account: a lane a client, and what became of the balance.

Where several servers took part, each has a lane below, which shows when it ran; and signs in the
lanes say where one was killed, a lease ran out, or a call was fenced off.

`lanes_of` reads a `History` into a value that says what is to be drawn and nothing of how. Two
files draw it: `timeline_figure` on paper, `timeline_widget` live in a notebook.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from bankkit.lab.drawing.text import counted, listed
from bankkit.lab.recording import lost_updates
from bankkit.lab.recording.history import (
    FENCED_OFF,
    OF_SERVERS,
    Call,
    History,
    RecordedEvent,
    ServerSpan,
    Span,
    WakeUp,
    client_of,
)
from bankkit.lab.recording.lost_updates import LostUpdate, Write, dollars

if TYPE_CHECKING:  # it needs anywidget and matplotlib, which take long to import
    from bankkit.lab.timelines.widget import LiveTimeline

MAX_LANES = 40
"""More cannot be read on one page."""

MAX_TOLD = 8
"""Up to this number, the faults of servers are told one by one."""


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
        return _MARKS[self.kind][1].format(self.who)


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


class Recorded(Protocol):
    """What has a history, such as a recording or the result of a race."""

    @property
    def history(self) -> History: ...


def timeline(source: Recorded | History, account: str | None = None) -> LiveTimeline:
    """Draw who waited, read and wrote, and below what became of the balance.

    Live where there is a kernel: play it, zoom, point at things. Stored or printed, a picture.
    `account` is the only one that was touched, by default. ValueError if there are several, or if
    nobody took a lock of it or changed it.
    """
    from bankkit.lab.timelines.widget import LiveTimeline

    return LiveTimeline(lanes_of(history_of(source), account))


def history_of(source: Recorded | History) -> History:
    return source if isinstance(source, History) else source.history


def finding(lanes: Lanes) -> str:
    """What the timeline shows, as a sentence of this very run."""
    if lanes.trouble:
        return f"Who had the lock of {lanes.account}, and when"
    if not lanes.lost:
        count = len(lanes.writes)
        if not count:
            return "Nobody wrote, so nothing could get lost"
        kept = "and it is" if count == 1 else "and each is"
        return f"Nobody lost a cent: {counted(count, 'write')}, {kept} in the balance"
    gone = lanes.missing
    amount = f"{dollars(abs(gone))} {'lost' if gone > 0 else 'too much'}"
    if len(lanes.lost) == 1:
        (update,) = lanes.lost
        by, lost = update.by.client, update.lost.client
        whom = "itself" if by == lost else shortened(lost)
        return f"{amount}: {shortened(by)} wrote over {whom}"
    share = f"{len(lanes.lost):,} of {counted(len(lanes.writes), 'write')}"
    return f"{amount}: {share} were written over" if gone else f"{share} lost; the sums are even"


def in_words(lanes: Lanes) -> str:
    """The same for who cannot see it: what holds at every run of the same experiment."""
    clients = counted(len(lanes.clients) + lanes.left_out, "client")
    shown = f"{clients}, one lane each, on the account {lanes.account}"
    if lanes.servers:
        shown += f", and {listed(lanes.servers)}{_told(lanes.marks)}"
    if lanes.trouble:
        return f"{shown}; what became of the balance was not recorded."
    if not lanes.steps:
        return f"{shown}; nobody got as far as the balance."
    if not lanes.writes:
        return f"{shown}; nobody wrote, so the balance below stays as it was."
    if lanes.lost:
        return f"{shown}; an update was lost, so the balance below parts from the expected one."
    return f"{shown}; no update was lost: the balance below is the expected one all the time."


def _told(marks: Sequence[Mark]) -> str:
    """The faults and whose they were, in order; if there were many, only the faults."""
    if len(marks) <= MAX_TOLD:
        # Who is not told something learns it at a time of its own.
        in_order = sorted(marks, key=lambda mark: (mark.kind == "unknown", mark.at))
        return "".join(f"; {mark}" for mark in in_order)
    what = {_MARKS[mark.kind][1].format("one") for mark in marks if mark.kind in OF_SERVERS}
    return f"; now and then {listed(sorted(what))}" if what else ""


def shortened(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


# --- Below: how it is read off -------------------------------------------------------------------


def lanes_of(history: History, account: str | None = None) -> Lanes:
    """What there is to draw of one account: the only one by default; see `timeline`."""
    calls = {call.id: call for call in history.calls}
    spans = (*history.spans, *_without_lock(history.calls, {s.call for s in history.spans}))
    account = _chosen(account, sorted({span.account for span in spans}))
    spans = tuple(sorted((s for s in spans if s.account == account), key=lambda span: span.start))
    writes: tuple[Write, ...] = ()
    lost: tuple[LostUpdate, ...] = ()
    trouble = ""
    try:
        writes = lost_updates.writes(history, account)
        lost = lost_updates.lost_updates(history, account)
    except ValueError as error:
        trouble = str(error)
    drawn, left_out = _drawn(history.clients, spans, lost)
    rows = rows_of(_lives(spans))
    places = {
        span.call: (drawn.index(span.client), rows[span.call])
        for span in spans
        if span.client in drawn
    }
    count = Counter[int]()
    for lane, row in places.values():
        count[lane] = max(count[lane], row + 1)
    marks = tuple(_marks(history, account, drawn, places, spans[0].start))
    end = max((*(span.end for span in spans), *(mark.at for mark in marks)))
    return Lanes(
        account=account,
        start=spans[0].start,
        end=end,
        clients=drawn,
        rows=tuple(count[lane] for lane in range(len(drawn))),
        bars=tuple(
            Bar(*places[s.call], calls[s.call].method, s) for s in spans if s.call in places
        ),
        moments=tuple(_moments(history, account, writes, places)),
        wake_ups=tuple(
            wake_up
            for wake_up in history.wake_ups
            if wake_up.account == account and {wake_up.releaser, wake_up.waiter} <= places.keys()
        ),
        steps=() if trouble else tuple(_steps(history, account, spans[0].start, writes)),
        writes=writes,
        lost=lost,
        left_out=left_out,
        trouble=trouble,
        servers=history.servers,
        server_spans=tuple(
            replace(span, start=max(span.start, spans[0].start), end=min(span.end, end))
            for span in history.server_spans
            if span.start < end and span.end > spans[0].start
        ),
        marks=marks,
    )


def _marks(
    history: History,
    account: str,
    clients: tuple[str, ...],
    places: dict[str, tuple[int, int]],
    start: int,
) -> Iterator[Mark]:
    """The faults of servers, and of calls where servers can fail."""
    if not history.servers:
        return
    lanes = {name: len(clients) + n for n, name in enumerate(history.servers)}
    reasons = {call.id: call.reason for call in history.calls}
    known: set[str] = set()  # servers of which something was told before
    for event in history.events:
        place = places.get(event.call)
        if event.kind in ("started", "killed", "paused", "resumed"):
            is_news = event.kind != "started" or event.server in known
            known.add(event.server)
            if is_news and event.at >= start:
                yield Mark(lanes[event.server], 0, event.kind, event.at, event.server)
        elif place and event.kind == "expired" and event.account == account:
            yield Mark(*place, "expired", event.at, client_of(event.call))
        elif place and event.kind == "received" and reasons[event.call] == FENCED_OFF:
            yield Mark(*place, "fenced", event.at, client_of(event.call))
        elif place and event.kind == "received" and _leaves_open(event, reasons[event.call]):
            yield Mark(*place, "unknown", event.at, client_of(event.call))


def _leaves_open(received: RecordedEvent, reason: str) -> bool:
    """Whether the client was not told if anything was applied."""
    if received.note == "DEADLINE_EXCEEDED":
        return not reason  # else it was the bank that gave up, before it applied anything
    return received.note in ("UNAVAILABLE", "CANCELLED")


def _chosen(account: str | None, accounts: list[str]) -> str:
    if not accounts:
        raise ValueError("Nobody took a lock or changed an account while this was recorded.")
    if account is None:
        if len(accounts) > 1:
            raise ValueError(f"Choose one of the accounts: {', '.join(accounts)}.")
        return accounts[0]
    if account not in accounts:
        raise ValueError(
            f"Nobody took a lock of {account} or changed it while this was recorded; "
            f"there is {', '.join(accounts)}."
        )
    return account


def _without_lock(calls: Iterable[Call], locked: set[str]) -> list[Span]:
    """Changes that Redis made in one step, for which nobody took a lock."""
    found = []
    for call in calls:
        asked, done = call.find_last("committing"), call.find_last("committed")
        if asked and done and call.id not in locked:
            span = Span(
                call.id, call.client, asked.account, "writing", "write", asked.at, done.at
            )  # fmt: skip
            found.append(span)
    return found


def _drawn(
    clients: tuple[str, ...], spans: tuple[Span, ...], lost: tuple[LostUpdate, ...]
) -> tuple[tuple[str, ...], int]:
    """The clients that get a lane, and how many do not: who lost something goes first."""
    busy = Counter(span.client for span in spans)
    for update in lost:
        for write in (update.by, update.overwritten, update.lost):
            busy[write.client] += len(spans)
    chosen = {client for client, _ in busy.most_common(MAX_LANES)}
    return tuple(client for client in clients if client in chosen), len(busy) - len(chosen)


def rows_of(lives: Iterable[tuple[str, str, int, int]]) -> dict[str, int]:
    """The row of each call: the first of its client's lane that is free from its start to its end.

    A life is a call, its client, and these two times; they come in the order of their starts.
    """
    busy_until: dict[str, list[int]] = defaultdict(list)
    rows: dict[str, int] = {}
    for call, client, start, end in lives:
        taken = busy_until[client]
        row = next((row for row, until in enumerate(taken) if until <= start), len(taken))
        taken[row : row + 1] = [end]
        rows[call] = row
    return rows


def _lives(spans: tuple[Span, ...]) -> Iterator[tuple[str, str, int, int]]:
    by_call: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_call[span.call].append(span)
    for call, its in by_call.items():
        yield call, its[0].client, its[0].start, max(span.end for span in its)


def _moments(
    history: History,
    account: str,
    writes: tuple[Write, ...],
    places: dict[str, tuple[int, int]],
) -> list[Moment]:
    """Reads and commits; of a write, at the times at which they took effect."""
    found = []
    known = set()
    for write in writes:
        known.add(write.call)
        if place := places.get(write.call):
            found.append(Moment(*place, write.call, "read", write.read_at, write.read))
            found.append(Moment(*place, write.call, "commit", write.wrote_at, write.wrote))
    for event in history.events:
        if event.account != account or event.call in known or event.value is None:
            continue
        if event.kind in ("read", "committed") and (place := places.get(event.call)):
            kind: Literal["read", "commit"] = "read" if event.kind == "read" else "commit"
            found.append(Moment(*place, event.call, kind, event.at, event.value))
    return sorted(found, key=lambda moment: moment.at)


def _steps(
    history: History, account: str, start: int, writes: tuple[Write, ...]
) -> list[BalanceStep]:
    if not writes:
        seen = (e.value for e in history.events if e.kind == "read" and e.account == account)
        balance = next((value for value in seen if value is not None), None)
        return [] if balance is None else [BalanceStep(start, balance, balance)]
    expected = writes[0].read
    steps = [BalanceStep(min(start, writes[0].wrote_at), expected, expected)]
    for write in writes:
        expected += write.wrote - write.read
        steps.append(BalanceStep(write.wrote_at, write.wrote, expected))
    return steps
