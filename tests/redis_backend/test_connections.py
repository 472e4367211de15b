"""Connections to Redis are limited, separate for each client, and independent of ended threads."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis

import bankkit
from bankkit.accounts import StoreUnavailable
from bankkit.locks import RedisLocks
from bankkit.pb import bank_pb2
from bankkit.redis_backend import PrivateCluster, PrivateSentinel, connection
from bankkit.redis_backend.connection import Link, connect
from tests.support.processes import LONG_ENOUGH, needs_proc
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    with bankkit.Bank("redis-read-write", threads=150) as bank:
        bank.client.create_account("alice")
        yield bank


def at_once(number: int, work: Callable[[], object]) -> list[BaseException]:
    """Run `work` in `number` threads that begin together. Returns their errors."""
    start, errors = threading.Barrier(number), []

    def run() -> None:
        start.wait(LONG_ENOUGH)
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_ENOUGH)
    return errors


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_turn(number: int, work: Callable[[], object]) -> None:
    for _ in range(number):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(LONG_ENOUGH)


@needs_proc
def test_a_thousand_threads_one_after_another(bank: bankkit.Bank) -> None:
    bank.store.read("alice")
    before = open_files()
    in_turn(1000, lambda: bank.store.read("alice"))
    assert open_files() <= before + 10  # the bank's own threads may open a few files


def test_many_threads_of_a_caller_take_no_connection_of_the_server(bank: bankkit.Bank) -> None:
    """There are more threads than connections in redis-py's pool, and none of them ends."""
    go = threading.Event()
    read = threading.Semaphore(0)

    def work() -> None:
        bank.store.read("alice")
        bank.redis.get("nothing")
        read.release()
        go.wait(LONG_ENOUGH)

    threads = [threading.Thread(target=work) for _ in range(130)]
    try:
        for thread in threads:
            thread.start()
            assert read.acquire(timeout=LONG_ENOUGH)
        assert bank.client.deposit("alice", 1).balance >= 1
        assert bank.store.read("alice").account.balance >= 1
    finally:
        go.set()
        for thread in threads:
            thread.join()


def test_a_caller_that_takes_all_connections_of_its_client(bank: bankkit.Bank) -> None:
    pool = bank.redis.connection_pool
    taken = [pool.get_connection() for _ in range(pool.max_connections)]
    with pytest.raises(redis.exceptions.MaxConnectionsError):
        bank.redis.ping()
    try:
        assert bank.client.deposit("alice", 1).balance >= 1
        assert bank.store.read("alice").account.balance >= 1
    finally:
        for connection in taken:
            pool.release(connection)


@needs_proc
def test_three_hundred_threads_at_once(bank: bankkit.Bank) -> None:
    before = open_files()
    for work in (
        lambda: bank.store.read("alice"),
        lambda: bank.client.get_balance("alice", timeout=LONG_ENOUGH),
    ):
        assert not at_once(300, work)
    assert open_files() <= before + connection.CONNECTIONS + bank.server.threads


def test_all_threads_of_a_server_wait_for_a_lock(bank: bankkit.Bank) -> None:
    """Each waiter blocks a connection; the holder's lease is renewed on another one."""
    with bank.server.teller.locks.write("alice"):
        waiting = [bank.client.stub.GetBalance.future(_alice()) for _ in range(150)]
        eventually(lambda: bank.server.load == 150, LONG_ENOUGH)
        assert bank.store.read("alice").account.id == "alice"
    for call in waiting:
        call.result(LONG_ENOUGH)


def _alice() -> bank_pb2.AccountRequest:
    return bank_pb2.AccountRequest(account_id="alice")


def test_locks_of_many_threads_on_a_callers_link(bank: bankkit.Bank) -> None:
    count = 0
    with closing(RedisLocks(bank.store.link)) as locks:
        lock = locks("many")

        def work() -> None:
            nonlocal count
            with lock.write(LONG_ENOUGH):
                now = count
                count = now + 1

        assert not at_once(100, work)
    assert count == 100


def test_more_threads_than_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take turns. A thread that gets no connection in time raises and has sent nothing."""
    with connect(url) as client, closing(Link(client, connections=2)) as link:
        link.execute_command("SET", "counter", "0")
        assert not at_once(50, lambda: link.execute_command("INCR", "counter"))
        assert link.execute_command("GET", "counter") == "50"
        assert len(client.client_list()) <= 3
        monkeypatch.setattr(connection, "TURN_SECONDS", 0.05)
        free = link._route._connections._free  # type: ignore[attr-defined]
        taken = [free.take(0), free.take(0)]
        with pytest.raises(StoreUnavailable, match=r"no connection .* Nothing was applied"):
            link.execute_command("INCR", "counter")
        waiting = ThreadPoolExecutor(1)
        monkeypatch.setattr(connection, "TURN_SECONDS", LONG_ENOUGH)
        late = waiting.submit(link.execute_command, "INCR", "counter")
        eventually(lambda: len(free._waiting) == 1)
        free.give(taken.pop())
        assert late.result(LONG_ENOUGH) == 51
        free.give(taken.pop())
        waiting.shutdown()


def test_blocked_commands_do_not_delay_other_commands(url: str) -> None:
    with connect(url) as client, closing(Link(client, connections=1, blocked=2)) as link:
        with ThreadPoolExecutor(3) as pool:
            waits = [
                pool.submit(link.execute_command, "BLPOP", f"list {n}", "0.3") for n in range(3)
            ]
            assert link.execute_command("SET", "key", "text") == "OK"
        assert [wait.result() for wait in waits] == [None] * 3  # the third got no connection
        link.execute_command("RPUSH", "list 0", "x")
        assert link.execute_command("BLPOP", "list 0", "1") == ["list 0", "x"]


def test_an_interrupt_loses_no_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Interrupt may come between any two steps."""
    with connect(url) as client, closing(Link(client, connections=1)) as link:
        connections = link._route._connections  # type: ignore[attr-defined]

        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        link.execute_command("SET", "key", "text")
        with monkeypatch.context() as forced:
            forced.setattr(connection, "_is_usable", interrupted)  # before the command is sent
            with pytest.raises(KeyboardInterrupt):
                link.execute_command("GET", "key")
        assert link.execute_command("GET", "key") == "text"

        connections._free.take(0)  # before the connection is stored in a variable
        assert link.execute_command("GET", "key") == "text"

        pooled = connections._free.take(0)  # between a command and its answer
        pooled.clean = False
        pooled.connection.send_command("PING")
        del pooled
        assert link.execute_command("GET", "key") == "text"


def test_a_link_that_is_dropped_or_closed_leaves_no_connection(url: str) -> None:
    with connect(url) as client:
        before = len(client.client_list())
        link = Link(client)
        assert not at_once(5, lambda: link.execute_command("PING"))
        assert len(client.client_list()) > before
        link.close()
        eventually(lambda: len(client.client_list()) == before)
        with pytest.raises(RuntimeError, match="This link to Redis is closed"):
            link.execute_command("PING")
        other = Link(client)
        other.execute_command("PING")
        del other
        eventually(lambda: len(client.client_list()) == before)


@needs_proc
@pytest.mark.parametrize("kind", [PrivateCluster, PrivateSentinel])
def test_a_cluster_and_sentinels(kind: type[PrivateCluster] | type[PrivateSentinel]) -> None:
    with closing(kind()) as nodes, connect(nodes.url) as client, closing(Link(client)) as link:
        keys = [f"key {number}" for number in range(10)]
        for key in keys:
            link.execute_command("SET", key, "text")
        before = open_files()
        in_turn(100, lambda: [link.execute_command("GET", key) for key in keys])
        assert open_files() <= before
        assert not at_once(30, lambda: [link.execute_command("GET", key) for key in keys])
        link.close()
        assert open_files() <= before


def test_a_server_in_its_own_process() -> None:
    with bankkit.Fleet("read-write", servers=1, threads=150) as fleet:
        fleet.client.create_account("alice")
        assert not at_once(200, lambda: fleet.client.deposit("alice", 1, timeout=LONG_ENOUGH))
        assert fleet.client.get_balance("alice").balance == 200
