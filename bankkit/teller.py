"""One operation on one account: take the lock, read, apply the rule, commit.

A named choice, `concurrency`, says how the operations on one account are kept apart:

    none          nothing keeps them apart: updates are lost, as a lesson shows
    mutex         one operation at a time
    first-draft   a read–write lock with a lost wakeup, kept as a specimen
    read-write    many readers or one writer
    redis-read-write
                  the same across servers: the lock is in Redis, and every commit is fenced
    atomic        no lock: Redis makes each change in one step

All choices but `atomic` commit blindly: they write what the rule made of the balance that they
read. A compare-and-set would hide the race that the lock prevents. A commit is refused only if its
lock was lost, if its outcome was in doubt and the account was read again since, or if another
server has taken over the accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bankkit import accounts, money
from bankkit.accounts import Account, Busy, Rule, StoreUnavailable, TooLate
from bankkit.locks import (
    IN_PROCESS,
    POLICIES,
    Fence,
    LeaseLost,
    LockTable,
    LockTimeout,
    RedisLocks,
)
from bankkit.namespace_lease import NO_LEASE, Lease
from bankkit.observed import ObservedLocks, ObservedStore
from bankkit.observer import Observer
from bankkit.store import OutOfBounds, Outranked, Request, Snapshot, Store, WriteConflict

ACROSS_SERVERS = ("redis-read-write", "atomic")
"""Choices that are safe with any number of servers, as long as all of them have the same one."""

CHOICES = (*IN_PROCESS, *ACROSS_SERVERS)


@dataclass(slots=True)  # not frozen: every call makes one, and a frozen one is slower to make
class CallDeadline:
    """When a caller stops waiting for an operation, and whether it still waits."""

    at: float
    """Seconds on the clock of `time.monotonic`."""
    is_wanted: Callable[[], bool] = lambda: True

    def remaining(self) -> float:
        """The seconds until then, at least 0."""
        return max(0.0, self.at - time.monotonic())

    def check(self) -> None:
        """Raises `TooLate` if no caller waits for the answer any more."""
        if time.monotonic() >= self.at or not self.is_wanted():
            raise TooLate


class Teller:
    """Keeps operations apart with a lock for each account.

    Every method first checks its arguments and raises the `BankError` that says what is wrong. A
    method that changes the balance returns the new one in cents. Called again under the same
    request id, it returns the first reply again and changes nothing.
    """

    def __init__(
        self, store: Store, locks: LockTable, close: Callable[[], None] = lambda: None
    ) -> None:
        self.store: Store | ObservedStore = store
        self.locks: LockTable | ObservedLocks = locks
        self._unobserved = store, locks
        self.close = close
        """Ends what the locks have running."""
        self.lease: Lease = NO_LEASE
        """Asked before each write; a server puts its own here."""
        self._in_doubt: set[str] = set()
        """Accounts whose last commit was not answered; an account's lock guards its entry."""

    def create(self, account_id: str, account_type: str) -> Account:
        """Open an account. Raises `AccountExists` if there is one with this id."""
        accounts.check_account_id(account_id)
        accounts.check_account_type(account_type)
        self.lease.generation()
        return self.store.create(account_id, account_type)  # one step in Redis: needs no lock

    def balance(self, account_id: str, deadline: CallDeadline) -> int:
        """The balance in cents, read under the account's read lock."""
        accounts.check_account_id(account_id)
        try:
            with self.locks.read(account_id, deadline.remaining()):
                deadline.check()
                balance = self.store.read(account_id).account.balance
        except LockTimeout:
            raise Busy from None
        except LeaseLost:
            pass  # on leaving: the balance was read, and in one step
        return balance

    def deposit(
        self, account_id: str, dollars: float, request_id: str, deadline: CallDeadline
    ) -> int:
        """Add an amount to the balance. Raises `LimitExceeded` past the largest balance."""
        accounts.check_account_id(account_id)
        accounts.check_request_id(request_id)
        amount = accounts.check_amount(dollars)
        request = Request.of(request_id, "Deposit", amount)
        return self._add(account_id, amount, accounts.deposit, request, deadline)

    def withdraw(
        self, account_id: str, dollars: float, request_id: str, deadline: CallDeadline
    ) -> int:
        """Take an amount from the balance. Raises `InsufficientFunds` if the balance is less."""
        accounts.check_account_id(account_id)
        accounts.check_request_id(request_id)
        amount = accounts.check_amount(dollars)
        request = Request.of(request_id, "Withdraw", amount)
        return self._add(account_id, -amount, accounts.withdraw, request, deadline)

    def add_interest(
        self, account_id: str, percent: float, request_id: str, deadline: CallDeadline
    ) -> int:
        """Add so many percent of the balance, rounded half-even to the cent."""
        accounts.check_account_id(account_id)
        accounts.check_request_id(request_id)
        rate = accounts.check_rate(percent)
        request = Request.of(request_id, "CalculateInterest", rate)
        rule = partial(accounts.add_interest, percent=rate)
        return self._apply(account_id, rule, request, deadline)

    def set_observers(self, observers: Sequence[Observer]) -> None:
        """Has these observers, and no others, told of its locks and accounts: see `Server.observe`.

        With none, as in production, nothing stands between the teller, its locks and its store.
        """
        store: Store | ObservedStore
        locks: LockTable | ObservedLocks
        store, locks = self._unobserved
        for observer in observers:
            store, locks = ObservedStore(store, observer), ObservedLocks(locks, observer)
        self.store, self.locks = store, locks

    def _add(
        self,
        account_id: str,
        delta: int,
        rule: Callable[[int, int], int],
        request: Request | None,
        deadline: CallDeadline,
    ) -> int:
        """`rule` takes the balance and the size of `delta`."""
        return self._apply(account_id, lambda balance: rule(balance, abs(delta)), request, deadline)

    def _apply(
        self, account_id: str, rule: Rule, request: Request | None, deadline: CallDeadline
    ) -> int:
        try:
            with self.locks.write(account_id, deadline.remaining()) as fence:
                balance = self._change(account_id, rule, request, deadline, fence)
        except LockTimeout:
            raise Busy from None
        except Outranked as refusal:
            raise self.lease.lost_to(refusal.generation) from None
        except LeaseLost:
            pass  # on leaving: the change was made, and while the lock was held
        return balance

    def _change(
        self,
        account_id: str,
        rule: Rule,
        request: Request | None,
        deadline: CallDeadline,
        fence: Fence | None,
    ) -> int:
        while True:
            deadline.check()
            generation = self.lease.generation()
            snapshot = self._read(account_id, request, generation)
            if snapshot.replied is not None:
                return snapshot.replied
            balance = rule(snapshot.account.balance)
            deadline.check()
            try:
                return self._commit(snapshot, balance, request, fence, generation)
            except WriteConflict:
                continue

    def _read(self, account_id: str, request: Request | None, generation: int) -> Snapshot:
        if account_id in self._in_doubt:
            self.store.fence(account_id)
            self._in_doubt.discard(account_id)
        return self.store.read(account_id, request, generation)

    def _commit(
        self,
        snapshot: Snapshot,
        balance: int,
        request: Request | None,
        fence: Fence | None,
        generation: int,
    ) -> int:
        account_id = snapshot.account.id
        try:
            return self.store.commit(
                account_id, balance, request, snapshot.epoch, fence, generation
            )
        except StoreUnavailable:
            # It may still be on its way. If it arrived after the next operation had read the
            # balance, one of the two would be lost: that one fences it off first.
            self._in_doubt.add(account_id)
            raise


class AtomicTeller(Teller):
    """Takes no lock: Redis runs one script at a time, and a script makes the whole change."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, LockTable(lambda _: IN_PROCESS["none"]()))

    def _add(
        self,
        account_id: str,
        delta: int,
        rule: Callable[[int, int], int],
        request: Request | None,
        deadline: CallDeadline,
    ) -> int:
        deadline.check()
        generation = self.lease.generation()
        try:
            return self.store.add(account_id, delta, 0, money.MAX_CENTS, request, generation)
        except OutOfBounds as refused:
            rule(refused.balance, abs(delta))  # raises what the refusal means
            raise
        except Outranked as refusal:
            raise self.lease.lost_to(refusal.generation) from None

    def _commit(
        self,
        snapshot: Snapshot,
        balance: int,
        request: Request | None,
        fence: Fence | None,
        generation: int,
    ) -> int:
        # Interest depends on the balance and Lua's doubles would misround it: computed here, and
        # stored only if the balance is still the one it was computed from.
        before = snapshot.account
        return self.store.compare_and_set(before.id, before.balance, balance, request, generation)


def is_alone(concurrency: str) -> bool:
    """Whether the choice is safe only while no other process serves the same accounts."""
    return concurrency in IN_PROCESS


def check_choice(concurrency: str, policy: str = "fair", locks: LockTable | None = None) -> None:
    """Raises ValueError that says what is allowed."""
    if concurrency not in CHOICES:
        raise ValueError(f"concurrency must be one of {', '.join(CHOICES)}, not {concurrency!r}.")
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}.")
    if policy != "fair" and (concurrency != "read-write" or locks is not None):
        owner = concurrency if locks is None else "a bank with locks of its own"
        raise ValueError(f"Only read-write has policies: policy cannot be {policy!r} for {owner}.")
    if locks is not None and not is_alone(concurrency):
        raise ValueError(
            f"locks take the place of those of {', '.join(IN_PROCESS)}, not of {concurrency}."
        )


def make(
    concurrency: str,
    store: Store,
    *,
    policy: str,
    lease: float,
    owner: str | None,
    locks: LockTable | None = None,
) -> Teller:
    """The teller of that name. The arguments must be those that `check_choice` allows.

    `policy` is the order in which a read–write lock in this process admits threads. A lock in Redis
    is kept for `lease` seconds unless it is renewed, and shows `owner` as the name of its holder.
    `locks` are locks of your own, which take the place of those of an in-process choice.
    """
    if locks is not None:
        return Teller(store, locks)
    if concurrency == "atomic":
        return AtomicTeller(store)
    if concurrency == "redis-read-write":
        leases = RedisLocks(store.link, lease=lease, owner=owner)
        table = LockTable(lambda account_id: leases(store.lock_key(account_id)))
        return Teller(store, table, leases.close)
    options = {"policy": policy} if concurrency == "read-write" else {}
    return Teller(store, LockTable(lambda _: IN_PROCESS[concurrency](**options)))
