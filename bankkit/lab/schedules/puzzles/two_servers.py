"""A scenario: two servers deposit at once under the Redis lock, and each may lose its lease."""

from __future__ import annotations

from typing import Any

from bankkit import money
from bankkit.accounts import LockLost
from bankkit.lab.schedules.redis_steps import RedisPoints
from bankkit.locks import LeaseLost, RedisLocks
from bankkit.redis_backend.namespaces import sweep
from bankkit.store import Store


class TwoServers:
    """Each server takes the lock, reads, may sleep until its lease expires, and commits.

    This is real code on a real Redis: the bank's store and its lock. If `fenced`, a commit carries
    the fencing token of its lock, as the bank's commits do.

    Each schedule begins by deleting every key in the store's namespace.
    """

    account = "joint"
    deposit = 100_00

    def __init__(self, store: Store, *, fenced: bool) -> None:
        self.store = store
        self.fenced = fenced

    def __call__(self, threading: Any) -> None:
        """Run both servers once. AssertionError if an acknowledged deposit is lost."""
        sweep(self.store.client, self.store.namespace)
        self.store.create(self.account, "savings")
        redis = RedisPoints(self.store.link, threading)
        accounts = redis.points(self.store, "read", "commit")
        key = self.store.lock_key(self.account)
        acknowledged: list[int] = []

        def serve() -> None:
            locks = RedisLocks(redis, lease=3600, renew=False, threading=threading)
            try:
                with locks(key).write() as fence:
                    snapshot = accounts.read(self.account)
                    redis.may_expire(fence)
                    balance = snapshot.account.balance + self.deposit
                    token = fence if self.fenced else None
                    accounts.commit(self.account, balance, fence=token)
                    acknowledged.append(self.deposit)
            except (LockLost, LeaseLost):
                pass  # the commit was refused, so the server acknowledges nothing

        threads = [threading.Thread(target=serve, name=f"server {number}") for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lost = sum(acknowledged) - self.store.read(self.account).account.balance
        assert not lost, f"${money.to_dollars(lost):.0f} is lost, though it was acknowledged"
