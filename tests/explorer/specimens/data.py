"""Shared data that locks do not protect, or not enough."""

from contextlib import nullcontext
from typing import Any

from tests.explorer.specimens import Specimen, together


def unguarded_counter(threading: Any, right: bool) -> None:
    """Two threads read the same value, so that one of the two increments is lost."""
    counter = threading.shared(value=0)
    mutex = threading.Lock() if right else nullcontext()

    def increment() -> None:
        with mutex:
            counter.value += 1

    together(threading, increment, increment)
    assert counter.value == 2


def check_then_act(threading: Any, right: bool) -> None:
    """The lock is released between the check of the balance and the withdrawal."""
    account = threading.shared(balance=100)
    mutex = threading.Lock()

    def withdraw() -> None:
        with mutex:
            enough = account.balance >= 100
            if enough and right:
                account.balance -= 100
        if enough and not right:
            with mutex:
                account.balance -= 100

    together(threading, withdraw, withdraw)
    assert account.balance >= 0


def two_locks_for_one_thing(threading: Any, right: bool) -> None:
    """Deposits and withdrawals take different locks, so they do not exclude each other."""
    account = threading.shared(balance=0)
    deposits = threading.Lock()
    withdrawals = deposits if right else threading.Lock()

    def deposit() -> None:
        with deposits:
            account.balance += 100

    def withdraw() -> None:
        with withdrawals:
            account.balance -= 100

    together(threading, deposit, withdraw)
    assert account.balance == 0


def torn_read(threading: Any, right: bool) -> None:
    """The audit takes no lock, so it can read between the two halves of a transfer."""
    accounts = threading.shared(alice=100, bob=0)
    mutex = threading.Lock()

    def transfer() -> None:
        with mutex:
            accounts.alice -= 100
            accounts.bob += 100

    def audit() -> None:
        with mutex if right else nullcontext():
            assert accounts.alice + accounts.bob == 100

    together(threading, transfer, audit)


def published_too_early(threading: Any, right: bool) -> None:
    """Double-checked initialisation sets `ready` before it sets the value."""
    box = threading.shared(ready=False, value=None)
    mutex = threading.Lock()

    def get() -> None:
        if not box.ready:
            with mutex:
                if not box.ready:
                    box.ready = not right
                    box.value = "made"
                    box.ready = True
        assert box.value == "made"

    together(threading, get, get)


def flag_after_the_check(threading: Any, right: bool) -> None:
    """Mutual exclusion by two flags: a thread that sees the other's flag does not enter."""
    flags = threading.shared(left=False, right=False)
    inside = threading.shared(count=0)

    def enter(mine: str, others: str) -> None:
        if right:
            setattr(flags, mine, True)
        if not getattr(flags, others):
            setattr(flags, mine, True)
            inside.count += 1
            assert inside.count == 1
            inside.count -= 1
        setattr(flags, mine, False)

    together(threading, lambda: enter("left", "right"), lambda: enter("right", "left"))


def compare_and_set_without_the_compare(threading: Any, right: bool) -> None:
    """Optimistic locking that does not check the version again when it writes."""
    row = threading.shared(version=0, balance=0)
    store = threading.Lock()

    def deposit() -> None:
        while True:
            with store:
                version, balance = row.version, row.balance
            with store:
                if row.version == version or not right:
                    row.version, row.balance = version + 1, balance + 100
                    return

    together(threading, deposit, deposit)
    assert row.balance == 200


SPECIMENS = (
    Specimen("unguarded counter", unguarded_counter, "failed assertion", 1),
    Specimen("check, then act", check_then_act, "failed assertion", 1),
    Specimen("two locks for one thing", two_locks_for_one_thing, "failed assertion", 1),
    Specimen("torn read", torn_read, "failed assertion", 1),
    Specimen("published too early", published_too_early, "failed assertion", 1),
    Specimen("flag after the check", flag_after_the_check, "failed assertion", 2),
    Specimen(
        "compare-and-set without the compare",
        compare_and_set_without_the_compare,
        "failed assertion",
        1,
    ),
)
