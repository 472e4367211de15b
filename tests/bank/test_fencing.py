"""A server that has lost its lock on Redis changes nothing, and reports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

import bankkit
from bankkit import lab
from bankkit.locks import RedisLocks, RedisLockStatistics
from bankkit.pb import bank_pb2


@pytest.fixture(scope="module")
def shared() -> Iterator[bankkit.Bank]:
    """A bank that all tests of this file share."""
    with bankkit.Bank("redis-read-write") as bank:
        yield bank


@pytest.fixture
def bank(shared: bankkit.Bank) -> Iterator[bankkit.Bank]:
    """The shared bank with an empty account `alice`, which is deleted after the test."""
    shared.client.create_account("alice")
    yield shared
    shared.redis.delete(*shared.redis.keys(f"{shared.store.namespace}:{{alice}}:*"))


@pytest.fixture
def rival(bank: bankkit.Bank) -> Iterator[Callable[[str], object]]:
    """Acts as another server after this one's lease has expired: it takes the lock, deposits $5,
    and releases the lock. We delete the lock's key: an expired lease does no more."""
    locks = RedisLocks(bank.store.link, owner="rival")

    def deposit(account_id: str) -> None:
        key = bank.store.lock_key(account_id)
        bank.redis.delete(key)
        with locks(key).write(timeout=5) as fence:
            cents = bank.store.read(account_id).account.balance
            bank.store.commit(account_id, cents + 500, fence=fence)

    yield deposit
    locks.close()


def once(do: Callable[[str], object]) -> Callable[[str], object]:
    """A function that calls `do` the first time, and then does nothing."""
    left = [do]
    return lambda account_id: left.pop()(account_id) if left else None


def test_a_lost_lock_is_aborted_and_nothing_is_applied(
    bank: bankkit.Bank, rival: Callable[[str], object]
) -> None:
    request = bank_pb2.DepositRequest(account_id="alice", amount=100, request_id="r")
    with lab.after_read(bank, once(rival)), pytest.raises(grpc.RpcError) as refused:
        bank.stub.Deposit(request, timeout=10)
    error: Any = refused.value
    info = bankkit.error_info(error)
    assert error.code() is grpc.StatusCode.ABORTED
    assert info is not None
    assert info.reason == "LOCK_LOST"
    assert "Nothing was applied" in error.details()
    assert bank.client.get_balance("alice").balance == 5
    assert set(bank.peek("alice")) == {"bank:{alice}:account"}  # no reply is stored
    assert bank.stub.Deposit(request, timeout=10).balance == 105


def test_the_client_tries_again_by_itself(
    bank: bankkit.Bank, rival: Callable[[str], object]
) -> None:
    with lab.after_read(bank, once(rival)):
        assert bank.client.deposit("alice", 100).balance == 105
    with lab.after_read(bank, once(rival)):
        assert bank.client.withdraw("alice", 100).balance == 10
    with lab.after_read(bank, once(rival)):
        assert bank.client.calculate_interest("alice", 100).balance == 30


def test_a_lease_that_ended_without_a_successor_is_over_too(bank: bankkit.Bank) -> None:
    def forget(account_id: str) -> None:
        bank.redis.delete(bank.store.lock_key(account_id))

    request = bank_pb2.DepositRequest(account_id="alice", amount=100)
    with lab.after_read(bank, forget), pytest.raises(grpc.RpcError) as refused:
        bank.stub.Deposit(request, timeout=10)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.ABORTED


def test_a_lock_lost_after_the_change_takes_nothing_back(
    bank: bankkit.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bank.store.commit

    def commit_and_lose(account_id: str, *rest: Any) -> int:
        balance = commit(account_id, *rest)
        bank.redis.delete(bank.store.lock_key(account_id))
        return balance

    monkeypatch.setattr(bank.store, "commit", commit_and_lose)
    reply = bank.stub.Deposit(bank_pb2.DepositRequest(account_id="alice", amount=100), timeout=10)
    assert reply.balance == 100


def test_a_lock_lost_while_reading_takes_no_answer_back(bank: bankkit.Bank) -> None:
    def forget(account_id: str) -> None:
        bank.redis.delete(bank.store.lock_key(account_id))

    with lab.after_read(bank, forget):
        request = bank_pb2.AccountRequest(account_id="alice")
        assert bank.stub.GetBalance(request, timeout=10).balance == 0


def test_the_token_of_another_account_opens_nothing(bank: bankkit.Bank) -> None:
    locks = RedisLocks(bank.store.link)
    with (
        locks(bank.store.lock_key("bob")).write() as fence,
        pytest.raises(bankkit.accounts.LockLost),
    ):
        bank.store.commit("alice", 100, fence=fence)
    locks.close()
    assert bank.client.get_balance("alice").balance == 0


def test_who_holds_an_account_is_seen_from_outside() -> None:
    seen: list[Any] = []
    with bankkit.Bank("redis-read-write", lease=7.0) as bank:
        bank.client.create_account("alice")
        look = bank.server.teller.locks.statistics
        with lab.after_read(bank, lambda account_id: seen.append(look(account_id))):
            bank.client.deposit("alice", 1)
    (statistics,) = seen
    assert isinstance(statistics, RedisLockStatistics)
    (holder,) = statistics.holders
    assert holder.mode == "write"
    assert 5 < holder.seconds_left <= 7


@pytest.mark.parametrize("lease", [0, -1, 0.01, float("nan"), float("inf"), "3", None])
def test_a_lease_that_is_none(lease: Any) -> None:
    with pytest.raises(ValueError, match=r"lease must be 0\.1 to 3600 seconds"):
        bankkit.Bank("redis-read-write", lease=lease)


def test_it_is_always_fair() -> None:
    with pytest.raises(ValueError, match="Only read-write has policies"):
        bankkit.Bank("redis-read-write", policy="writers")
