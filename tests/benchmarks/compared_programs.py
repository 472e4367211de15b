"""Small programs for several explorers, in plain Python, without a hint for any of them.

Each has a state, workers that use it, and a condition that must hold when they have ended. They use
the module `threading` as code does that knows of no explorer. `compare_explorers` runs them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bankkit.locks import FirstDraftLock
from tests.benchmarks.other_explorers import Corrected, read, write

Worker = Callable[[Any], object]


@dataclass(frozen=True)
class Program:
    """A program, and whether it has a bug."""

    name: str
    setup: Callable[[], Any]
    """Makes the state."""
    workers: tuple[Worker, ...]
    """Each runs in a thread of its own, with the state."""
    holds: Callable[[Any], bool]
    """What must be true of the state at the end."""
    has_bug: bool


def always(state: object) -> bool:
    """The condition of a program that must only come to its end."""
    return True


class Counter:
    """A counter that two threads increment, with and without a lock."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def add(self) -> None:
        """Increment without the lock."""
        self.value += 1

    def add_safely(self) -> None:
        """Increment with the lock."""
        with self.lock:
            self.value += 1

    def is_two(self) -> bool:
        """Whether no increment is lost."""
        return self.value == 2


class Account:
    """An account from which two threads withdraw all that is there."""

    def __init__(self) -> None:
        self.balance = 100
        self.lock = threading.Lock()

    def withdraw(self) -> None:
        """Check under the lock, and withdraw under the lock, but not under the same."""
        with self.lock:
            enough = self.balance >= 100
        if enough:
            with self.lock:
                self.balance -= 100

    def withdraw_safely(self) -> None:
        """Check and withdraw while the lock is held."""
        with self.lock:
            if self.balance >= 100:
                self.balance -= 100

    def is_covered(self) -> bool:
        """Whether the account is not overdrawn."""
        return self.balance >= 0


class Table:
    """Three philosophers, each of whom needs two forks."""

    def __init__(self) -> None:
        self.forks = [threading.Lock() for _ in range(3)]

    def dine(self, first: int, second: int) -> None:
        """Eat with these two forks, taken in this order."""
        with self.forks[first], self.forks[second]:
            pass


class Mailbox:
    """Two consumers wait for items; one producer brings two."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.changed = threading.Condition()

    def take(self) -> None:
        """Wait with `if`: another consumer may be faster than the one that was woken."""
        with self.changed:
            if not self.items:
                self.changed.wait()
            self.items.pop()

    def take_safely(self) -> None:
        """Wait with `while`."""
        with self.changed:
            while not self.items:
                self.changed.wait()
            self.items.pop()

    def put_two(self) -> None:
        """Bring one item after the other."""
        for item in ("first", "second"):
            with self.changed:
                self.items.append(item)
                self.changed.notify()


def left_first(seat: int) -> Worker:
    """A philosopher who takes the left fork first."""
    return lambda table: table.dine(seat, (seat + 1) % 3)


def lower_first(seat: int) -> Worker:
    """A philosopher who takes the fork with the lower number first."""
    first, second = sorted((seat, (seat + 1) % 3))
    return lambda table: table.dine(first, second)


SEATS = range(3)
PROGRAMS = (
    Program("lost update", Counter, (Counter.add,) * 2, Counter.is_two, True),
    Program("with a lock", Counter, (Counter.add_safely,) * 2, Counter.is_two, False),
    Program("check, then act", Account, (Account.withdraw,) * 2, Account.is_covered, True),
    Program(
        "check and act", Account, (Account.withdraw_safely,) * 2, Account.is_covered, False
    ),
    Program("philosophers", Table, tuple(map(left_first, SEATS)), always, True),
    Program("ordered forks", Table, tuple(map(lower_first, SEATS)), always, False),
    Program("if for while", Mailbox, (Mailbox.take,) * 2 + (Mailbox.put_two,), always, True),
    Program("while", Mailbox, (Mailbox.take_safely,) * 2 + (Mailbox.put_two,), always, False),
    Program("first-draft", FirstDraftLock, (read, write), always, True),
    Program("corrected draft", Corrected, (read, write), always, False),
)  # fmt: skip
