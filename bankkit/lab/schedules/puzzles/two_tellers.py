"""A scenario: two deposits at once, through the bank's real code, on a real Redis."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bankkit import money
from bankkit.accounts import Busy
from bankkit.lab.schedules.puzzles.holders import holders
from bankkit.locks import Lock, LockTable, NoLock
from bankkit.redis_backend import own_namespace
from bankkit.redis_backend.connection import connect
from bankkit.redis_backend.namespaces import sweep
from bankkit.store import Store
from bankkit.teller import CallDeadline, Teller


class TwoTellers:
    """Alice and Bob each deposit $100 into the same account.

    This is real code: the bank's tellers and store on a real Redis, which the first run opens. The
    steps are the calls of the store and the operations of the lock. A deposit has no deadline, so
    it times out only if the scheduler fires a timeout.
    """

    account = "joint"

    def __init__(self, make_lock: Callable[..., Lock]) -> None:
        self._make_lock = make_lock
        self._lock: Lock | None = None
        self._store: Store | None = None
        self._resources = ExitStack()
        self._names: dict[int, str] = {}

    def __call__(self, threading: Any) -> None:
        """Run both deposits once. AssertionError if an acknowledged deposit is lost."""
        real_store = self._store = self._store or self._open()
        sweep(real_store.client, real_store.namespace)
        real_store.create(self.account, "savings")
        acknowledged: list[float] = []

        def make_lock(account_id: str) -> Lock:
            self._lock = self._make_lock(threading=threading)
            return self._lock

        store = threading.points(real_store, "read", "commit")
        # The table's own mutex is real, so that the steps are those of the account's lock.
        teller = Teller(store, threading.trust(LockTable(make_lock)))

        def deposit() -> None:
            try:
                teller.deposit(self.account, 100.0, "", CallDeadline(math.inf))
                acknowledged.append(100.0)
            except Busy:
                pass  # nothing was applied, and the customer was told so

        threads = [threading.Thread(target=deposit, name=name) for name in ("alice", "bob")]
        self._lock = None
        for thread in threads:
            thread.start()
        self._names = {thread.ident: thread.name for thread in threads}
        for thread in threads:
            thread.join()
        balance = real_store.read(self.account).account.balance
        lost = sum(acknowledged) - money.to_dollars(balance)
        assert not lost, f"${lost:.0f} is lost, though it was acknowledged"

    def look(self) -> dict[str, str]:
        """The balance and the account's lock in words; empty before the first run."""
        if self._store is None:
            return {}
        cents = self._store.read(self.account).account.balance
        facts = {"balance in Redis": f"${money.to_dollars(cents):.0f} ({cents} cents)"}
        if self._make_lock is not NoLock:
            facts["the account's lock"] = "free"
            if self._lock is not None:
                facts["the account's lock"] = holders(self._lock, self._names)
        return facts

    def close(self) -> None:
        """Disconnect, and stop a private Redis. The next run opens it again."""
        self._store = None
        self._resources.close()

    def _open(self) -> Store:
        with ExitStack() as stack:
            engine, namespace = stack.enter_context(own_namespace())
            client = connect(engine.url)
            stack.callback(client.close)
            self._resources = stack.pop_all()
        return Store(client, namespace)
