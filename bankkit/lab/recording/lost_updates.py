"""Lost updates in a history: which update was lost, and which write overwrote it.

An update is lost when another call overwrites it with a balance computed from an older read. To
find lost updates, we need the order in which reads and writes took effect in Redis. A recording
knows only two moments for each, one before and one after its effect;
`bankkit.lab.recording.linearization` finds the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from bankkit.accounts import StoreUnavailable
from bankkit.lab.recording.events import Call, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.lab.recording.linearization import RegisterOperation, linearize

BEFORE = -1
"""The place of the balance before the first write."""


@dataclass(frozen=True, slots=True)
class Write:
    """A change of a balance. Balances are in cents, times in nanoseconds."""

    call: str
    account: str
    method: str
    read: int
    """The balance from which the new one was computed."""
    wrote: int
    read_at: int
    wrote_at: int
    based_on: int
    """The place in the order of the write that left the balance `read`, or `BEFORE`."""

    @property
    def client(self) -> str:
        """The name of the client that made the call."""
        return client_of(self.call)


@dataclass(frozen=True, slots=True)
class LostUpdate:
    """An acknowledged change that the balance no longer contains, and how it was lost."""

    lost: Write
    overwritten: Write
    """The last write whose balance still contained the change: nearly always `lost` itself."""
    by: Write
    """The write that replaced that balance with one computed from an older balance."""

    @property
    def cents(self) -> int:
        """The amount of the lost change; negative if a withdrawal was lost."""
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

    Raises ValueError if no order explains the recorded values, because a change of the account was
    not recorded.
    """
    steps = sorted(_steps(history, account), key=lambda step: step.operation.start)
    operations = [step.operation for step in steps]
    final = history.final.get(account)
    if final is not None:  # read after everything else
        end = history.events[-1].at if history.events else 0
        operations.append(RegisterOperation("read", final, end + 1, end + 1))
    order = linearize(operations)
    if order is None:
        raise ValueError(f"{account} was also changed by something that was not recorded.")
    if final is not None:
        order = order[: order.index(len(steps))]
    steps = [steps[index] for index in order]
    result: list[Write] = []
    reads: dict[str, tuple[int, int, int]] = {}  # call -> balance, time, the write it saw
    balance: int | None = None
    for step, now in zip(steps, _moments([step.operation for step in steps]), strict=True):
        operation = step.operation
        before, balance = balance, operation.after(balance)
        assert balance is not None  # `linearize` returns only orders in which every value fits
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
    """The changes that an account's final balance does not contain, in their order.

    Every write computed its balance from an older one. Starting at the last write, we follow these
    steps back: the writes on this path are in the final balance, and all others are lost.
    Raises ValueError under the same condition as `writes`.
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
    """Format an amount of cents in dollars: `$200`, `-$0.05`, `$1,234.50`."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}${whole:,}.{rest:02}" if rest else f"{sign}${whole:,}"


def _moments(order: list[RegisterOperation]) -> list[int]:
    """The moment of each operation: halfway between its earliest and its latest possible moment."""
    earliest = list(accumulate((operation.start for operation in order), max))
    latest = list(accumulate((operation.end for operation in reversed(order)), min))[::-1]
    return [
        early if late == inf else (early + int(late)) // 2
        for early, late in zip(earliest, latest, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _RegisterStep:
    call: Call
    operation: RegisterOperation
    blind: bool = False  # the commit did not depend on the balance at that time


def _steps(history: History, account: str) -> Iterator[_RegisterStep]:
    for call in history.calls:
        asked: RecordedEvent | None = None
        for event in call.events:
            if event.account != account:
                continue
            if event.kind in ("reading", "committing"):
                asked = event
            elif event.kind == "read" and asked is not None:
                yield _RegisterStep(
                    call, RegisterOperation("read", event.value, asked.at, event.at)
                )
                asked = None
            elif event.kind == "committed" and asked is not None:
                # If the call did not write this balance, it is the stored reply of a retry.
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
        return _RegisterStep(call, RegisterOperation("add", left, asked.at, end, asked.value or 0))
    return _RegisterStep(
        call, RegisterOperation("write", asked.value, asked.at, end), asked.note == "commit"
    )
