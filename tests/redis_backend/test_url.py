"""Redis URLs: the allowed forms, and the errors about bad URLs and bad servers."""

import socket
import time
from contextlib import closing
from typing import Any

import pytest

import bankkit
from bankkit.redis_backend import RedisUnavailable, UserRedis, open_redis
from bankkit.redis_backend.connection import connect
from bankkit.redis_backend.url import parse
from tests.support.configured import address, server
from tests.support.processes import redis_on_tcp
from tests.support.waiting import eventually

PASSWORD = "open-sesame"

PARSED: dict[str, tuple[Any, ...]] = {
    "redis://": ("single", (("localhost", 6379),), "", {}),
    "redis://:p%40ss@h:1/3?socket_timeout=3": (
        "single",
        (("h", 1),),
        "",
        {"password": "p@ss", "db": 3, "socket_timeout": 3.0},
    ),
    "rediss://u:p@[::1]:99": (
        "single",
        (("::1", 99),),
        "",
        {"username": "u", "password": "p", "ssl": True},
    ),
    "redis+cluster://u:p@a:1,b,[::1]:3": (
        "cluster",
        (("a", 1), ("b", 6379), ("::1", 3)),
        "",
        {"username": "u", "password": "p"},
    ),
    "rediss+cluster://a/0?ssl_ca_certs=x": (
        "cluster",
        (("a", 6379),),
        "",
        {"ssl": True, "ssl_ca_certs": "x"},
    ),
    "redis+sentinel://a,b:2/the%20service/4": (
        "sentinel",
        (("a", 26379), ("b", 2)),
        "the service",
        {"db": 4},
    ),
}


@pytest.mark.parametrize("url", PARSED)
def test_the_parts_of_a_url(url: str) -> None:
    found = parse(url)
    assert (found.kind, found.places, found.service, found.options) == PARSED[url]


def test_a_socket_and_its_options() -> None:
    found = parse("unix://u:p@/tmp/a%20b.sock?db=2")
    assert (found.path, found.places) == ("/tmp/a b.sock", ())
    assert found.options == {"username": "u", "password": "p", "db": 2}


def test_sentinels_have_a_password_of_their_own() -> None:
    found = parse("rediss+sentinel://:p@a/s?sentinel_password=q&ssl_ca_certs=x")
    assert found.sentinel_options == {"password": "q", "ssl": True, "ssl_ca_certs": "x"}
    assert found.options == {"password": "p", "ssl": True, "ssl_ca_certs": "x"}
    assert found.without_secrets("p and q") == "*** and ***"


WRONG = {
    "redis+cluster://": None,
    f"redis+cluster://a:{PASSWORD}": "",
    "redis+cluster://a:0": "A port must be a number",
    "redis+cluster://a/1": "only one database",
    "redis+cluster://a?db=1": "only one database",
    f"redis+cluster://a?{PASSWORD}=1": "unknown option",
    "redis+cluster://a?sentinel_password=x": "for redis\\+sentinel:// only",
    "redis+sentinel://a": "must name a service",
    f"redis+sentinel://a/s/{PASSWORD}": "",
    "redis://a,b": "Several hosts are allowed for",
    "unix+cluster:///a": "",
    "memcached://a": "",
}


@pytest.mark.parametrize("url", [url for url, words in WRONG.items() if words is not None])
def test_no_redis_url(url: str) -> None:
    with pytest.raises(ValueError, match=f"is not a Redis URL; allowed .*{WRONG[url]}") as refused:
        open_redis(url)
    assert PASSWORD not in str(refused.value)


def first_line(url: str) -> str:
    """The first line of the error about a URL, which comes in time and hides the password."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailable) as refused:
        UserRedis(url)
    assert time.monotonic() - began < 5.5
    assert PASSWORD not in str(refused.value)
    return str(refused.value).splitlines()[0]


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_no_server_answers(kind: str) -> None:
    with socket.socket() as one, socket.create_server(("127.0.0.1", 0)) as silent:
        one.bind(("127.0.0.1", 0))  # bound but not listening: no other program can listen there
        closed = f"127.0.0.1:{one.getsockname()[1]}"
        mute = f"127.0.0.1:{silent.getsockname()[1]}"
        text = first_line(f"redis+{kind}://:{PASSWORD}@{mute},{closed}/{'s' * (kind != 'cluster')}")
        assert f"leads to {closed}, but it cannot be reached" in text
        text = first_line(f"redis+{kind}://:{PASSWORD}@{closed},{mute}/{'s' * (kind != 'cluster')}")
        assert "no Redis answered there in time" in text


def test_a_single_server_is_neither_a_cluster_nor_a_sentinel() -> None:
    with redis_on_tcp(PASSWORD) as url:
        place = url.rpartition("@")[2].removesuffix("/0")
        own = f":{PASSWORD}@{place}"
        assert "it is not a Cluster: use redis://" in first_line(f"redis+cluster://{own}")
        text = first_line(f"redis+sentinel://{own}/bank?sentinel_password={PASSWORD}")
        assert "it is not a Sentinel: use redis://" in text


def test_an_incomplete_cluster(tmp_path: Any) -> None:
    with server(f"dir {tmp_path}\ncluster-enabled yes\ncluster-require-full-coverage no") as client:
        url = f"redis+cluster://{address(client)}"
        assert "incomplete: 0 of 16384 slots have a node" in first_line(url)
        client.execute_command("CLUSTER", "ADDSLOTS", *range(100))
        assert "incomplete: 100 of 16384" in first_line(url)
        client.execute_command("CLUSTER", "ADDSLOTS", *range(100, 16384))
        eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        with bankkit.Bank("atomic", redis=url) as bank:  # a single node can be a Cluster
            bank.client.create_account("alice")
            bank.client.deposit("alice", 10)
            assert bank.client.get_balance("alice").balance == 10
            assert "Cluster of 1 master" in bank.engine


# The permissions that a bank's user needs

RULES = (
    "~bankkit-*:* &* +ping +info +eval +evalsha +hsetnx +hset +hget +hmget +hgetall +hdel +hincrby "
    "+exists +get +set +del +expire +pexpire +time +rpush +blpop +type +scan +unlink +wait"
)
"""ACL rules for a bank in the namespaces of `start()`; `serve` needs `~bank:*`."""


@pytest.mark.parametrize("concurrency", ["read-write", "atomic", "redis-read-write"])
def test_a_user_with_minimal_permissions(concurrency: str) -> None:
    with server(f"user default off\nuser teller on >{PASSWORD} {RULES}\nuser boss on >boss ~* +@all"
                ) as client:  # fmt: skip
        url = f"redis://teller:{PASSWORD}@{address(client)}"
        with bankkit.Bank(concurrency, redis=url) as bank:
            bank.client.create_account("alice")
            bank.client.deposit("alice", 10, request_id="r")
            bank.client.deposit("alice", 10, request_id="r")
            bank.client.withdraw("alice", 5)
            bank.client.calculate_interest("alice", 10)
            assert bank.client.get_balance("alice").balance == 5.5
            assert bank.peek("alice")
        assert "user name or password" in first_line(url.replace(PASSWORD, "wrong"))
        with connect(f"redis://boss:boss@{address(client)}") as boss, closing(boss):
            refused = [entry["reason"] for entry in boss.acl_log()]
            assert set(refused) <= {"auth"}
            assert not list(boss.scan_iter("*"))
