"""The bank on a real Redis Cluster of six nodes, and the money after failovers."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any, cast

import grpc
import pytest
import redis as redis_py
from redis.crc import key_slot

import bankkit
from bankkit.accounts import StoreUnavailable
from bankkit.namespace_lease import ConflictingServers
from bankkit.pb.bank_pb2 import DepositRequest
from bankkit.redis_backend import (
    PrivateCluster,
    RedisNode,
    RedisUnavailable,
    UserRedis,
    private_cluster,
    sweep_at_death,
)
from bankkit.redis_backend.connection import Link, connect
from bankkit.redis_backend.private_nodes import free_ports
from tests.redis_backend.test_url import RULES
from tests.support.failovers import cut_off, depositors, make_whole
from tests.support.processes import LONG_ENOUGH, home, needs_proc, python
from tests.support.waiting import eventually

ACCOUNTS = [f"account-{number}" for number in range(6)]
"""Enough accounts for each master to have some; `test_every_master_has_accounts` checks this."""


@pytest.fixture(scope="module")
def whole() -> Iterator[PrivateCluster]:
    with closing(PrivateCluster()) as cluster:
        yield cluster


@pytest.fixture
def cluster(whole: PrivateCluster) -> Iterator[PrivateCluster]:
    yield whole
    make_whole(whole)


@pytest.fixture
def link(cluster: PrivateCluster) -> Iterator[Link]:
    with connect(cluster.url) as client:
        client.flushall()
        yield Link(client)


def owner(cluster: PrivateCluster, key: str) -> RedisNode:
    """The master that serves the key's slot."""
    slot = key_slot(key.encode())
    return next(
        node for node in cluster.nodes for first, last in node.slots if first <= slot <= last
    )


def replica_of(cluster: PrivateCluster, master: RedisNode) -> RedisNode:
    return next(node for node in cluster.nodes if node.master == master.name)


# The bank on a Cluster


@pytest.mark.parametrize("concurrency", ["atomic", "redis-read-write"])
def test_all_five_methods(cluster: PrivateCluster, concurrency: str) -> None:
    with bankkit.Bank(concurrency, redis=cluster.url) as bank:
        for account in ACCOUNTS:
            bank.client.create_account(account)
            bank.client.deposit(account, 100, request_id="d")
            bank.client.withdraw(account, 30)
            bank.client.calculate_interest(account, 10)
            again = bank.client.deposit(account, 100, request_id="d")
            assert again.balance == 100
            assert bank.client.get_balance(account).balance == 77
        with pytest.raises(bankkit.CallError, match="ALREADY_EXISTS"):
            bank.client.create_account(ACCOUNTS[0])
        assert bank.peek(ACCOUNTS[0])[f"bank:{{{ACCOUNTS[0]}}}:account"]["balance"] == "7700"
        assert "Cluster of 3 masters" in bank.engine
        with pytest.raises(RuntimeError, match="your own"):
            bank.pause_redis()


def test_a_server_that_lost_its_lease_changes_no_account_in_any_slot(
    cluster: PrivateCluster,
) -> None:
    """The lease is in one slot and the accounts in others, so each account stores its owner."""
    shared: dict[str, Any] = {"redis": cluster.url, "namespace": "leased"}
    with ExitStack() as stack:
        late = stack.enter_context(bankkit.Bank(**shared))
        for account in ACCOUNTS:
            late.client.create_account(account)
            late.client.deposit(account, 1)
        started: list[bankkit.Bank] = []

        def takes_over() -> bool:
            """Whether a second bank starts, unless the first one renews its lease just before."""
            client.delete("leased:servers")  # as its expiry would
            with suppress(ConflictingServers):
                started.append(stack.enter_context(bankkit.Bank(**shared)))
            return bool(started)

        with connect(cluster.url) as client:
            eventually(takes_over, LONG_ENOUGH)
        (prompt,) = started
        for account in ACCOUNTS:
            assert prompt.client.deposit(account, 10).balance == 11
            with pytest.raises(grpc.RpcError) as refused:
                late.stub.Deposit(DepositRequest(account_id=account, amount=100), timeout=10)
            info = bankkit.error_info(cast(grpc.Call, refused.value))
            assert info is not None
            assert info.reason == "LEASE_LOST"
            assert prompt.client.get_balance(account).balance == 11
    sweep_at_death(cluster.url, "leased").close()


def test_a_stopped_bank(cluster: PrivateCluster) -> None:
    with bankkit.Bank("atomic", redis=cluster.url) as bank:
        bank.client.create_account("alice")
    redis: Any = bank.redis
    for use in (
        lambda: bank.store.read("alice"),
        lambda: bank.peek("alice"),
        lambda: redis.get("key"),
        lambda: redis.pipeline().get("key").execute(),
        lambda: redis.pubsub(),
    ):
        with pytest.raises(RuntimeError, match="This bank is stopped: run the start cell again"):
            use()


def test_every_master_has_accounts_and_each_account_has_one_slot(cluster: PrivateCluster) -> None:
    with bankkit.Bank("atomic", redis=cluster.url) as bank:
        for account in ACCOUNTS:
            bank.client.create_account(account)
            bank.client.deposit(account, 1, request_id="r")
        found: dict[str, set[int]] = {account: set() for account in ACCOUNTS}
        for node in cluster.nodes:
            if node.role == "master":
                keys = set(cluster.client(node.name).scan_iter(f"{bank.store.namespace}:*"))
                assert any("account-" in key for key in keys), node
                for account in ACCOUNTS:
                    found[account] |= {key_slot(key.encode()) for key in keys if account in key}
        assert all(len(slots) == 1 for slots in found.values())
    with connect(cluster.url) as client:  # the keys were swept from all masters
        assert not list(client.scan_iter("*"))


def test_a_bank_with_a_private_cluster() -> None:
    with bankkit.Bank("atomic", redis="private-cluster") as bank:
        bank.client.create_account("alice")
        nodes = bank.redis_nodes
        assert [node.role for node in nodes.nodes] == ["master"] * 3 + ["replica"] * 3
        assert [str(node) for node in nodes.nodes][::3] == [
            "node 1: master of slots 0–5460",
            "node 4: replica of node 1",
        ]
        for refused in (bank.pause_redis, bank.resume_redis, bank.restart_redis):
            with pytest.raises(ValueError, match="name one: node 1, node 2"):
                refused()
        with pytest.raises(ValueError, match="no node 'node 7'"):
            nodes.kill("node 7")
        assert "3 masters and 3 replicas, private" in bank.engine
        password = nodes.url.partition("@")[0].rpartition(":")[2]
        assert password not in bank.engine + repr(bank)
    with pytest.raises(ValueError, match="data_dir is for a single private Redis"):
        bankkit.Bank(redis="private-cluster", data_dir="data")


def test_a_start_tries_other_ports_if_one_is_taken(
    whole: PrivateCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [node.port for node in whole.nodes]
    offers = [free_ports(5) + taken[:1], free_ports(6)]
    monkeypatch.setattr(private_cluster, "free_ports", lambda number: offers.pop(0))
    with closing(PrivateCluster()) as other:
        assert other.is_healthy()
        assert not {node.port for node in other.nodes} & set(taken)
    assert not offers
    assert whole.is_healthy()


@needs_proc
def test_it_ends_with_its_process() -> None:
    code = """
import os
from bankkit.redis_backend import PrivateCluster
cluster = PrivateCluster()
cluster.pause("node 1")
print(len(cluster.nodes), flush=True)
os.kill(os.getpid(), 9)
"""
    with home() as place, python(code, place.environ) as kernel:
        assert kernel.line() == "6", kernel.errors()
        assert kernel.wait() == -signal.SIGKILL
        eventually(place.is_empty, LONG_ENOUGH)


# Each command is sent once, and to the right node


def test_a_command_that_timed_out_is_not_sent_again(cluster: PrivateCluster) -> None:
    with connect(cluster.url, socket_timeout=0.2) as client:
        link = Link(client)
        link.execute_command("SET", "counter", "0")
        master = owner(cluster, "counter").name
        cluster.pause(master)
        with pytest.raises(StoreUnavailable):
            link.execute_command("INCR", "counter")
        cluster.resume(master)  # before the others count it as failed
        eventually(lambda: link.execute_command("GET", "counter") == "1")
        assert link.execute_command("INCR", "counter") == 2


def test_a_slot_that_has_moved_is_followed(cluster: PrivateCluster, link: Link) -> None:
    """The link's slot map is older than a manual failover."""
    master = owner(cluster, "counter")
    link.execute_command("SET", "counter", "0")
    successor = replica_of(cluster, master)
    cluster.client(successor.name).execute_command("CLUSTER", "FAILOVER")
    eventually(lambda: cluster.node(successor.name).role == "master", LONG_ENOUGH)
    cluster.wait_until_healthy()
    assert [link.execute_command("INCR", "counter") for _ in range(3)] == [1, 2, 3]


def test_an_ask_redirection_is_followed(cluster: PrivateCluster, link: Link) -> None:
    source = owner(cluster, "counter")
    target = next(node for node in cluster.nodes if node.slots and node != source)
    slot = key_slot(b"counter")
    name = {node: cluster.client(node.name).execute_command("CLUSTER", "MYID")
            for node in (source, target)}  # fmt: skip
    setslot = ("CLUSTER", "SETSLOT", slot)
    cluster.client(target.name).execute_command(*setslot, "IMPORTING", name[source])
    cluster.client(source.name).execute_command(*setslot, "MIGRATING", name[target])
    try:
        assert [link.execute_command("INCR", "counter") for _ in range(3)] == [1, 2, 3]
        assert cluster.client(source.name).dbsize() == 0
        assert cluster.client(target.name).dbsize() == 1
    finally:
        for node in (source, target):
            cluster.client(node.name).execute_command(*setslot, "STABLE")
        cluster.client(target.name).flushall()


def test_slots_without_a_node_are_unavailable_and_the_others_work(
    cluster: PrivateCluster, link: Link
) -> None:
    master = owner(cluster, "counter")
    other = next(str(number) for number in range(100) if owner(cluster, str(number)) != master)
    cluster.kill(replica_of(cluster, master).name)
    cluster.kill(master.name)
    with pytest.raises(StoreUnavailable):
        link.execute_command("INCR", "counter")
    link.execute_command("INCR", other)

    def is_down() -> bool:
        try:
            UserRedis(cluster.url)
        except RedisUnavailable as error:
            return "slots are served" in str(error)
        return False

    eventually(is_down, LONG_ENOUGH)
    make_whole(cluster)
    UserRedis(cluster.url)  # no node counts a master as failed any more


# Lost and kept changes


@pytest.mark.one_in(2)
@pytest.mark.parametrize("concurrency", ["atomic", "redis-read-write"])
def test_a_master_dies_under_load(cluster: PrivateCluster, concurrency: str) -> None:
    with (
        bankkit.Bank(concurrency, redis=cluster.url, wait_replicas=1, lease=1.0) as bank,
        depositors(bank, ACCOUNTS) as working,
    ):
        master = owner(cluster, f"{{{ACCOUNTS[0]}}}")
        cluster.kill(master.name)
        cluster.wait_until_healthy()
        cluster.restart(master.name)  # the new master acknowledges nothing until it has a replica
        cluster.wait_until_healthy()
        working.wait_for_more()
        working.stop()
        assert not working.mistakes
        assert working.balances() == working.acknowledged


def lose_the_master(cluster: PrivateCluster, bank: bankkit.Bank, account: str) -> tuple[int, float]:
    """Make 3 deposits that the replica gets and 3 that it does not get, then kill the master.

    Returns how many of the last 3 were acknowledged, and the final balance in dollars.
    """
    bank.client.create_account(account)
    for _ in range(3):
        bank.client.deposit(account, 1)
    master = owner(cluster, f"{{{account}}}")
    (replica,) = [node.name for node in cluster.nodes if node.master == master.name]
    eventually(lambda: cluster.is_healthy())
    copied = cluster.client(master.name).wait(1, 5000)
    assert copied == 1
    assert cut_off(cluster, master) == [replica]
    codes = [deposit_once(bank, account, f"late-{number}") for number in range(3)]
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    cluster.kill(master.name)
    cluster.resume(replica)
    cluster.wait_until_healthy()
    assert owner(cluster, f"{{{account}}}").name == replica
    return codes.count(grpc.StatusCode.OK), balance_after(bank, account)


def deposit_once(bank: bankkit.Bank, account: str, request_id: str) -> grpc.StatusCode:
    """The status of one deposit with the stub, which does not retry."""
    request = DepositRequest(account_id=account, amount=1, request_id=request_id)
    code: grpc.StatusCode = bank.stub.Deposit.future(request, timeout=10).code()
    return code


def balance_after(bank: bankkit.Bank, account: str) -> float:
    found: list[float] = []

    def is_there() -> bool:
        try:
            found.append(bank.client.get_balance(account).balance)
        except bankkit.CallError:
            return False
        return True

    eventually(is_there, LONG_ENOUGH)
    return found[0]


def test_acknowledged_deposits_are_lost_with_a_master(cluster: PrivateCluster) -> None:
    with bankkit.Bank("atomic", redis=cluster.url) as bank:
        acknowledged, balance = lose_the_master(cluster, bank, "alice")
        assert acknowledged == 3
        assert balance == 3


def test_confirmed_deposits_are_not_lost(cluster: PrivateCluster) -> None:
    with bankkit.Bank("atomic", redis=cluster.url, wait_replicas=1) as bank:
        acknowledged, balance = lose_the_master(cluster, bank, "alice")
        assert acknowledged == 0
        assert balance == 3


def test_a_retry_is_confirmed_as_well(cluster: PrivateCluster) -> None:
    """The first call made the change but was not acknowledged; a retry finds its stored reply."""
    with bankkit.Bank("read-write", redis=cluster.url, wait_replicas=1) as bank:
        bank.client.create_account("alice")
        master = owner(cluster, "{alice}")
        replica = replica_of(cluster, master).name
        cluster.pause(replica)  # for the master, the replica only lags behind
        codes = [deposit_once(bank, "alice", "r") for _ in range(3)]
        assert codes == [grpc.StatusCode.UNAVAILABLE] * 3
        cluster.resume(replica)
        cluster.wait_until_healthy()
        assert bank.client.deposit("alice", 1, request_id="r").balance == 1


def test_more_replicas_than_there_are(cluster: PrivateCluster) -> None:
    with pytest.raises(ValueError, match="wait_replicas is 2, but a master of that Redis has 1"):
        bankkit.Bank("atomic", redis=cluster.url, wait_replicas=2)
    with pytest.raises(ValueError, match="a private Redis has 0 for a master"):
        bankkit.Bank("atomic", wait_replicas=1)
    for wrong in (-1, 1.5, True, "1"):
        number: Any = wrong
        with pytest.raises(ValueError, match="whole number from 0 to 100"):
            bankkit.Bank("atomic", wait_replicas=number)


# The check of a URL


def first_line(url: str) -> str:
    """The first line of the error about a URL, which comes in time."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailable) as refused:
        UserRedis(url)
    assert time.monotonic() - began < 5.5
    return str(refused.value).splitlines()[0]


def test_a_plain_url_of_a_cluster_node(cluster: PrivateCluster) -> None:
    place = cluster.node("node 1").address
    password = cluster.url.partition("@")[0].rpartition(":")[2]
    text = first_line(f"redis://:{password}@{place}")
    assert text.endswith(f"it is a node of a Redis Cluster: use redis+cluster://{place}.")


def test_a_wrong_password(cluster: PrivateCluster) -> None:
    place = cluster.node("node 1").address
    assert "refuses the user name or password" in first_line(f"redis+cluster://:no@{place}")
    assert "requires a password" in first_line(f"redis+cluster://{place}")


def test_a_user_with_minimal_permissions(cluster: PrivateCluster) -> None:
    rules = f"{RULES} +command +cluster|info +cluster|nodes +cluster|slots"
    for node in cluster.nodes:
        cluster.client(node.name).execute_command(
            "ACL", "SETUSER", "teller", "on", ">secret", *rules.split()
        )
    places = cluster.url.rpartition("@")[2]
    with bankkit.Bank("redis-read-write", redis=f"redis+cluster://teller:secret@{places}") as bank:
        bank.client.create_account("alice")
        assert bank.client.deposit("alice", 10).balance == 10
        assert len(bank.peek("alice")) == 2


def test_a_sweep_deletes_one_namespace_only(cluster: PrivateCluster) -> None:
    with connect(cluster.url) as client:
        client.flushall()
        for number in range(50):
            client.set(f"ns:{number}", "ours")
            client.set(f"other:{number}", "theirs")
        sweep_at_death(cluster.url, "ns").close()
        assert sorted(client.scan_iter("*")) == sorted(f"other:{n}" for n in range(50))


def test_a_forked_child_cannot_stop_the_cluster(cluster: PrivateCluster) -> None:
    pid = os.fork()
    if pid == 0:
        cluster.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert cluster.is_healthy()
    assert isinstance(cluster.client("node 1"), redis_py.Redis)
