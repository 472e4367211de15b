"""The lock on Redis, driven through every schedule: its scripts are the steps, on a real Redis."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bankkit import lab
from bankkit.lab.schedules.puzzles.two_servers import TwoServers
from bankkit.lab.schedules.redis_steps import RedisPoints
from bankkit.locks import LeaseLost, RedisLocks
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import connect
from bankkit.redis_backend.namespaces import sweep
from bankkit.store import Store


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with closing(PrivateRedis()) as server, connect(server.url) as client:
        yield Store(client)


def test_without_fencing_a_lease_that_ran_out_loses_money(store: Store) -> None:
    result = lab.explore(TwoServers(store, fenced=False), timeouts=0)
    assert result.bug is not None
    assert result.bug.kind == "failed assertion"
    assert "$100 is lost" in result.bug.text
    steps = [(move.thread, move.does) for move in result.bug.schedule.moves]
    assert ("server 1", "call redis.expire") in steps
    again = lab.replay(TwoServers(store, fenced=False), result.bug.schedule)
    assert again.kind == "failed assertion"
    fenced = lab.replay(TwoServers(store, fenced=True), result.bug.schedule)
    assert fenced.kind == "ended"  # the very same order of steps


def test_with_fencing_no_schedule_loses_money(store: Store) -> None:
    result = lab.explore(TwoServers(store, fenced=True), timeouts=0)
    assert result.verdict == "ok", result
    assert result.schedules > 10


def test_who_is_inside_under_every_schedule(store: Store) -> None:
    """Two writers and a reader that queue for one another; nobody waits for ever."""
    key = store.lock_key("exclusive")

    def scenario(threading: Any) -> None:
        sweep(store.client, store.namespace)
        redis = RedisPoints(store.link, threading)
        inside: list[str] = []

        def enter(kind: str) -> None:
            lock = RedisLocks(redis, lease=3600, renew=False, threading=threading)(key)
            with lock.write() if kind == "write" else lock.read():
                inside.append(kind)
                redis.execute_command("PING")  # others may come in here
                assert kind == "read" or inside == ["write"]
                assert kind == "write" or "write" not in inside
                inside.remove(kind)

        together = [
            threading.Thread(target=enter, args=(kind,)) for kind in ("write", "read", "write")
        ]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
        assert store.client.keys(f"{key}*") == []

    result = lab.explore(scenario, preemptions=2, timeouts=0)
    assert result.verdict == "ok", result


def test_a_waiter_finds_the_expired_lease_by_itself(store: Store) -> None:
    """Nobody releases: only that the lease ran out lets the other one in."""
    key = store.lock_key("expired")

    def scenario(threading: Any) -> None:
        sweep(store.client, store.namespace)
        redis = RedisPoints(store.link, threading)
        done = threading.Event()

        def hold() -> None:
            lock = RedisLocks(redis, lease=3600, renew=False, threading=threading)(key)
            lock.acquire_write()
            if redis.may_expire(lock.fence()):
                done.wait()
                with pytest.raises(LeaseLost):
                    lock.release_write()
            else:
                lock.release_write()

        def wait() -> None:
            with RedisLocks(redis, lease=3600, renew=False, threading=threading)(key).write():
                done.set()

        threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    result = lab.explore(scenario, timeouts=0)
    assert result.verdict == "ok", result
    assert result.schedules > 10
