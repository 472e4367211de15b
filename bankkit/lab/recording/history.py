"""What happened, as data: events, and what can be read off them.

A `History` is a value: it never changes, needs no bank, and can be put together from the parts that
several processes recorded (`merge`), saved as a plain table (`rows`), and read back (`from_rows`).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

EventKind = Literal[
    "sent",  # client: the call was made · note: the method
    "encoded",  # client: the request became bytes · value: how many
    "arrived",  # server: the call is there, its bytes and a thread are still to come · note: method
    "began",  # server: a thread works on it · value: bytes received
    "asked",  # a lock · note: read or write
    "granted",  # the lock · note: read or write
    "timeout",  # the lock was not had in time · note: read or write
    "reading",  # the store is asked for the account
    "read",  # · value: the balance · note: `replied` if the request was answered before
    "committing",  # the store is asked for a change · note: how · value: the new balance or, for
    # `add`, the difference
    "committed",  # · value: the balance · note: how (commit, compare_and_set, add or create), or
    # `replied` if the request was answered before
    "failed",  # the store refused a read or a change · note: why
    "released",  # the lock, or what was held of it until now · note: read or write
    "replied",  # server: the answer is made · note: the status code
    "received",  # client: the answer is there · note: the status code
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call. Balances are in cents."""

    at: int
    """Nanoseconds on the clock of `time.monotonic_ns`, one for all processes of a machine."""
    call: str
    """The id of the call: `CLIENT#NUMBER`."""
    kind: EventKind
    account: str = ""
    value: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a call's life at a lock, from `start` to `end` in nanoseconds."""

    call: str
    client: str
    account: str
    kind: Literal["waiting", "reading", "writing"]
    mode: Literal["read", "write"]
    """What the lock was asked for."""
    start: int
    end: int
    held_by: tuple[str, ...] = ()
    """Of a wait: the calls that held the lock meanwhile and stood in the way."""
    woken_by: str = ""
    """Of a wait: the call whose release ended it; empty if it was not seen, or nobody's was."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A release and the grant that it made possible; times in nanoseconds."""

    account: str
    releaser: str
    released: int
    waiter: str
    granted: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call with its events in the order of their times."""

    id: str
    method: str
    account: str
    events: tuple[Event, ...]
    reason: str = ""
    """The ErrorInfo's, of a call that the bank refused."""

    @property
    def client(self) -> str:
        return client_of(self.id)

    @property
    def status(self) -> str:
        """The name of the status code that the client got; empty while the call is in flight.

        Of a call whose client was not recorded: what the server answered.
        """
        for kind in ("received", "replied"):
            for event in self.events:
                if event.kind == kind:
                    return event.note
        return ""

    def find(self, kind: EventKind) -> Event | None:
        """The first event of this kind, if there is one."""
        return next((event for event in self.events if event.kind == kind), None)

    def find_last(self, kind: EventKind) -> Event | None:
        """The last one: a call that gRPC has tried again has several."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)


class History:
    """Events in the order of their times, and what follows from them."""

    def __init__(self, events: Iterable[Event], reasons: Mapping[str, str] | None = None) -> None:
        self.events: tuple[Event, ...] = tuple(sorted(events, key=lambda event: event.at))
        self._reasons = dict(reasons or {})

    @staticmethod
    def merge(*parts: History) -> History:
        """One history of what several processes of this machine recorded.

        A call that a client recorded in one and a server in another becomes one call.
        """
        reasons = {call: reason for part in parts for call, reason in part._reasons.items()}
        return History(itertools.chain.from_iterable(part.events for part in parts), reasons)

    def rows(self) -> list[dict[str, Any]]:
        """The events as a plain table, a dict each, for pandas, `csv` or JSON."""
        return [
            asdict(event) | {"reason": self._reasons.get(event.call, "")} for event in self.events
        ]

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, Any]]) -> History:
        """The history that `rows` made; numbers may be text, as from a CSV file.

        ValueError for a row that is no event.
        """
        events, reasons = [], {}
        for number, row in enumerate(rows, 1):
            try:
                kind = row["kind"]
                if kind not in get_args(EventKind):
                    raise ValueError(f"there are no events of the kind {kind!r}")
                value = None if row["value"] in (None, "") else int(row["value"])
                event = Event(int(row["at"]), row["call"], kind, row["account"], value, row["note"])
            except KeyError as error:
                raise ValueError(f"Row {number} is no event: it has no {error}.") from None
            except (TypeError, ValueError) as error:
                raise ValueError(f"Row {number} is no event: {error}.") from None
            events.append(event)
            if row.get("reason"):
                reasons[event.call] = row["reason"]
        return History(events, reasons)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All calls in the order in which they began."""
        by_call: dict[str, list[Event]] = {}
        for event in self.events:
            by_call.setdefault(event.call, []).append(event)
        return tuple(
            Call(
                id=call,
                method=next((e.note for e in events if e.kind in ("sent", "arrived")), ""),
                account=next((e.account for e in events if e.account), ""),
                events=tuple(events),
                reason=self._reasons.get(call, ""),
            )
            for call, events in by_call.items()
        )

    @cached_property
    def clients(self) -> tuple[str, ...]:
        """Their names, `client 2` before `client 10`."""
        return tuple(sorted({call.client for call in self.calls}, key=_by_number))

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """The ids of the accounts that calls were about."""
        return tuple(sorted({call.account for call in self.calls if call.account}))

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Who waited for a lock, read or wrote, and when; in the order of their starts.

        What had not ended by the last event is cut off there. A span never claims more than was
        held: it starts after the lock was granted and ends before it was released.
        """
        found: list[Span] = []
        for call in self.calls:
            start: Event | None = None
            for event in call.events:
                if event.kind == "asked":
                    start = event
                elif start and event.kind in ("granted", "timeout", "released"):
                    found.append(_span(call, start, event.at))
                    start = event if event.kind == "granted" else None
            if start:
                found.append(_span(call, start, self.events[-1].at))
        by_account: dict[str, list[Span]] = defaultdict(list)
        for span in found:
            by_account[span.account].append(span)
        explained = itertools.chain.from_iterable(map(_explained, by_account.values()))
        return tuple(sorted(explained, key=lambda span: span.start))

    @cached_property
    def wake_ups(self) -> tuple[WakeUp, ...]:
        """Which release let whom in, in the order of the grants."""
        ends = {span.call: span.end for span in self.spans if span.kind != "waiting"}
        found = [
            WakeUp(span.account, span.woken_by, ends[span.woken_by], span.call, span.end)
            for span in self.spans
            if span.woken_by
        ]
        return tuple(sorted(found, key=lambda wake_up: wake_up.granted))

    def peak_readers(self, account: str | None = None) -> int:
        """How many held the read lock of an account at once, at most; of any account by default."""
        names = {span.account for span in self.spans} if account is None else {account}
        return max(
            (_peak([s for s in self.spans if s.account == name]) for name in names), default=0
        )


def client_of(call: str) -> str:
    """The name of the client that made the call of this id."""
    return call.rpartition("#")[0]


def _by_number(name: str) -> tuple[str, int]:
    words = name.rstrip("0123456789")
    return words, int(name[len(words) :] or 0)


def _span(call: Call, start: Event, end: int) -> Span:
    mode: Literal["read", "write"] = "read" if start.note == "read" else "write"
    kind: Literal["waiting", "reading", "writing"] = "waiting"
    if start.kind == "granted":
        kind = "reading" if mode == "read" else "writing"
    return Span(call.id, call.client, start.account, kind, mode, start.at, end)


def _peak(spans: list[Span]) -> int:
    steps = []
    for span in spans:
        if span.kind == "reading":
            steps += [(span.start, 1), (span.end, -1)]
    steps.sort()  # at the same time, ends come first
    return max(itertools.accumulate((step for _, step in steps), initial=0))


def _explained(spans: list[Span]) -> list[Span]:
    """The spans of one account, with who stood in the way of those that wait.

    Two reads stand in each other's way unless this lock was seen to let readers in together.
    """
    holds = sorted((s for s in spans if s.kind != "waiting"), key=lambda span: span.start)
    entries = {(hold.call, hold.start) for hold in holds}
    every = _Holds(holds)
    others = _Holds([hold for hold in holds if hold.kind == "writing"])
    if _peak(holds) < 2:
        others = every
    result = list(holds)
    for wait in spans:
        if wait.kind == "waiting":
            in_the_way = others if wait.mode == "read" else every
            held_by, woken_by = in_the_way.during(wait.start, wait.end)
            if (wait.call, wait.end) not in entries:
                woken_by = ""  # it gave up, or waits still
            elif not woken_by:
                held_by = ()  # it was let in at once, whoever else was in there
            result.append(replace(wait, held_by=held_by, woken_by=woken_by))
    return result


class _Holds:
    """Holds of one lock, to be asked who had it at some time."""

    def __init__(self, holds: list[Span]) -> None:
        self._holds = holds
        self._starts = [hold.start for hold in holds]
        # The latest end so far: before the first that reaches past a time, none does.
        self._reach = list(itertools.accumulate((hold.end for hold in holds), max))
        self._by_end = sorted(holds, key=lambda hold: hold.end)
        self._ends = [hold.end for hold in self._by_end]

    def during(self, start: int, end: int) -> tuple[tuple[str, ...], str]:
        """The calls that held the lock between the two, and the last one that released it there."""
        last = bisect_right(self._ends, end) - 1
        released = last >= 0 and self._ends[last] >= start
        candidates = slice(bisect_right(self._reach, start), bisect_left(self._starts, end))
        held_by = tuple(hold.call for hold in self._holds[candidates] if hold.end > start)
        return held_by, self._by_end[last].call if released else ""
