"""The recorded events as a value, and what follows from them: calls, waits, holds, wake-ups.

A `History` never changes and needs no bank. `merge` joins the parts that several processes
recorded, `rows` turns a history into a plain table, and `from_rows` reads the table back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

from bankkit.lab.recording.events import OF_SERVERS, REDIS, Call, EventKind, RecordedEvent
from bankkit.lab.recording.spans import (
    ServerSpan,
    Span,
    WakeUp,
    peak_readers,
    server_spans_of,
    spans_of,
    wake_ups_of,
)


class History:
    """Events in order of time, and what follows from them."""

    def __init__(
        self,
        events: Iterable[RecordedEvent],
        reasons: Mapping[str, str] | None = None,
        final: Mapping[str, int] | None = None,
    ) -> None:
        self.events: tuple[RecordedEvent, ...] = tuple(sorted(events, key=lambda event: event.at))
        self._reasons = dict(reasons or {})
        self.final = dict(final or {})
        """The balance of an account after all events, in cents, where somebody looked. It settles
        which of the last writes came last, if they overlap."""

    def with_final(self, account: str, balance: int) -> History:
        """The same history, and the balance that the account had after it."""
        return History(self.events, self._reasons, self.final | {account: balance})

    @staticmethod
    def merge(*parts: History) -> History:
        """Join the histories that several processes of this machine recorded.

        If one process recorded a call's client and another its server, they become one call.
        """
        reasons = {call: reason for part in parts for call, reason in part._reasons.items()}
        final = {account: cents for part in parts for account, cents in part.final.items()}
        return History(itertools.chain.from_iterable(part.events for part in parts), reasons, final)

    def rows(self) -> list[dict[str, Any]]:
        """The events as a plain table, one dict each, for pandas, `csv` or JSON."""
        return [
            asdict(event) | {"reason": self._reasons.get(event.call, "")} for event in self.events
        ]

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, Any]]) -> History:
        """Build a history from rows as `rows` returns them; numbers may be text, as in a CSV file.

        Raises ValueError for a row that is not an event.
        """
        events, reasons = [], {}
        for number, row in enumerate(rows, 1):
            try:
                kind = row["kind"]
                if kind not in get_args(EventKind):
                    raise ValueError(f"{kind!r} is not a kind of event")
                value = None if row["value"] in (None, "") else int(row["value"])
                event = RecordedEvent(
                    int(row["at"]), row["call"], kind, row["account"], value, row["note"],
                    row.get("server") or "",
                )  # fmt: skip
            except KeyError as error:
                raise ValueError(f"Row {number} is not an event: it has no {error}.") from None
            except (TypeError, ValueError) as error:
                raise ValueError(f"Row {number} is not an event: {error}.") from None
            events.append(event)
            if row.get("reason"):
                reasons[event.call] = row["reason"]
        return History(events, reasons)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All calls in the order in which they began."""
        by_call: dict[str, list[RecordedEvent]] = {}
        for event in self.events:
            if event.call:
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
        """The names of the clients; `client 2` comes before `client 10`."""
        return tuple(sorted({call.client for call in self.calls}, key=_by_number))

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """The ids of the accounts that calls named, in alphabetical order."""
        return tuple(sorted({call.account for call in self.calls if call.account}))

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """The names of the servers; `server 2` comes before `server 10`, and Redis is last."""
        names = {event.server for event in self.events} - {""}
        return tuple(sorted(names, key=lambda name: (name == REDIS, _by_number(name))))

    @cached_property
    def server_spans(self) -> tuple[ServerSpan, ...]:
        """When each server ran, was paused or was down; in order of `servers`, then of time."""
        if not self.events:
            return ()
        return tuple(
            itertools.chain.from_iterable(
                server_spans_of(server, events, self.events[0].at, self.events[-1].at)
                for server, events in self._of_servers.items()
            )
        )

    @cached_property
    def _of_servers(self) -> dict[str, list[RecordedEvent]]:
        """The events of each server, by its name."""
        found: dict[str, list[RecordedEvent]] = {server: [] for server in self.servers}
        for event in self.events:
            if event.kind in OF_SERVERS:
                found[event.server].append(event)
        return found

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The waits and holds of all calls, in the order of their starts.

        A span that had not ended by the last event ends there. The span of a hold is never longer
        than the hold: it starts after the lock was granted and ends before it was released.
        """
        return tuple(
            spans_of(self.calls, self._of_servers, self.events[-1].at if self.events else 0)
        )

    @cached_property
    def wake_ups(self) -> tuple[WakeUp, ...]:
        """Each release with the call that it let in, in the order of the grants."""
        return tuple(wake_ups_of(self.spans))

    def waits(self, mode: Literal["read", "write"]) -> list[int]:
        """How long calls waited for a lock in this mode, in nanoseconds, the longest wait last."""
        return sorted(
            span.end - span.start
            for span in self.spans
            if span.kind == "waiting" and span.mode == mode
        )

    def peak_readers(self, account: str | None = None) -> int:
        """The most calls that held an account's read lock at once; by default of any account."""
        names = {span.account for span in self.spans} if account is None else {account}
        return max(
            (peak_readers([s for s in self.spans if s.account == name]) for name in names),
            default=0,
        )


class Recorded(Protocol):
    """An object that has a history, such as a recording or the result of a race."""

    @property
    def history(self) -> History:
        """The events that were recorded."""
        ...


def history_of(source: Recorded | History) -> History:
    """The history of `source`, or `source` itself if it is a history."""
    return source if isinstance(source, History) else source.history


def _by_number(name: str) -> tuple[str, int]:
    words = name.rstrip("0123456789")
    return words, int(name[len(words) :] or 0)
