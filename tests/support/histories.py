"""Artificial histories: some are as large as a picture must be able to show."""

import random

from bankkit.lab.recording.events import EventKind, RecordedEvent
from bankkit.lab.recording.history import History


def crowded(clients: int, spans: int, *, with_lock: bool = True) -> History:
    """Deposits and reads of many clients on one account. Each call has two spans: wait and hold.

    With a lock, many readers or one writer hold it at a time. Without it, all calls run at once,
    and updates are lost. Times are those of a fast machine: a hold takes about 50 µs.
    """
    dice = random.Random(spans)
    events: list[RecordedEvent] = []
    free = [0] * clients  # the time from which each client is free
    last_write = last_read = 0
    touches: list[tuple[int, bool, str]] = []  # time, whether it is a commit, client

    def add(at: int, kind: EventKind, value: int | None = None, note: str = "") -> None:
        events.append(RecordedEvent(at, call, kind, "alice", value, note))

    for number in range(1, spans // 2 + 1):
        client = min(range(clients), key=free.__getitem__)
        call = f"client {client + 1}#{number}"
        writes = dice.random() < 0.4
        mode = "write" if writes else "read"
        asked = free[client] + dice.randrange(400_000)
        granted = asked + 2_000
        if with_lock:
            granted = max(granted, last_write + 3_000, last_read + 3_000 if writes else 0)
        released = granted + dice.randrange(20_000, 90_000)
        add(asked - 5_000, "sent", note="Deposit" if writes else "GetBalance")
        add(asked, "asked", note=mode)
        add(granted, "granted", note=mode)
        touches.append((granted + 2_000, False, call))
        if writes:
            touches.append((released - 2_000, True, call))
            last_write = max(last_write, released)
        else:
            last_read = max(last_read, released)
        add(released, "released", note=mode)
        add(released + 4_000, "received", note="OK")
        free[client] = released + 5_000
    balance = 20_000
    seen: dict[str, int] = {}
    for at, is_commit, call in sorted(touches):
        if is_commit:
            balance = seen[call] + 100
        else:
            seen[call] = balance
        add(at - 100, "committing" if is_commit else "reading", balance, "commit" * is_commit)
        add(at, "committed" if is_commit else "read", balance, "commit" * is_commit)
    return History(events)


MS = 1_000_000


def killed() -> History:
    """A server is killed while it holds the lock; another one waits until the lease has expired."""
    return History(
        [
            *_call("client 1#1", "server 1", 0, 1, read=(2, 0)),
            RecordedEvent(60 * MS, "", "killed", server="server 1"),
            RecordedEvent(61 * MS, "client 1#1", "received", note="UNAVAILABLE"),
            RecordedEvent(500 * MS, "client 1#1", "expired", "alice", None, "write", "server 1"),
            *_call("client 2#2", "server 2", 40, 510, read=(511, 0), wrote=(512, 100_00), ends=513),
            RecordedEvent(600 * MS, "", "started", server="server 1"),
        ]
    )


def paused(*, fencing: bool) -> History:
    """A server is paused until after its lease, and resumed after another one has written."""
    history = [
        *_call("client 1#1", "server 1", 0, 1, read=(2, 0)),
        RecordedEvent(60 * MS, "", "paused", server="server 1"),
        RecordedEvent(500 * MS, "client 1#1", "expired", "alice", None, "write", "server 1"),
        *_call("client 2#2", "server 2", 70, 510, read=(511, 0), wrote=(540, 100_00), ends=541),
        RecordedEvent(700 * MS, "", "resumed", server="server 1"),
        RecordedEvent(710 * MS, "client 1#1", "committing", "alice", 100_00, "commit", "server 1"),
    ]
    if fencing:
        history += [
            RecordedEvent(740 * MS, "client 1#1", "failed", "alice", None, "LOCK_LOST", "server 1"),
            RecordedEvent(742 * MS, "client 1#1", "released", "alice", None, "write", "server 1"),
            RecordedEvent(750 * MS, "client 1#1", "received", note="ABORTED"),
        ]
        return History(history, {"client 1#1": "LOCK_LOST"})
    history += [
        RecordedEvent(740 * MS, "client 1#1", "committed", "alice", 100_00, "commit", "server 1"),
        RecordedEvent(742 * MS, "client 1#1", "released", "alice", None, "write", "server 1"),
        RecordedEvent(750 * MS, "client 1#1", "received", note="OK"),
    ]
    return History(history)


def _call(
    call: str,
    server: str,
    asked: float,
    granted: float,
    *,
    read: tuple[float, int],
    wrote: tuple[float, int] | None = None,
    ends: float | None = None,
) -> list[RecordedEvent]:
    """The events of a deposit in a server, up to where it ends; in milliseconds and cents."""

    def event(
        at: float, kind: EventKind, value: int | None = None, note: str = ""
    ) -> RecordedEvent:
        return RecordedEvent(round(at * MS), call, kind, "alice", value, note, server)

    found = [
        RecordedEvent(round(asked * MS) - 10, call, "sent", "alice", None, "Deposit"),
        event(asked, "asked", None, "write"),
        event(granted, "granted", None, "write"),
        event(read[0] - 0.1, "reading"),
        event(read[0], "read", read[1]),
    ]
    if wrote:
        found.append(event(wrote[0] - 0.1, "committing", wrote[1], "commit"))
        found.append(event(wrote[0], "committed", wrote[1], "commit"))
    if ends:
        found.append(event(ends, "released", None, "write"))
        found.append(RecordedEvent(round(ends * MS) + 10, call, "received", note="OK"))
    return found
