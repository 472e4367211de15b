"""Which update was lost, and to whom: read off a history, whatever happened at the same time.

An update is lost when somebody writes what they made of a balance that they read before it. To
know that, the order is needed in which reads and writes took effect in Redis, of which a recording
knows only that each did between two moments: `bankkit.lab.recording.linearization` finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from bankkit.accounts import StoreUnavailable
from bankkit.lab.recording.events import Call, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.lab.recording.linearization import Operation, linearize

BEFORE = -1
"""Stands for the balance from before the first write."""


@dataclass(frozen=True, slots=True)
class Write:
    """A change of a balance. Balances are in cents, times in nanoseconds."""

    call: str
    account: str
    method: str
    read: int
    """The balance from which it was made."""
    wrote: int
    read_at: int
    wrote_at: int
    based_on: int
    """Which write left the balance that it read: its place in the order, or `BEFORE`."""

    @property
    def client(self) -> str:
        return client_of(self.call)


@dataclass(frozen=True, slots=True)
class LostUpdate:
    """An acknowledged change that the balance no longer shows, and how that came about."""

    lost: Write
    overwritten: Write
    """The last balance that still contained it: nearly always the one that it wrote itself."""
    by: Write
    """Overwrote that with what it had made of an older balance."""

    @property
    def cents(self) -> int:
        """The money that is gone; less than 0 if a withdrawal was lost."""
        return self.lost.wrote - self.lost.read

    def __str__(self) -> str:
        by, overwritten = self.by, self.overwritten
        return (
            f"{by.client} read {dollars(by.read)}, "
            f"{overwritten.client} wrote {dollars(overwritten.wrote)}, "
            f"{by.client} wrote {dollars(by.wrote)} over it"
        )


def writes(history: History, account: str) -> tuple[Write, ...]:
    """The changes of an account's balance in the order in which they took effect.

    ValueError if no order explains what was seen, because something that was not recorded changed
    the account as well.
    """
    steps = sorted(_steps(history, account), key=lambda step: step.operation.start)
    order = linearize([step.operation for step in steps])
    if order is None:
        raise ValueError(f"{account} was also changed by something that was not recorded.")
    steps = [steps[index] for index in order]
    result: list[Write] = []
    reads: dict[str, tuple[int, int, int]] = {}  # call -> balance, time, the write it saw
    balance: int | None = None
    for step, now in zip(steps, _moments([step.operation for step in steps]), strict=True):
        operation = step.operation
        before, balance = balance, operation.after(balance)
        assert balance is not None  # or this were no explanation
        latest = len(result) - 1
        if operation.kind == "read":
            reads[step.call.id] = (balance, now, latest)
            continue
        if before is None:
            before = balance - operation.delta if operation.kind == "add" else 0
        read, read_at, based_on = (before, now, latest)
        if step.blind:
            read, read_at, based_on = reads[step.call.id]
        result.append(
            Write(
                step.call.id, account, step.call.method, read, balance, read_at, now, based_on
            )
        )  # fmt: skip
    return tuple(result)


def lost_updates(history: History, account: str) -> tuple[LostUpdate, ...]:
    """The changes of an account that its balance does not show in the end, in their order.

    Every balance was made from an older one. Those from which the last one was made, step by step,
    are in it; all others are lost. ValueError as for `writes`.
    """
    order = writes(history, account)
    kept = set()
    at = len(order) - 1
    while at != BEFORE:
        kept.add(at)
        at = order[at].based_on
    last_with = list(range(len(order)))  # for each write, the last one whose balance contains it
    for index in reversed(range(len(order))):
        base = order[index].based_on
        if base != BEFORE:
            last_with[base] = max(last_with[base], last_with[index])
    return tuple(
        LostUpdate(write, order[last_with[index]], order[last_with[index] + 1])
        for index, write in enumerate(order)
        if index not in kept
    )


def dollars(cents: int) -> str:
    """For people: `$200`, `-$0.05`, `$1,234.50`."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}${whole:,}.{rest:02}" if rest else f"{sign}${whole:,}"


def _moments(order: list[Operation]) -> list[int]:
    """When each took effect: half-way between the earliest and the latest that the order allows."""
    earliest = list(accumulate((operation.start for operation in order), max))
    latest = list(accumulate((operation.end for operation in reversed(order)), min))[::-1]
    return [
        early if late == inf else (early + int(late)) // 2
        for early, late in zip(earliest, latest, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _RegisterStep:
    call: Call
    operation: Operation
    blind: bool = False  # committed whatever the balance was by then


def _steps(history: History, account: str) -> Iterator[_RegisterStep]:
    for call in history.calls:
        asked: RecordedEvent | None = None
        for event in call.events:
            if event.account != account:
                continue
            if event.kind in ("reading", "committing"):
                asked = event
            elif event.kind == "read" and asked is not None:
                yield _RegisterStep(call, Operation("read", event.value, asked.at, event.at))
                asked = None
            elif event.kind == "committed" and asked is not None:
                # A balance that it did not write is the reply to a request answered before.
                changed = asked.note == "add" or event.value == asked.value
                if changed and event.note != "replied":
                    yield _change(call, asked, event)
                asked = None
            elif event.kind == "failed" and asked is not None:
                if asked.kind == "committing" and event.note == StoreUnavailable.reason:
                    yield _change(call, asked, None)
                asked = None
        if asked is not None and asked.kind == "committing":
            yield _change(call, asked, None)


def _change(call: Call, asked: RecordedEvent, answer: RecordedEvent | None) -> _RegisterStep:
    end = inf if answer is None else answer.at
    if asked.note == "add":
        left = None if answer is None else answer.value
        return _RegisterStep(call, Operation("add", left, asked.at, end, asked.value or 0))
    return _RegisterStep(
        call, Operation("write", asked.value, asked.at, end), asked.note == "commit"
    )
