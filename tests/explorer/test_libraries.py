"""Libraries that know nothing of the explorer run unchanged under `patch=`."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
import urllib3

from bankkit import explorer
from tests.explorer.specimens import together

THIS = sys.modules[__name__]


def explored(scenario: Callable[[Any], object], *modules: Any, **settings: Any) -> explorer.Result:
    """Explore a correct scenario that uses these modules."""
    result = explorer.explore(scenario, patch=[THIS, *modules], **settings)
    assert result.verdict == "ok", result
    assert result.schedules > 1
    return result


class Alone:
    """Asserts that one thread at a time is inside."""

    def __init__(self) -> None:
        self.inside = 0

    def enter(self) -> None:
        """One step long."""
        self.inside += 1
        threading.Event().is_set()
        assert self.inside == 1
        self.inside -= 1


# urllib3.


def test_a_pool_of_urllib3_lends_a_connection_to_one_thread_at_a_time() -> None:
    """The pool has one connection, and the second thread waits for it."""

    def scenario(_: Any) -> None:
        pool = urllib3.HTTPConnectionPool("localhost", maxsize=1, block=True)
        alone = Alone()

        def use() -> None:
            connection = pool._get_conn()
            alone.enter()
            pool._put_conn(connection)

        together(threading, use, use)

    explored(scenario, urllib3, preemptions=2)


def test_a_thread_that_keeps_its_connection_of_urllib3_makes_the_other_wait_forever() -> None:
    """With `block=True` and without a timeout nobody wakes it."""

    def scenario(_: Any) -> None:
        pool = urllib3.HTTPConnectionPool("localhost", maxsize=1, block=True)
        together(threading, pool._get_conn, pool._get_conn)

    bug = explorer.explore(scenario, patch=[THIS, urllib3], preemptions=1).bug
    assert bug is not None
    assert bug.kind == "lost wakeup"


def test_a_pool_manager_of_urllib3_makes_one_pool_for_each_host() -> None:
    """Its container of pools has an RLock."""

    def scenario(_: Any) -> None:
        manager = urllib3.PoolManager()
        pools: list[Any] = []

        def get() -> None:
            pools.append(manager.connection_from_host("localhost", 80))

        together(threading, get, get)
        assert len(set(pools)) == 1

    explored(scenario, urllib3, preemptions=2)


# redis-py.


class Connection:
    """What a pool of redis-py needs of a connection."""

    def __init__(self, **settings: Any) -> None:
        self.pid = os.getpid()

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def can_read(self) -> bool:
        return False

    def should_reconnect(self) -> bool:
        return False

    def set_re_auth_token(self, token: Any) -> None: ...

    def re_auth(self) -> None: ...


def test_a_blocking_pool_of_redis_lends_a_connection_to_one_thread_at_a_time() -> None:
    """The pool has one connection; the second thread waits without a timeout."""

    def scenario(_: Any) -> None:
        pool = redis.BlockingConnectionPool(
            max_connections=1, timeout=None, connection_class=Connection
        )
        alone = Alone()

        def use() -> None:
            connection = pool.get_connection()
            alone.enter()
            pool.release(connection)

        together(threading, use, use)

    explored(scenario, redis, preemptions=1)


def test_a_pool_of_redis_never_has_more_connections_than_it_may() -> None:
    """The second thread gets an error instead."""

    def scenario(_: Any) -> object:
        pool = redis.ConnectionPool(max_connections=1, connection_class=Connection)
        refused = []

        def use() -> None:
            try:
                connection = pool.get_connection()
            except redis.ConnectionError:
                refused.append(1)
            else:
                pool.release(connection)

        together(threading, use, use)
        return len(refused)

    seen = set()
    explored(lambda _: seen.add(scenario(_)), redis, preemptions=1)
    assert seen == {0, 1}


# Libraries that need not be installed.


def installed(module: str, package: str = "") -> Any:
    """The module of a library; without it, the test is skipped and says how to install it."""
    install = f"pip install '{package}'" if package else f"pip install {module}"
    reason = f"needs {module}, which is not installed here: {install}"
    return pytest.importorskip(module, reason=reason)


def test_a_cache_of_cachetools_with_a_lock_computes_once() -> None:
    """Without the lock it computes twice, or loses an entry."""
    cachetools = installed("cachetools")

    def scenario_with(lock: Callable[[], Any]) -> Callable[[Any], None]:
        def scenario(_: Any) -> None:
            computed = []

            def compute(number: int) -> int:
                computed.append(number)
                threading.Event().is_set()
                return 2 * number

            double = cachetools.cached(cachetools.LRUCache(2), condition=lock())(compute)
            together(threading, lambda: double(1), lambda: double(1))
            assert double(1) == 2
            assert computed == [1]

        return scenario

    explored(scenario_with(lambda: threading.Condition()), cachetools, preemptions=2)
    assert explorer.explore(scenario_with(lambda: None), patch=[THIS, cachetools]).verdict == "bug"


def test_a_logger_of_loguru_writes_one_line_at_a_time() -> None:
    """Its sink has a lock of its own, made when the sink is added."""
    loguru = installed("loguru")

    def scenario(_: Any) -> object:
        alone = Alone()
        lines: list[str] = []

        def sink(message: str) -> None:
            alone.enter()
            lines.append(str(message))

        logger = loguru._logger.Logger(
            loguru._logger.Core(), None, 0, False, False, False, False, True, [], {}
        )
        logger.add(sink, format="{message}")
        together(threading, lambda: logger.info("a"), lambda: logger.info("b"))
        return "".join(lines)

    seen = set()
    explored(lambda _: seen.add(scenario(_)), loguru, preemptions=1)
    assert seen == {"a\nb\n", "b\na\n"}


def test_the_workers_of_psycopg_pool_run() -> None:
    """Its queue of tasks is served by threads of the pool, with timeouts."""
    installed("psycopg", "psycopg[binary]")
    psycopg_pool = installed("psycopg_pool", "psycopg-pool")

    def scenario(_: Any) -> None:
        done: list[int] = []
        scheduler = psycopg_pool.sched.Scheduler()
        worker = threading.Thread(target=scheduler.run, daemon=True)
        worker.start()
        scheduler.enter(1.0, lambda: done.append(1))
        scheduler.enter(0, None)
        worker.join()

    explored(scenario, psycopg_pool, preemptions=1, timeouts=1)
