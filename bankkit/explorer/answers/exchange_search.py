"""Looks for a schedule that ends well and differs from a failing one in a single order.

One pair of steps changes places: the later of them, with all that it needs, is made first, and what
depends on the earlier one waits with it. All other steps keep their order, as far as they are then
possible. The schedule is run. If it ends well, the order of the two steps decides. Compare Choi and
Zeller, "Isolating failure-inducing thread schedules", ISSTA 2002, who narrow down the difference
between a failing and a passing run, and the reversals of `strategies.dpor`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bankkit.explorer.answers.dependence import Recorder, StepRecord
from bankkit.explorer.answers.exchange import (
    Exchange,
    Plan,
    conflicting,
    distance,
    other_options,
    unfinished,
    unrelated,
)
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.schedules.schedule import Move, Schedule
from bankkit.explorer.strategies.strategy import Step

MOST_STEPS = 100_000
"""About so many steps are run in search of the nearest counterpart."""

MOST_TURNS = 100
"""The most steps that a thread makes beyond the failing schedule while another one is held back."""


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A schedule that ends well, and what distinguishes it from the failing one."""

    schedule: Schedule
    """Its moves have no descriptions yet."""
    numbers: tuple[int | None, ...]
    """For each of its steps: which step of the failing schedule it is, from 0, if it is one."""
    exchange: Exchange
    turns_end: int
    """If another thread goes on first: its last step before the one that is held back."""
    failing: StepRecord
    """The step that is held back or takes another option, as in the failing schedule."""
    partner: tuple[StepRecord, StepRecord] | None
    """The step that now comes before it, as in the failing schedule and as in this one."""
    chosen: StepRecord | None
    """The step that takes another option."""


class ExchangeSearch(Recorder):
    """Runs the failing schedule, and then what each change makes of it."""

    def __init__(self, scheduler: Scheduler, failing: Schedule) -> None:
        super().__init__(scheduler)
        self.best: Counterpart | None = None
        self.follows = False
        """Whether the failing schedule could be run, and failed."""
        self._moves = failing.moves
        self._starts = {label: index for index, label in enumerate(failing.threads)}
        self.failing: list[StepRecord] = []
        """The steps of the failing schedule."""
        self._unfinished: list[int] = []
        """The threads that had not ended when the failing schedule was over."""
        self._next: Iterator[tuple[Exchange, Plan]] = iter(())
        self._shortest: tuple[float, ...] = (math.inf,)
        """How far `best` is from the failing schedule: how many of its positions have another step,
        and how many new steps come before the one that is held back. Among equals, the pairs in
        the failing schedule come first, then what is alike for longest, then the fewest steps of a
        thread that goes on."""
        self._is_good = False
        """Whether the latest schedule ended well."""
        self._steps = 0
        """The steps of all schedules so far."""
        self._exchange = Exchange(0)
        self._numbers: list[int | None] = []
        self._exact: list[int] = []
        self._pending: list[int] = []
        self._turns = 0
        """How many steps the other thread has made while one was held back."""
        self._turns_end = -1
        self._apart: set[int] = set()
        """The threads that do something else now."""
        self._impossible = False
        """Whether a step that had to come could not."""
        self._endless = False

    def begin(self) -> None:
        """Forget the schedule before, except what it has shown."""
        super().begin()
        self._numbers = []
        self._impossible = self._endless = False

    def advance(self) -> bool:
        """Look at the schedule that was run, and prepare the next one; False if there is none."""
        self.complete()
        if not self.follows:
            if self._impossible or len(self.records) < len(self._moves) or self._ends_well():
                return False
            self.follows = True
            self.failing = self.records[: len(self._moves)]
            self._unfinished = [task.key for task in self.scheduler.tasks if not task.done]
            self._next = self._candidates()
        else:
            self._steps += len(self.records)
            self._is_good = self._ends_well()
            if self._is_good:
                self._compare()
        if self._steps > MOST_STEPS:
            return False
        following = next(self._next, None)
        if following is None:
            return False
        self._exchange, plan = following
        self._exact, self._pending = plan.exact[::-1], list(plan.pending)
        self._turns, self._turns_end = 0, -1
        self._apart = set()
        return True

    def _ends_well(self) -> bool:
        ended = self.ending is None and self.scheduler.failure is None
        return ended and not self._impossible and not self._endless

    @property
    def has_given_up(self) -> bool:
        """Whether there was more to try."""
        return self._steps > MOST_STEPS

    # What to try.

    def _candidates(self) -> Iterator[tuple[Exchange, Plan]]:
        failing = self.failing
        yield from self._near([*other_options(failing), *conflicting(failing)])
        for exchange, plan in self._near(unfinished(failing, self._unfinished)):
            yield exchange, plan
            if self._is_good and self._turns:  # perhaps fewer steps of that thread are enough
                for turns in range(1, self._turns):
                    yield Exchange(exchange.later, thread=exchange.thread, turns=turns), plan
                    if self._is_good:
                        break
                break
        if self.best is None:
            yield from self._near(unrelated(failing))

    def _near(self, exchanges: list[Exchange]) -> Iterator[tuple[Exchange, Plan]]:
        """Those of the changes that may be nearer than what was found."""
        for each in exchanges:
            plan = Plan.of(each, self.failing)
            if plan.least_distance(self.failing) <= self._shortest[0]:
                yield each, plan

    def _compare(self) -> None:
        """Keep the schedule that was run if it is nearer to the failing one."""
        failing, records, exchange = self.failing, self.records, self._exchange
        held, is_made = failing[exchange.later], exchange.later in self._numbers
        if exchange.option is None and not is_made and not held.op.fires:
            return  # a daemon thread that made this step no more
        goes_on = exchange.earlier is None and exchange.option is None
        if goes_on and not self._turns:
            return
        until = self._numbers.index(exchange.later) if is_made else self._turns_end + 1
        between = self._numbers[:until].count(None)
        turns = [(record.thread, record.option) for record in records]
        far = (distance(failing, turns) + between, goes_on, -exchange.later, self._turns)
        if far >= self._shortest:
            return
        partner = None
        if exchange.earlier is not None:
            there = self.records[self._numbers.index(exchange.earlier)]
            partner = failing[exchange.earlier], there
        self._shortest = far
        self.best = Counterpart(
            Schedule(
                tuple(Move(each.label, each.option, "") for each in records),
                tuple(task.label for task in self.scheduler.tasks),
            ),
            tuple(self._numbers),
            exchange,
            self._turns_end,
            held,
            partner,
            records[exchange.later] if exchange.option is not None else None,
        )

    # How to run it.

    def choices(self) -> list[Step]:
        """All choices; none if the schedule becomes much longer than the failing one."""
        depth = self.scheduler.depth
        if depth >= min(self.scheduler.limit, 4 * len(self._moves) + 10 * MOST_TURNS):
            self._endless = True
            return []
        return super().choices()

    def pick(self, choices: list[Step]) -> Step | None:
        """The step that the changed schedule has here, or the next that keeps its order."""
        if not self.follows:
            return self._as_recorded(choices)
        only = self.scheduler.only
        if self._exact and only in (None, choices[-1].task):
            return self._as_planned(choices)
        if self._is_turn():
            choice = self._of(self._exchange.thread, choices)
            if choice is not None:
                self._turns += 1
                self._turns_end = len(self.records)
                return choice
            if self._exchange.turns is not None:
                self._impossible = True
                return None
            self._exchange = Exchange(
                self._exchange.later, thread=self._exchange.thread, turns=self._turns
            )
        return self._in_order(choices) or self._extra(choices[-1])

    def _as_recorded(self, choices: list[Step]) -> Step | None:
        """The step of the failing schedule."""
        number = len(self.records)
        if number == len(self._moves):
            return choices[-1]
        move = self._moves[number]
        for choice in choices:
            its = self._starts.get(move.thread) == choice.task.index
            if its and choice.option == move.option:
                return choice
        self._impossible = True
        return None

    def _as_planned(self, choices: list[Step]) -> Step | None:
        """The next step that must come now; its result may differ if it is the last of them."""
        number = self._exact.pop()
        record = self.failing[number]
        mine = [
            choice
            for choice in choices
            if choice.task.key == record.thread and choice.op is record.op
        ]
        wanted = self._exchange.option
        if self._exact or wanted is None:
            wanted = record.option
        for choice in mine:
            if choice.option == wanted:
                self._numbers.append(number)
                return choice
        if self._exact or self._exchange.earlier is None or not mine:
            self._impossible = True
            return None
        self._numbers.append(number)
        return mine[-1]

    def _is_turn(self) -> bool:
        """Whether the other thread goes on now, while one is held back."""
        exchange = self._exchange
        if exchange.earlier is not None or exchange.option is not None:
            return False
        return self._turns < (MOST_TURNS if exchange.turns is None else exchange.turns)

    def _in_order(self, choices: list[Step]) -> Step | None:
        """A step of a thread that has steps of the failing schedule left, if one can go on.

        It is one that depends on none of the other steps left. If no such step is possible, the
        change has made another order necessary; then the running thread goes on, or the next one.
        """
        left = sum(1 << number for number in self._pending)
        tried: set[int] = set()
        possible: list[Step] = []
        for number in self._pending:
            record = self.failing[number]
            if record.thread in tried:
                continue
            tried.add(record.thread)
            choice = self._possible(record.thread, choices)
            if choice is None:
                continue
            if record.past & left == 1 << number:
                return self._of(record.thread, choices)
            possible.append(choice)
        if not possible:
            return None
        running = self.records[-1].thread if self.records else 0
        keys = [choice.task.key for choice in possible]
        return self._of(running if running in keys else keys[0], choices)

    def _possible(self, thread: int, choices: list[Step]) -> Step | None:
        """The thread's step, if it has one: that of the failing schedule, and no early timeout."""
        mine = [choice for choice in choices if choice.task.key == thread]
        number = self._first_left(thread)
        if number is not None:
            record = self.failing[number]
            for choice in mine:
                if choice.op is record.op and choice.option == record.option:
                    return choice
        mine = [choice for choice in mine if not (choice.option and choice.op.fires)]
        return mine[-1] if mine else None

    def _of(self, thread: int, choices: list[Step]) -> Step | None:
        """The thread's step, if it has one, taken as the first one that it has left."""
        choice = self._possible(thread, choices)
        if choice is None:
            return None
        number = self._first_left(thread)
        if number is None:
            return self._extra(choice)
        (self._pending if number in self._pending else self._exact).remove(number)
        record = self.failing[number]
        target = choice.task.target
        key = 0 if target is None else target.explorer_key
        if choice.op is not record.op or key != record.target:
            self._apart.add(thread)
        self._numbers.append(None if thread in self._apart else number)
        return choice

    def _first_left(self, thread: int) -> int | None:
        """The first step of the thread that the failing schedule has and this run has not made."""
        left = [*reversed(self._exact), *self._pending]
        return next((each for each in left if self.failing[each].thread == thread), None)

    def _extra(self, choice: Step) -> Step:
        """The choice, as a step that the failing schedule does not have."""
        self._numbers.append(None)
        return choice
