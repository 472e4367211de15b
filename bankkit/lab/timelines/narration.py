"""The words of a timeline: its title, and the line for readers who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.lab.drawing.text import counted, listed
from bankkit.lab.recording.events import OF_SERVERS
from bankkit.lab.recording.lost_updates import dollars
from bankkit.lab.timelines.lanes import Lanes, Mark

MAX_TOLD = 8
"""Up to this number, faults are named one by one."""


def finding(lanes: Lanes) -> str:
    """The title: what this run shows, with its amounts and clients."""
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
    return f"{amount}: {share} were written over" if gone else f"{share} lost; the losses cancel"


def in_words(lanes: Lanes) -> str:
    """The line for readers who cannot see the timeline; the same in every run of an experiment."""
    clients = counted(len(lanes.clients) + lanes.left_out, "client")
    shown = f"{clients}, one lane each, on the account {lanes.account}"
    if lanes.servers:
        shown += f", and {listed(lanes.servers)}{_told(lanes.marks)}"
    if lanes.trouble:
        return f"{shown}; the balance is unknown: something that was not recorded changed it."
    if not lanes.steps:
        return f"{shown}; nobody read the balance."
    if not lanes.writes:
        return f"{shown}; nobody wrote, so the balance below stays as it was."
    if lanes.lost:
        return f"{shown}; an update was lost, so the balance below parts from the expected one."
    return f"{shown}; no update was lost: the balance below is the expected one all the time."


def _told(marks: Sequence[Mark]) -> str:
    """Each fault with its server or client, in order; only the kinds if there are many faults."""
    if len(marks) <= MAX_TOLD:
        # Unknown outcomes come last: the time at which a client gives up differs between runs.
        in_order = sorted(marks, key=lambda mark: (mark.kind == "unknown", mark.at))
        return "".join(f"; {mark}" for mark in in_order)
    what = {mark.said_of("one") for mark in marks if mark.kind in OF_SERVERS}
    return f"; now and then {listed(sorted(what))}" if what else ""


def shortened(name: str, length: int = 16) -> str:
    """The name, cut to `length` characters with an ellipsis at the end."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
