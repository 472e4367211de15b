"""The read–write lock on Redis with real processes that die, freeze and race, and on a Cluster."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import permutations

import pytest
import redis

from bankkit.locks import RedisLocks, RedisReadWriteLock
from bankkit.redis_backend import find_binary
from bankkit.redis_backend.connection import connect
from tests.locks.test_redis_lock import snapshot
from tests.support.processes import Child, accepts, free_port, python
from tests.support.waiting import eventually
from tests.support.workers import PATIENCE, workers

KEY = "bank:{alice}:lock"

LEASE = 1.0
"""Seconds. A test waits this long until the lease of a dead process runs out."""

HOLDER = """
import sys
from bankkit.locks import LeaseLost, RedisLocks
from bankkit.redis_backend.connection import connect

lock = RedisLocks(connect({url!r}), lease={lease}, owner="child")({key!r})
print("asks", flush=True)
lock.acquire_{mode}()
print("holds", flush=True)
"""

HOLD_ON = """
import threading
threading.Event().wait()
"""

UNTIL_LOST = """
import time
while True:
    time.sleep(0.01)
    try:
        lock.check()
    except LeaseLost as lost:
        print("lost", flush=True)
        break
time.sleep({lease})  # three rounds of renewal
try:
    lock.release_{mode}()
except LeaseLost:
    print("refused", flush=True)
"""


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with connect(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def lock(client: redis.Redis) -> Iterator[RedisReadWriteLock]:
    with closing(RedisLocks(client, lease=LEASE, owner="test")) as locks:
        yield locks(KEY)


def child(url: str, mode: str, then: str) -> Child:
    code = (HOLDER + then).format(url=url, lease=LEASE, key=KEY, mode=mode)
    return python(code, os.environ)


@pytest.mark.parametrize("mode", ["read", "write"])
def test_the_lock_of_a_killed_holder_is_free_after_its_lease(
    url: str, client: redis.Redis, lock: RedisReadWriteLock, mode: str
) -> None:
    with child(url, mode, HOLD_ON) as holder:
        holder.line_starting("holds")
        assert lock.acquire_write(2 * LEASE) is False  # it renews
        holder.send(signal.SIGKILL)
        holder.wait()
        assert lock.statistics().holders[0].owner == "child"
        assert lock.acquire_write(PATIENCE)
        lock.release_write()
    assert client.keys() == []


def test_a_killed_waiter_is_passed_over(
    url: str, client: redis.Redis, lock: RedisReadWriteLock
) -> None:
    with workers(1) as (other,):
        other.do(lock.acquire_read)
        with child(url, "write", HOLD_ON) as waiter:
            eventually(lambda: snapshot(lock) == (1, None, 0, 1), PATIENCE)
            assert lock.acquire_read(0) is False
            waiter.send(signal.SIGKILL)
            waiter.wait()
        # No holder has left. The reader that asks finds that the dead writer's place has expired.
        assert lock.acquire_read(PATIENCE)
        lock.release_read()
        other.do(lock.release_read)
    assert client.keys() == []


def test_a_waiter_killed_before_the_lock_is_handed_to_it_costs_one_lease(
    url: str, client: redis.Redis, lock: RedisReadWriteLock
) -> None:
    lock.acquire_write()
    with child(url, "write", HOLD_ON) as waiter:
        eventually(lambda: snapshot(lock)[3] == 1, PATIENCE)
        waiter.send(signal.SIGKILL)
        waiter.wait()
    lock.release_write()
    assert lock.acquire_write(PATIENCE)
    lock.release_write()
    eventually(lambda: client.keys() == [])  # its wake list has expired, too


def test_the_keys_of_dead_processes_expire(url: str, client: redis.Redis) -> None:
    with child(url, "write", HOLD_ON) as holder, child(url, "read", HOLD_ON) as waiter:
        holder.line_starting("asks")
        waiter.line_starting("asks")
        eventually(lambda: bool(client.keys()), PATIENCE)
        for each in (holder, waiter):
            each.send(signal.SIGKILL)
            each.wait()
    eventually(lambda: client.keys() == [])


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_holder_paused_past_its_lease_learns_it_and_renews_nothing(
    url: str, lock: RedisReadWriteLock, mode: str
) -> None:
    with child(url, mode, UNTIL_LOST) as sleeper:
        sleeper.line_starting("holds")
        sleeper.send(signal.SIGSTOP)
        assert lock.acquire_write(PATIENCE)
        (mine,) = lock.statistics().holders
        assert mine.owner == "test"
        sleeper.send(signal.SIGCONT)
        sleeper.line_starting("lost")
        sleeper.line_starting("refused")
        (still_mine,) = lock.statistics().holders
        assert still_mine.token == mine.token
        lock.check()
        lock.release_write()


RACER = """
import json, random, sys, threading, time
from bankkit.locks import RedisLocks
from bankkit.redis_backend.connection import Link, connect

locks = RedisLocks(Link(connect({url!r})), lease={lease}, owner={owner!r})
held = []
start = threading.Barrier({threads})

def work(number):
    choose = random.Random("{owner} %d" % number)
    start.wait()
    for _ in range({rounds}):
        lock = locks({key!r})
        write = choose.random() < 0.4
        timeout = choose.choice([None, None, {patience}, 0.01])
        if not (lock.acquire_write if write else lock.acquire_read)(timeout):
            continue
        begin = time.monotonic()
        time.sleep(choose.random() * 0.002)
        held.append((write, begin, time.monotonic()))
        (lock.release_write if write else lock.release_read)()

threads = [threading.Thread(target=work, args=(n,)) for n in range({threads})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
locks.close()
print(json.dumps(held))
"""


def test_a_writer_is_always_alone(url: str, client: redis.Redis) -> None:
    """Checks readers and writers of three processes by the monotonic clock that they share."""
    processes, threads, rounds = 3, 3, 60
    held: list[tuple[bool, float, float]] = []
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                python(
                    RACER.format(
                        url=url,
                        lease=PATIENCE,
                        owner=f"racer {number}",
                        key=KEY,
                        threads=threads,
                        rounds=rounds,
                        patience=PATIENCE,
                    ),
                    os.environ,
                )
            )
            for number in range(processes)
        ]
        for racer in racers:
            line = racer.line()
            assert line, racer.errors()
            held += json.loads(line)
    assert len(held) > processes * threads * rounds / 2
    overlapping = 0
    latest: dict[bool, float] = {True: 0.0, False: 0.0}  # ends of writes and reads so far
    for write, begin, end in sorted(held, key=lambda it: it[1]):
        assert begin >= latest[True], "a thread entered while another one wrote"
        if write:
            assert begin >= latest[False], "a writer entered while another thread read"
        else:
            overlapping += begin < latest[False]
        latest[write] = max(latest[write], end)
    assert overlapping, "no two readers ever held the lock together"
    assert client.keys() == []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisCluster]:
    """A Cluster whose single node has all slots; it refuses a script with keys in two slots."""
    port = free_port()
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "cluster-enabled": "yes",
        "cluster-port": free_port(),
        "dir": tmp_path_factory.mktemp("cluster"),
        "save": "",
    }
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([find_binary().path, *words], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: accepts(f"127.0.0.1:{port}"))
        with redis.Redis(port=port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        with redis.RedisCluster("127.0.0.1", port) as client:
            yield client
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("key", [KEY, "plain"])
def test_on_redis_cluster(cluster: redis.RedisCluster, key: str) -> None:
    with closing(RedisLocks(cluster)) as locks, workers(3) as team:
        lock = locks(key)
        for one, two, three in permutations(team):
            one.do(lock.acquire_write)
            waiting = [two.ask(lock.acquire_write), three.ask(lock.acquire_read)]
            eventually(lambda: snapshot(lock)[2:] == (1, 1))
            one.do(lock.release_write)
            assert waiting[1].result(PATIENCE)
            three.do(lock.release_read)
            assert waiting[0].result(PATIENCE)
            two.do(lock.release_write)
    assert cluster.keys() == []
