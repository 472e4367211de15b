"""What one change makes of a failing schedule: the steps to make in another order, and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bankkit.explorer.answers.dependence import StepRecord


@dataclass(frozen=True, slots=True)
class Exchange:
    """One change of a schedule. Steps are numbered from 0."""

    later: int
    """The step that is held back, or that takes another option."""
    earlier: int | None = None
    """The step that comes before it instead."""
    thread: int = 0
    """Without `earlier`: the key of the thread that goes on first, further than in the schedule."""
    turns: int | None = None
    """How many steps that thread makes first; None for as many as it can."""
    option: int | None = None
    """Without both: the option that the step takes instead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run a changed schedule. Steps are given by their numbers in the failing one."""

    exact: list[int]
    """These steps come first, and must be possible in this order."""
    pending: list[int]
    """Then these, as far as they are possible, in an order that keeps what depends on what."""

    @classmethod
    def of(cls, exchange: Exchange, records: Sequence[StepRecord]) -> Plan:
        """The plan for a change: what depends on the step that is held back waits with it."""
        first, last = exchange.later, exchange.earlier
        before = list(range(first))
        if exchange.option is not None:
            return cls([*before, first], list(range(first + 1, len(records))))
        end = len(records) if last is None else last
        held = [number for number in range(first, end) if records[number].past >> first & 1]
        exact = [number for number in range(end) if number < first or number not in set(held)]
        if last is None:
            return cls(exact, held)
        return cls([*exact, last], [*held, *range(last + 1, len(records))])

    def least_distance(self, records: Sequence[StepRecord]) -> int:
        """How many positions the part that is certain changes."""
        return sum(
            records[number].thread != records[place].thread
            for place, number in enumerate(self.exact)
        )


def conflicting(records: Sequence[StepRecord]) -> list[Exchange]:
    """Each pair of steps that use one object and can come in the opposite order, closest first."""
    return _pairs(records, conflict=True)


def unrelated(records: Sequence[StepRecord]) -> list[Exchange]:
    """Each pair of steps that could change places and use no object together, closest first.

    Their order matters if the threads share data that nobody tracks.
    """
    return _pairs(records, conflict=False)


def _pairs(records: Sequence[StepRecord], *, conflict: bool) -> list[Exchange]:
    found = [
        Exchange(first, last)
        for last, record in enumerate(records)
        for first, other in enumerate(records[:last])
        if other.thread != record.thread
        and not record.before >> first & 1
        and other.conflicts(record) is conflict
    ]
    return sorted(found, key=lambda pair: ((pair.earlier or 0) - pair.later, pair.later))


def other_options(records: Sequence[StepRecord]) -> list[Exchange]:
    """Each choice that was made otherwise: of an alternative, or of the thread to wake."""
    return [
        Exchange(number, option=option)
        for number, record in enumerate(records)
        for option in record.options
        if option != record.option
    ]


def unfinished(records: Sequence[StepRecord], threads: Sequence[int]) -> list[Exchange]:
    """Each step held back until another thread, which had not ended, has gone on; latest first."""
    return [
        Exchange(number, thread=thread)
        for number in reversed(range(len(records)))
        for thread in threads
        if thread != records[number].thread
    ]


def distance(failing: Sequence[StepRecord], turns: Sequence[tuple[int, int]]) -> int:
    """At how many places of the failing schedule another thread comes, or takes another option.

    Each turn is a thread's key and its option. Places that the other schedule does not have count.
    """
    same = sum(
        (record.thread, record.option) == turn for record, turn in zip(failing, turns, strict=False)
    )
    return len(failing) - same
