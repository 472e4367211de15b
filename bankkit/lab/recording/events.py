"""The events of calls and servers, and a call as the list of its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "sent",  # client: it made the call · note: the method
    "encoded",  # client: it encoded the request · value: the number of bytes
    "arrived",  # server: the call arrived, without its bytes or a thread yet · note: the method
    "began",  # server: a thread works on the call · value: the number of bytes received
    "asked",  # the call asked for a lock · note: read or write
    "granted",  # the call got the lock · note: read or write
    "timeout",  # the call did not get the lock in time · note: read or write
    "reading",  # the server asks the store for the account
    "read",  # the store replied · value: the balance · note: `replied` if the request was
    # answered before
    "committing",  # the server asks the store for a change · note: how · value: the new balance
    # or, for `add`, the difference
    "committed",  # the store replied · value: the balance · note: how (commit, compare_and_set,
    # add or create), or `replied` if the request was answered before
    "failed",  # the lock, a read or a change failed for another reason · note: the reason
    "released",  # the call released the lock, or gave up a lock that was lost · note: read or write
    "expired",  # the lease of the lock that the call held expired · note: read or write
    "replied",  # server: it made the reply · note: the status code
    "received",  # client: it received the reply · note: the status code
    # These events belong to a server or to Redis, not to a call:
    "started",  # for the first time or again
    "killed",
    "paused",
    "resumed",
]


OF_SERVERS = ("started", "killed", "paused", "resumed")
"""The kinds of events that belong to a server."""

REDIS = "Redis"
"""The name that stands for Redis where an event names its server."""

FENCED_OFF = "LOCK_LOST"
"""The reason of a call that lost its lock before its change; the change was not applied."""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of a call or a server. Balances are in cents."""

    at: int
    """Nanoseconds on the clock of `time.monotonic_ns`, one for all processes of a machine."""
    call: str
    """The id of the call, `CLIENT#NUMBER`; empty for an event of a server."""
    kind: EventKind
    account: str = ""
    value: int | None = None
    note: str = ""
    server: str = ""
    """The server in which it happened, if there are several."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call with its events in order of time."""

    id: str
    method: str
    account: str
    events: tuple[RecordedEvent, ...]
    reason: str = ""
    """The reason in the ErrorInfo if the bank refused the call; otherwise empty."""

    @property
    def client(self) -> str:
        """The name of the client, taken from the id."""
        return client_of(self.id)

    @property
    def status(self) -> str:
        """The name of the status code that the client got; empty while the call is in flight.

        If the client was not recorded, this is the status code that the server sent.
        """
        for kind in ("received", "replied"):
            for event in self.events:
                if event.kind == kind:
                    return event.note
        return ""

    def find(self, kind: EventKind) -> RecordedEvent | None:
        """The first event of this kind; None if there is none."""
        return next((event for event in self.events if event.kind == kind), None)

    def find_last(self, kind: EventKind) -> RecordedEvent | None:
        """The last event of this kind; a call that gRPC has retried may have several."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)


def client_of(call: str) -> str:
    """The name of the client that made the call with this id."""
    return call.rpartition("#")[0]
