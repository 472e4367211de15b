"""What can happen to a call or to a server, and a call as the events that happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    "failed",  # the lock, or the store a read or a change, for another reason · note: why
    "released",  # the lock, or what was held of it until now · note: read or write
    "expired",  # the lease of the lock that the call held · note: read or write
    "replied",  # server: the answer is made · note: the status code
    "received",  # client: the answer is there · note: the status code
    # Of a server, or of Redis, and not of a call:
    "started",  # for the first time or again
    "killed",
    "paused",
    "resumed",
]


OF_SERVERS = ("started", "killed", "paused", "resumed")
"""The kinds of events that happen to a server."""

REDIS = "Redis"
"""Its name among the servers, for what happens to it."""

FENCED_OFF = "LOCK_LOST"
"""The reason of a call that lost its lock before its change, which was not made then."""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """Something that happened to a call. Balances are in cents."""

    at: int
    """Nanoseconds on the clock of `time.monotonic_ns`, one for all processes of a machine."""
    call: str
    """The id of the call: `CLIENT#NUMBER`; empty if it happened to a server."""
    kind: EventKind
    account: str = ""
    value: int | None = None
    note: str = ""
    server: str = ""
    """The name of the server that it happened in, where there are several."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call with its events in the order of their times."""

    id: str
    method: str
    account: str
    events: tuple[RecordedEvent, ...]
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

    def find(self, kind: EventKind) -> RecordedEvent | None:
        """The first event of this kind, if there is one."""
        return next((event for event in self.events if event.kind == kind), None)

    def find_last(self, kind: EventKind) -> RecordedEvent | None:
        """The last one: a call that gRPC has tried again has several."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)


def client_of(call: str) -> str:
    """The name of the client that made the call of this id."""
    return call.rpartition("#")[0]
