"""Spans of time in a history: which calls waited for a lock, held it, and let others in."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bankkit.lab.recording.events import Call, RecordedEvent

SpanKind = Literal[
    "waiting",
    "reading",
    "writing",
    "halted",  # the call holds the lock but makes no progress: its server is paused or dead
    "stale",  # the call continues after its lease has expired, as if it still held the lock
]


@dataclass(frozen=True, slots=True)
class Span:
    """The time from `start` to `end`, in nanoseconds, in which a call waits for or uses a lock."""

    call: str
    client: str
    account: str
    kind: SpanKind
    mode: Literal["read", "write"]
    """The mode in which the call asked for the lock."""
    start: int
    end: int
    held_by: tuple[str, ...] = ()
    """For a wait: the calls that held the lock during the wait and blocked it."""
    woken_by: str = ""
    """For a wait: the call whose release ended it; empty if no recorded release did."""
    server: str = ""
    """The server in which the call was, if there are several."""

    @property
    def holds(self) -> bool:
        """Whether the call held the lock."""
        return self.kind in ("reading", "writing", "halted")


@dataclass(frozen=True, slots=True)
class ServerSpan:
    """The time from `start` to `end`, in nanoseconds, in which a server was in one state."""

    server: str
    kind: Literal["up", "paused", "down"]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A release and the grant that it made possible; times in nanoseconds."""

    account: str
    releaser: str
    released: int
    waiter: str
    granted: int


def spans_of(
    calls: Iterable[Call], servers: dict[str, list[RecordedEvent]], last: int
) -> list[Span]:
    """The spans of all calls, in the order of their starts, with the calls that blocked each wait.

    `servers` has the events of each server. A span that had not ended by `last` ends there.
    """
    by_account: dict[str, list[Span]] = defaultdict(list)
    for call in calls:
        by_server: dict[str, list[RecordedEvent]] = defaultdict(list)
        for event in call.events:
            by_server[event.server].append(event)
        for server, events in by_server.items():
            both = sorted((*events, *servers.get(server, ())), key=lambda event: event.at)
            for span in _spans(call, both, last):
                by_account[span.account].append(span)
    by_lock = itertools.chain.from_iterable(map(_by_lock, by_account.values()))
    explained = itertools.chain.from_iterable(map(_explained, by_lock))
    return sorted(explained, key=lambda span: span.start)


def server_spans_of(
    server: str, events: Iterable[RecordedEvent], first: int, last: int
) -> list[ServerSpan]:
    """The states of a server from `first` to `last`; it is up before its first event."""
    kinds: dict[str, Literal["up", "paused", "down"]] = {
        "started": "up", "resumed": "up", "paused": "paused", "killed": "down",
    }  # fmt: skip
    found: list[ServerSpan] = []
    kind, since = kinds["started"], first
    for event in events:
        found.append(ServerSpan(server, kind, since, event.at))
        kind, since = kinds[event.kind], event.at
    return [*found, ServerSpan(server, kind, since, last)]


def wake_ups_of(spans: Iterable[Span]) -> list[WakeUp]:
    """Each release with the call that it let in, in the order of the grants."""
    ends: dict[str, list[int]] = defaultdict(list)
    for span in spans:
        if span.holds:
            ends[span.call].append(span.end)
    found = []
    for span in spans:
        if span.woken_by:
            released = max(end for end in ends[span.woken_by] if end <= span.end)
            found.append(WakeUp(span.account, span.woken_by, released, span.call, span.end))
    return sorted(found, key=lambda wake_up: wake_up.granted)


def _spans(call: Call, events: list[RecordedEvent], last: int) -> list[Span]:
    """The spans of a call in one server; `events` has the call's events there and the server's.

    A lock in the server's memory ends when the server ends. A lease lasts until it expires if it
    did: if the call had released it before, the release did not reach Redis.
    """
    is_lease = any(event.kind == "expired" for event in events)
    found: list[Span] = []
    asked: RecordedEvent | None = None  # the request for the lock that it holds or waits for
    released: RecordedEvent | None = None
    kind: SpanKind | None = None
    since = last

    def add(what: SpanKind, asked: RecordedEvent, start: int, end: int) -> None:
        mode: Literal["read", "write"] = "read" if asked.note == "read" else "write"
        found.append(
            Span(
                call.id, call.client, asked.account, what, mode, start, end, server=asked.server
            )
        )  # fmt: skip

    def become(what: SpanKind | None, at: int) -> None:
        nonlocal kind, since
        if asked and kind:
            add(kind, asked, since, at)
        kind, since = what, at

    has_expired = False
    for event in events:
        if event.kind == "asked":
            asked, released, has_expired = event, None, False
            become("waiting", event.at)
        if event.kind == "expired" and released:
            add("halted", released, released.at, event.at)
        if asked is None:
            continue
        works: SpanKind = "reading" if asked.note == "read" else "writing"
        match event.kind:
            case "granted":
                become(works, event.at)
            case "released":
                become(None, event.at)
                asked, released = None, None if has_expired else event
            case "timeout":
                become(None, event.at)
                asked = None
            case "failed" if kind == "waiting":
                become(None, event.at)
                asked = None
            case "expired" if kind != "waiting":
                has_expired = True
                become(None if kind == "halted" else "stale", event.at)
            case "paused" if kind != "waiting":
                become(None if has_expired else "halted", event.at)
            case "resumed" if kind != "waiting":
                become("stale" if has_expired else works, event.at)
            case "killed" if is_lease and not has_expired and kind != "waiting":
                become("halted", event.at)
            case "killed":
                become(None, event.at)
                asked = None
    become(None, last)
    return found


def _by_lock(spans: list[Span]) -> list[list[Span]]:
    """The spans of one account, split by server if each server has a lock of its own."""
    by_server: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_server[span.server].append(span)
    ends: dict[str, tuple[int, int]] = {}  # by server: the latest end of a write, and of any hold
    for hold in sorted((span for span in spans if span.holds), key=lambda span: span.start):
        writes = hold.mode == "write"
        for server, (last_write, last_hold) in ends.items():
            if server != hold.server and (last_hold if writes else last_write) > hold.start:
                return list(by_server.values())
        last_write, last_hold = ends.get(hold.server, (0, 0))
        ends[hold.server] = (
            max(last_write, hold.end * writes), max(last_hold, hold.end),
        )  # fmt: skip
    return [spans]


def _whole(spans: list[Span]) -> list[Span]:
    """The holds in the order of their starts; the parts of an interrupted hold are joined."""
    found: list[Span] = []
    latest: dict[tuple[str, str], int] = {}  # the index in `found` of each call's last hold
    for span in sorted((span for span in spans if span.holds), key=lambda span: span.start):
        at = latest.get((span.call, span.server), -1)
        if at >= 0 and found[at].end == span.start:
            found[at] = replace(found[at], end=span.end)
        else:
            latest[span.call, span.server] = len(found)
            found.append(span)
    return found


def peak_readers(spans: list[Span]) -> int:
    """The largest number of spans of kind `reading` that overlap."""
    steps = []
    for span in spans:
        if span.kind == "reading":
            steps += [(span.start, 1), (span.end, -1)]
    steps.sort()  # at the same time, ends come first
    return max(itertools.accumulate((step for _, step in steps), initial=0))


def _explained(spans: list[Span]) -> list[Span]:
    """The spans of one lock; each wait names the calls that blocked it.

    We assume that reads block each other unless the recording shows two readers at the same time.
    """
    holds = _whole(spans)
    entries = {(hold.call, hold.start) for hold in holds}
    every = _Holds(holds)
    others = _Holds([hold for hold in holds if hold.mode == "write"])
    if peak_readers(spans) < 2:
        others = every
    result = [span for span in spans if span.kind != "waiting"]
    for wait in spans:
        if wait.kind == "waiting":
            in_the_way = others if wait.mode == "read" else every
            held_by, woken_by = in_the_way.during(wait.start, wait.end)
            if (wait.call, wait.end) not in entries:
                woken_by = ""  # the call gave up, or is still waiting
            elif not woken_by:
                held_by = ()  # the call got the lock at once, beside the other holders
            result.append(replace(wait, held_by=held_by, woken_by=woken_by))
    return result


class _Holds:
    """The holds of one lock, indexed by time."""

    def __init__(self, holds: list[Span]) -> None:
        self._holds = holds
        self._starts = [hold.start for hold in holds]
        # `_reach[i]` is the latest end of the holds up to i. It never decreases, so a binary
        # search finds the first hold that may last past a given time.
        self._reach = list(itertools.accumulate((hold.end for hold in holds), max))
        self._by_end = sorted(holds, key=lambda hold: hold.end)
        self._ends = [hold.end for hold in self._by_end]

    def during(self, start: int, end: int) -> tuple[tuple[str, ...], str]:
        """The calls that held the lock between the two times, and the last one that released it."""
        last = bisect_right(self._ends, end) - 1
        released = last >= 0 and self._ends[last] >= start
        candidates = slice(bisect_right(self._reach, start), bisect_left(self._starts, end))
        held_by = tuple(hold.call for hold in self._holds[candidates] if hold.end > start)
        return held_by, self._by_end[last].call if released else ""
