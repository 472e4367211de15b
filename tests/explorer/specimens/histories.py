"""Objects that are locked everywhere and pass every assertion, and yet are not linearizable.

Each scenario records the calls of one object and has the model that the object should follow. The
mistake is where the code branches on `right`.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty
from typing import Any

from bankkit.histories import (
    BankModel,
    CounterModel,
    Model,
    QueueModel,
    ReadWriteLockModel,
    RegisterModel,
)
from bankkit.locks import NoLock, ReadWriteLock
from tests.explorer.specimens import together


@dataclass(frozen=True)
class HistorySpecimen:
    """One object with a mistake that only its history shows."""

    name: str
    code: Callable[[Any, bool], object]
    model: Model
    preemptions: int
    """The fewest preemptions of a schedule that shows the mistake."""
    says: str
    """A part of the explanation."""

    def scenario(self, *, right: bool) -> Callable[[Any], object]:
        """The scenario with the mistake, or with its correction."""
        return partial(self._run, right=right)

    def _run(self, threading: Any, right: bool) -> None:
        self.code(threading, right)


def check_then_get(threading: Any, right: bool) -> None:
    """`get` looks for an item under one lock and takes it under the next."""

    class Queue:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._items: deque[str] = deque()

        def put(self, item: str) -> None:
            with self._lock:
                self._items.append(item)

        def get(self) -> str | None:
            if right:
                with self._lock:
                    return self._take()
            with self._lock:
                is_empty = not self._items
            if is_empty:
                raise Empty
            with self._lock:
                return self._take()

        def _take(self) -> str | None:
            if not self._items:
                if right:
                    raise Empty
                return None  # "cannot happen"
            return self._items.popleft()

    queue = threading.recorded(Queue())
    queue.put("a")

    def get() -> None:
        with suppress(Empty):
            queue.get()

    together(threading, get, get)


def stale_cache(threading: Any, right: bool) -> None:
    """A reader fills the cache with a value that it read before the latest write."""

    class Register:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._store = 0
            self._cached: int | None = None

        def write(self, value: int) -> None:
            with self._lock:
                self._store, self._cached = value, None

        def read(self) -> int:
            if right:
                with self._lock:
                    return self._read()
            return self._read()

        def _read(self) -> int:
            with self._lock:
                if self._cached is not None:
                    return self._cached
                value = self._store
            with self._lock:
                self._cached = value
            return value

    register = threading.recorded(Register())
    together(threading, lambda: register.write(1), register.read)
    register.read()


def transfer_in_two_halves(threading: Any, right: bool) -> None:
    """Each half of a transfer is locked, so money is nowhere in between."""

    class Accounts:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._cents = {"alice": 5, "bob": 0}

        def transfer(self, source: str, target: str, amount: int) -> None:
            if right:
                with self._lock:
                    self._move(source, target, amount)
            else:
                self._move(source, target, amount)

        def _move(self, source: str, target: str, amount: int) -> None:
            with self._lock:
                self._cents[source] -= amount
            with self._lock:
                self._cents[target] += amount

        def balance(self, account: str) -> int:
            with self._lock:
                return self._cents[account]

    bank = threading.recorded(Accounts())
    together(
        threading,
        lambda: bank.transfer("alice", "bob", 5),
        lambda: (bank.balance("alice"), bank.balance("bob")),
    )
    assert (bank.balance("alice"), bank.balance("bob")) == (0, 5)


class Refused(Exception):
    """A call that the bank has refused."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def rolled_back_in_sight(threading: Any, right: bool) -> None:
    """A transfer that fails has taken the money for a moment, and another call is refused."""

    class Accounts:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._cents = {"alice": 5}

        def withdraw(self, account: str, amount: int) -> int:
            with self._lock:
                if self._cents[account] < amount:
                    raise Refused("INSUFFICIENT_FUNDS")
                self._cents[account] -= amount
                return self._cents[account]

        def _transfer(self, source: str, target: str, amount: int) -> None:
            refusal: Refused | None = None
            try:
                self.withdraw(source, amount)
            except Refused as error:
                refusal = error
            with self._lock:
                if target not in self._cents:
                    self._cents[source] += 0 if refusal else amount
                    raise Refused("ACCOUNT_NOT_FOUND")
                if refusal:
                    raise refusal
                self._cents[target] += amount

        def transfer(self, source: str, target: str, amount: int) -> None:
            if not right:
                self._transfer(source, target, amount)
                return
            with self._lock:
                self._transfer(source, target, amount)

    bank = threading.recorded(Accounts())

    def transfer() -> None:
        with suppress(Refused):
            bank.transfer("alice", "nobody", 5)

    def withdraw() -> None:
        with suppress(Refused):
            bank.withdraw("alice", 2)

    together(threading, transfer, withdraw)


def counted_twice(threading: Any, right: bool) -> None:
    """`increment` adds under the lock, and reads the number to return after it."""

    class Counter:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._number = threading.shared(value=0)

        def increment(self) -> int:
            with self._lock:
                self._number.value += 1
                if right:
                    return int(self._number.value)
            return int(self._number.value)

    counter = threading.recorded(Counter())
    together(threading, counter.increment, counter.increment)


def compare_then_set(threading: Any, right: bool) -> None:
    """Two threads compare, and both set."""

    class Register:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._value = 0

        def compare_and_set(self, expected: int, new: int) -> bool:
            if right:
                with self._lock:
                    return self._set(expected, new)
            return self._set(expected, new)

        def _set(self, expected: int, new: int) -> bool:
            with self._lock:
                if self._value != expected:
                    return False
            with self._lock:
                self._value = new
            return True

    register = threading.recorded(Register())
    together(
        threading,
        lambda: register.compare_and_set(0, 1),
        lambda: register.compare_and_set(0, 2),
    )


def lock_that_locks_nothing(threading: Any, right: bool) -> None:
    """A read–write lock that lets everyone in."""
    lock: Any = (ReadWriteLock if right else NoLock)(threading=threading)
    history = threading.history()

    def use(mode: str) -> None:
        guard = lock.read() if mode == "read" else lock.write()
        with history.call(f"acquire_{mode}"):
            guard.__enter__()
        with history.call(f"release_{mode}"):
            guard.__exit__(None, None, None)

    together(threading, partial(use, "read"), partial(use, "write"))


class Stale:
    """A register whose reads and writes have nothing in common."""

    def __init__(self, threading: Any) -> None:
        self._cells = threading.shared(written=0, read=0)

    def write(self, value: int) -> None:
        self._cells.written = value

    def read(self) -> int:
        return int(self._cells.read)


def stale(threading: Any, reader_first: bool = False) -> None:
    """No order of unrelated steps matters here, except to the history."""
    register = threading.recorded(Stale(threading))
    threads = [lambda: register.write(1), register.read]
    together(threading, *(threads[::-1] if reader_first else threads))


SPECIMENS = (
    HistorySpecimen(
        "check, then get", check_then_get, QueueModel(), 1,
        "Queue.get() returned None.",
    ),
    HistorySpecimen(
        "stale cache", stale_cache, RegisterModel(0), 1,
        "main's Register.read() returned 0, although",
    ),
    HistorySpecimen(
        "transfer in two halves", transfer_in_two_halves, BankModel({"alice": 5, "bob": 0}), 1,
        "Accounts.balance('bob') returned 0",
    ),
    HistorySpecimen(
        "rolled back in sight", rolled_back_in_sight, BankModel({"alice": 5}), 1,
        "Accounts.withdraw('alice', 2) raised INSUFFICIENT_FUNDS",
    ),
    HistorySpecimen(
        "counted twice", counted_twice, CounterModel(), 1, "Counter.increment() returned 2",
    ),
    HistorySpecimen(
        "compare, then set", compare_then_set, RegisterModel(0), 1,
        "returned True. In every order, it returns False.",
    ),
    HistorySpecimen(
        "lock that locks nothing", lock_that_locks_nothing, ReadWriteLockModel(), 1,
        "In no order can it take effect.",
    ),
)  # fmt: skip
