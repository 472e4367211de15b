"""What a timeline says in words: its title, and the line for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.lab.drawing.text import counted, listed
from bankkit.lab.recording.events import OF_SERVERS
from bankkit.lab.recording.lost_updates import dollars
from bankkit.lab.timelines.lanes import Lanes, Mark

MAX_TOLD = 8
"""Up to this number, the faults of servers are told one by one."""


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
    what = {mark.said_of("one") for mark in marks if mark.kind in OF_SERVERS}
    return f"; now and then {listed(sorted(what))}" if what else ""


def shortened(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
