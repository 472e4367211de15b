"""The Redis lock under every schedule: each of its scripts is a step, on a real Redis."""

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


def test_without_fencing_an_expired_lease_loses_money(store: Store) -> None:
    result = lab.explore(TwoServers(store, fenced=False), timeouts=0)
    assert result.bug is not None
    assert result.bug.kind == "failed assertion"
    assert "$100 is lost" in result.bug.text
    steps = [(move.thread, move.does) for move in result.bug.schedule.moves]
    assert ("server 1", "call redis.expire") in steps
    replayed = lab.replay(TwoServers(store, fenced=False), result.bug.schedule)
    assert replayed.kind == "failed assertion"
    fenced = lab.replay(TwoServers(store, fenced=True), result.bug.schedule)
    assert fenced.kind == "ended"  # with the same order of steps


def test_with_fencing_no_schedule_loses_money(store: Store) -> None:
    result = lab.explore(TwoServers(store, fenced=True), timeouts=0)
    assert result.verdict == "ok", result
    assert result.schedules > 10


def test_a_writer_is_alone_under_every_schedule(store: Store) -> None:
    """Two writers and a reader wait for each other, but none of them waits forever."""
    key = store.lock_key("exclusive")

    def scenario(threading: Any) -> None:
        sweep(store.client, store.namespace)
        redis = RedisPoints(store.link, threading)
        inside: list[str] = []

        def enter(kind: str) -> None:
            lock = RedisLocks(redis, lease=3600, renew=False, threading=threading)(key)
            with lock.write() if kind == "write" else lock.read():
                inside.append(kind)
                redis.execute_command("PING")  # other threads could enter here
                assert kind == "read" or inside == ["write"]
                assert kind == "write" or "write" not in inside
                inside.remove(kind)

        threads = [
            threading.Thread(target=enter, args=(kind,)) for kind in ("write", "read", "write")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.client.keys(f"{key}*") == []

    result = lab.explore(scenario, preemptions=2, timeouts=0)
    assert result.verdict == "ok", result


def test_a_waiter_notices_an_expired_lease(store: Store) -> None:
    """The holder does not release: only the end of its lease lets the waiter in."""
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
