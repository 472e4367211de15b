"""The layout of a timeline: the lanes, rows, bars and marks of a history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from bankkit.lab.recording import lost_updates
from bankkit.lab.recording.events import FENCED_OFF, Call, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.lab.recording.interval_partitioning import rows_of
from bankkit.lab.recording.lost_updates import LostUpdate, Write
from bankkit.lab.recording.spans import Span
from bankkit.lab.timelines.lanes import BalanceStep, Bar, Lanes, Mark, Moment

MAX_LANES = 40
"""The greatest number of clients' lanes that can be read on one page."""


def lanes_of(history: History, account: str | None = None) -> Lanes:
    """The lanes of one account, by default the only one that was touched.

    Raises ValueError as `timeline` does.
    """
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
    """The faults of servers and their effects on calls, if the history names its servers."""
    if not history.servers:
        return
    lanes = {name: len(clients) + n for n, name in enumerate(history.servers)}
    reasons = {call.id: call.reason for call in history.calls}
    known: set[str] = set()  # servers with an earlier event: their next start is a restart
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
    """Whether the client cannot know from this answer if the change was applied."""
    if received.note == "DEADLINE_EXCEEDED":
        return not reason  # with a reason, the bank gave up before it applied anything
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
            f"Nobody took a lock of {account} or changed it while this was recorded. "
            f"Choose one of the accounts: {', '.join(accounts)}."
        )
    return account


def _without_lock(calls: Iterable[Call], locked: set[str]) -> list[Span]:
    """The spans of calls that changed the account without a lock, in one step in Redis."""
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
    """The clients that get a lane, and the number of the others.

    Clients that took part in a lost update come first, then those with the most spans.
    """
    busy = Counter(span.client for span in spans)
    for update in lost:
        for write in (update.by, update.overwritten, update.lost):
            busy[write.client] += len(spans)
    chosen = {client for client, _ in busy.most_common(MAX_LANES)}
    return tuple(client for client in clients if client in chosen), len(busy) - len(chosen)


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
    """The reads and commits; those of a write are at the times when they took effect."""
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
