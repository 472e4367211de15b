"""The bank behind Sentinels: when they name a new master, the bank uses it."""

from collections.abc import Iterator
from contextlib import closing

import pytest

import bankkit
from bankkit.redis_backend import PrivateSentinel, RedisNode, RedisUnavailable, UserRedis
from bankkit.redis_backend.connection import Link, connect
from tests.support.failovers import depositors, make_whole
from tests.support.processes import LONG_ENOUGH
from tests.support.waiting import eventually

ACCOUNTS = ["alice", "bob"]


@pytest.fixture(scope="module")
def whole() -> Iterator[PrivateSentinel]:
    with closing(PrivateSentinel()) as nodes:
        yield nodes


@pytest.fixture
def nodes(whole: PrivateSentinel) -> Iterator[PrivateSentinel]:
    yield whole
    make_whole(whole)


def master_of(nodes: PrivateSentinel) -> RedisNode:
    return next(node for node in nodes.nodes if node.role == "master")


@pytest.mark.parametrize("concurrency", ["atomic", "redis-read-write"])
def test_all_five_methods(nodes: PrivateSentinel, concurrency: str) -> None:
    with bankkit.Bank(concurrency, redis=nodes.url, wait_replicas=2) as bank:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 100, request_id="d")
        bank.client.withdraw("alice", 30)
        bank.client.calculate_interest("alice", 10)
        assert bank.client.deposit("alice", 100, request_id="d").balance == 100
        assert bank.client.get_balance("alice").balance == 77
        assert bank.peek("alice")["bank:{alice}:account"]["balance"] == "7700"
        assert "behind Sentinels" in bank.engine
        password = nodes.url.partition("@")[0].rpartition(":")[2]
        assert password not in bank.engine + repr(bank)
    with connect(nodes.url) as client:
        assert not list(client.scan_iter("*"))  # the namespace was swept


def test_the_master_dies_under_load(nodes: PrivateSentinel) -> None:
    with (
        bankkit.Bank("redis-read-write", redis=nodes.url, wait_replicas=1, lease=1.0) as bank,
        depositors(bank, ACCOUNTS) as working,
    ):
        master = master_of(nodes).name
        nodes.kill(master)
        nodes.wait_until_healthy()
        assert master_of(nodes).name != master
        working.wait_for_more()
        nodes.restart(master)
        nodes.wait_until_healthy()
        assert nodes.node(master).role == "replica"
        working.stop()
        assert not working.mistakes
        assert working.balances() == working.acknowledged


def test_an_old_master_gets_no_more_commands(nodes: PrivateSentinel) -> None:
    """It was paused and does not know yet that it was replaced, but another thread knows."""
    old = master_of(nodes)
    with connect(nodes.url, socket_timeout=0.5) as client, closing(Link(client)) as link:
        connections = link._route._connections  # type: ignore[attr-defined]
        mine, others = connections._free.take(0), connections._free.take(0)
        for pooled in (mine, others):
            assert connections._send(pooled, (("SET", "key", "from here"),)) == ["OK"]
        nodes.pause(old.name)
        nodes.wait_until_healthy()
        others.connection.disconnect()
        assert connections._send(others, (("SET", "key", "from there"),)) == ["OK"]
        nodes.resume(old.name)
        assert nodes.client(old.name).info("replication")["role"] == "master"  # its own view
        connections._free.give(mine)
        assert link.execute_command("SET", "mine", "text") == "OK"  # on an old connection
        assert nodes.client(old.name).get("mine") is None
        assert nodes.client(master_of(nodes).name).get("mine") == "text"
        client.delete("key", "mine")
    nodes.restart(old.name)  # otherwise the Sentinels would wait ten seconds to reconfigure it


def test_one_sentinel_fewer(nodes: PrivateSentinel) -> None:
    with connect(nodes.url) as client:
        nodes.kill("sentinel 1")
        link = Link(client)
        link.execute_command("SET", "key", "text")
        assert link.execute_command("GET", "key") == "text"
        client.delete("key")
    assert "behind Sentinels" in UserRedis(nodes.url).description


def first_line(url: str) -> str:
    with pytest.raises(RedisUnavailable) as refused:
        UserRedis(url)
    return str(refused.value).splitlines()[0]


def test_the_check_of_a_url(nodes: PrivateSentinel) -> None:
    url, _, options = nodes.url.partition("?")
    place, service = url.rsplit("/", 1)
    assert "it knows bank" in first_line(f"{place}/shop?{options}")
    assert "the Sentinel there requires a password: add ?sentinel_password=" in first_line(url)
    assert "refuses sentinel_username or" in first_line(f"{url}?sentinel_password=no")
    sentinels = place.rpartition("@")[2]
    text = first_line(f"redis+sentinel://:wrong@{sentinels}/{service}?{options}")
    assert "the Sentinel there names" in text
    assert "refuses the user name or password" in text
    one, password = sentinels.split(",")[0], options.partition("=")[2]
    text = first_line(f"redis://:{password}@{one}")
    assert text.endswith(f"it is a Sentinel: use redis+sentinel://{one}/SERVICE.")
    # The earlier tests decide which node is the master.
    master = next(node for node in nodes.nodes if node.role == "master")
    replica = next(node for node in nodes.nodes if node.role == "replica" and node.alive)
    data = master.address
    text = first_line(f"redis+sentinel://:{password}@{data}/bank?{options}")
    assert "it is not a Sentinel: use redis://" in text
    text = first_line(f"redis://:{password}@{replica.address}")
    assert text.endswith(f"it is a replica and takes no writes: use the URL of its master, {data}.")
    nodes.client(master.name).config_set("maxmemory", "100mb")
    nodes.client(master.name).config_set("maxmemory-policy", "volatile-lru")
    text = first_line(nodes.url)
    assert f"the Sentinel there names {data}, but it evicts keys when its memory is full" in text
    for name in ("node 1", "node 2", "node 3"):
        nodes.kill(name)
    eventually(lambda: "has no master at the moment" in first_line(nodes.url), LONG_ENOUGH)
