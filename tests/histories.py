"""Histories that nobody recorded: as large as a picture has to bear."""

import random

from bankkit.lab.recording.history import Event, EventKind, History


def crowded(clients: int, spans: int, *, with_lock: bool = True) -> History:
    """Deposits and reads of many clients at one account, each a wait and a hold: two spans a call.

    With a lock, many readers or one writer hold it at a time; without, everybody goes at once, and
    updates get lost. Times are those of a quick machine: holds take some 50 µs.
    """
    dice = random.Random(spans)
    events: list[Event] = []
    free = [0] * clients  # from when on each client is
    last_write = last_read = 0
    touches: list[tuple[int, bool, str]] = []  # when, whether it is a commit, and whose

    def add(at: int, kind: EventKind, value: int | None = None, note: str = "") -> None:
        events.append(Event(at, call, kind, "alice", value, note))

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
