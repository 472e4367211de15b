"""Two servers deposit at once under the lock on Redis, and each may lose its lease on the way."""

from __future__ import annotations

from typing import Any

from bankkit import money
from bankkit.accounts import LockLost
from bankkit.lab.schedules.redis_steps import RedisPoints
from bankkit.locks import LeaseLost, RedisLocks
from bankkit.redis_backend.namespaces import sweep
from bankkit.store import Store


class TwoServers:
    """Each server takes the lock, reads, may fall asleep until its lease is over, and commits.

    Real code on a real Redis: the bank's store and its lock. `fenced` says whether a commit comes
    with the fencing token of its hold, as the bank's commits do.

    All that the store's namespace holds is deleted before each schedule.
    """

    account = "joint"
    deposit = 100_00

    def __init__(self, store: Store, *, fenced: bool) -> None:
        self.store = store
        self.fenced = fenced

    def __call__(self, threading: Any) -> None:
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
                    seen = accounts.read(self.account)
                    redis.may_expire(fence)
                    balance = seen.account.balance + self.deposit
                    proof = fence if self.fenced else None
                    accounts.commit(self.account, balance, fence=proof)
                    acknowledged.append(self.deposit)
            except (LockLost, LeaseLost):
                pass  # whose commit was refused is told so, and acknowledges nothing

        threads = [threading.Thread(target=serve, name=f"server {number}") for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lost = sum(acknowledged) - self.store.read(self.account).account.balance
        assert not lost, f"${money.to_dollars(lost):.0f} is lost, though it was acknowledged"
