"""A server that has lost its lease writes nothing, and the commits that it had sent are refused."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc
import pytest
import redis as redis_py
from grpc_health.v1 import health_pb2, health_pb2_grpc

import bankkit
from bankkit import lab, namespace_lease
from bankkit.namespace_lease import ConflictingServers
from bankkit.pb import bank_pb2
from bankkit.redis_backend.connection import connect
from bankkit.store import OutOfBounds, Outranked, Registration, Request, Store, WriteConflict
from tests.support.processes import LONG_ENOUGH, command, home, needs_proc
from tests.support.waiting import eventually

NAMESPACE = "shared"
ACROSS = "redis-read-write"


@pytest.fixture
def redis(url: str) -> Iterator[redis_py.Redis]:
    """A client of an empty Redis."""
    with connect(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def store(redis: redis_py.Redis) -> Store:
    """A store with an empty account `alice`."""
    store = Store(redis, NAMESPACE)
    store.create("alice", "savings")
    return store


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes leases expire soon."""
    monkeypatch.setattr(namespace_lease, "LEASE_SECONDS", 0.6)


def bank_on(
    redis: redis_py.Redis, concurrency: str = "read-write", **options: object
) -> bankkit.Bank:
    """A bank that shares the accounts of `store`."""
    path = redis.connection_pool.connection_kwargs["path"]
    options = {"redis": f"unix://{path}", "namespace": NAMESPACE, **options}
    return bankkit.Bank(concurrency, **options)  # type: ignore[arg-type]


def forget_leases(redis: redis_py.Redis) -> None:
    """Deletes all leases, as if they had expired."""
    servers = f"{NAMESPACE}:servers"
    redis.hdel(servers, *(set(redis.hgetall(servers)) - {"generation"}))


def deposit(bank: bankkit.Bank, dollars: float = 1) -> float:
    """Deposits through the raw stub, which does not retry; returns the new balance."""
    request = bank_pb2.DepositRequest(account_id="alice", amount=dollars)
    reply: bank_pb2.TransactionResponse = bank.stub.Deposit(request, timeout=10)
    return reply.balance


def refusal(bank: bankkit.Bank) -> str:
    """The error of a deposit, or '' if it succeeds."""
    try:
        deposit(bank)
    except grpc.RpcError as error:
        return reason(error)
    return ""


def reason(error: grpc.RpcError) -> str:
    """The status and the reason of an error, such as `ABORTED LOCK_LOST`."""
    assert isinstance(error, grpc.Call)
    info = bankkit.error_info(error)
    assert info is not None
    return f"{error.code().name} {info.reason}"


def is_serving(bank: bankkit.Bank) -> bool:
    """Whether the health service says that the bank serves."""
    answer = health_pb2_grpc.HealthStub(bank.channel).Check(  # type: ignore[attr-defined]
        health_pb2.HealthCheckRequest()
    )
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


# The store


CHANGES: dict[str, Callable[[Store, int, int], object]] = {
    "commit": lambda store, cents, generation: store.commit("alice", cents, generation=generation),
    "compare_and_set": lambda store, cents, generation: store.compare_and_set(
        "alice", 0, cents, None, generation
    ),
    "add": lambda store, cents, generation: store.add("alice", cents, 0, 1000, None, generation),
    "read": lambda store, _, generation: store.read("alice", None, generation),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_earlier_generation_changes_nothing_after_a_later_one_has_read(
    store: Store, change: Callable[[Store, int, int], object]
) -> None:
    store.read("alice", None, 1)
    store.read("alice", None, 2)
    with pytest.raises(Outranked) as refusal:
        change(store, 500, 1)
    assert refusal.value.generation == 2
    assert store.read("alice").account.balance == 0
    assert store.commit("alice", 700, generation=2) == 700


@pytest.mark.parametrize("change", ["compare_and_set", "add"])
def test_a_change_in_one_step_voids_earlier_generations_too(store: Store, change: str) -> None:
    store.read("alice", None, 1)
    CHANGES[change](store, 300, 2)
    with pytest.raises(Outranked):
        store.commit("alice", 100, generation=1)
    assert store.read("alice").account.balance == 300


def test_what_is_refused_leaves_the_account_to_whom_it_belonged(store: Store) -> None:
    store.read("alice", None, 1)
    with pytest.raises(OutOfBounds):
        store.add("alice", -300, 0, 1000, None, 2)
    with pytest.raises(WriteConflict):
        store.compare_and_set("alice", 5, 300, None, 2)
    assert store.commit("alice", 100, generation=1) == 100


def test_a_mark_that_a_failover_lost_has_the_account_read_again(
    store: Store, redis: redis_py.Redis
) -> None:
    store.read("alice", None, 2)
    redis.hset(f"{NAMESPACE}:{{alice}}:account", "generation", 1)
    with pytest.raises(WriteConflict):
        store.commit("alice", 100, generation=2)


def test_without_a_generation_nothing_is_checked(store: Store) -> None:
    store.read("alice", None, 2)
    assert store.commit("alice", 100) == 100
    assert store.peek("alice") == {"bank:{alice}:account": {"type": "savings", "balance": "100"}}


def test_a_true_retry_is_answered_whoever_has_the_account_now(store: Store) -> None:
    request = Request("r", "fingerprint")
    store.read("alice", request, 1)
    store.commit("alice", 100, request, generation=1)
    store.read("alice", None, 2)
    assert store.commit("alice", 900, request, generation=1) == 100


def test_generations_grow(store: Store, redis: redis_py.Redis) -> None:
    def register(server: str, generation: int = 0, seen: int = 0) -> Registration:
        return store.register(
            server, ACROSS, alone=False, lease_ms=3000, generation=generation, seen=seen
        )

    first = register("a-1").generation
    assert first > 1e15  # microseconds
    assert register("b-1").generation == first  # shared with the other server
    assert register("a-1", first).generation == first
    store.unregister("a-1")
    store.unregister("b-1")
    second = register("c-1").generation
    assert second > first
    assert register("c-1", second, seen=second).generation == second
    assert register("c-1", second, seen=second + 10).generation > second + 10
    redis.hset(f"{NAMESPACE}:servers", "generation", 2**52)  # stored before the clock was set back
    store.unregister("c-1")
    assert register("d-1").generation == 2**52 + 1


def test_a_lease_from_a_clock_that_was_set_back_is_over(
    redis: redis_py.Redis, store: Store
) -> None:
    ahead = int((time.time() + 3600) * 1000)
    redis.hset(f"{NAMESPACE}:servers", "gone-1", f"{ahead} 1 read-write")
    granted = store.register("a-1", "read-write", alone=True, lease_ms=3000)
    assert granted.generation
    assert not granted.rivals
    assert not redis.hexists(f"{NAMESPACE}:servers", "gone-1")


# Two servers


def test_a_commit_on_its_way_is_void_once_another_server_has_the_account(
    store: Store, redis: redis_py.Redis
) -> None:
    with ExitStack() as stack:
        late = stack.enter_context(bank_on(redis))

        def another_server(_: str) -> None:
            dwell.close()  # only the first deposit waits
            forget_leases(redis)
            prompt = stack.enter_context(bank_on(redis))
            assert deposit(prompt, 100) == 100

        dwell = stack.enter_context(ExitStack())
        dwell.enter_context(lab.after_read(late, another_server))
        with pytest.raises(grpc.RpcError) as refused:
            deposit(late, 5)
        assert reason(refused.value) == "UNAVAILABLE LEASE_LOST"
        assert "This attempt applied nothing" in str(refused.value)
        assert store.read("alice").account.balance == 10000


def test_unsafe_it_loses_money(store: Store, redis: redis_py.Redis) -> None:
    with ExitStack() as stack:
        late = stack.enter_context(bank_on(redis, unsafe=True))

        def another_server(_: str) -> None:
            dwell.close()
            prompt = stack.enter_context(bank_on(redis, unsafe=True))
            assert deposit(prompt, 100) == 100

        dwell = stack.enter_context(ExitStack())
        dwell.enter_context(lab.after_read(late, another_server))
        assert deposit(late, 5) == 5
        assert store.read("alice").account.balance == 500


@pytest.mark.parametrize("concurrency", ["read-write", "atomic"])
def test_a_server_with_a_rival_writes_nothing_until_it_is_alone_again(
    store: Store,
    redis: redis_py.Redis,
    quick: None,
    concurrency: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with bank_on(redis, concurrency) as bank:
        assert deposit(bank) == 1
        rival = Store(redis, NAMESPACE)
        with caplog.at_level(logging.WARNING, "bankkit"), stay(rival, "mutex"):
            eventually(lambda: not is_serving(bank))
            assert refusal(bank) == "UNAVAILABLE LEASE_LOST"
            with pytest.raises(bankkit.CallError, match="has lost its lease"):
                bank.client.create_account("ben")
            assert bank.client.get_balance("alice").balance == 1
        eventually(lambda: is_serving(bank))
        assert deposit(bank) == 2
    (said, back) = [record.message for record in caplog.records]
    assert said.startswith("another server (mutex) works on the same accounts: this server writes")
    assert back == "this server can serve writes again"


@contextmanager
def stay(store: Store, concurrency: str) -> Iterator[None]:
    """A server that renews its lease all the time, despite rivals."""
    done = threading.Event()

    def register() -> None:
        while not done.wait(0.05):
            store.register("rival-1", concurrency, alone=True, lease_ms=600, force=True)

    thread = threading.Thread(target=register)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        store.unregister("rival-1")


def test_a_lease_that_is_over_is_taken_anew_by_the_next_write(
    store: Store, redis: redis_py.Redis, quick: None
) -> None:
    with bank_on(redis) as bank:
        bank.server.lease._until = 0.0  # as after the machine slept
        forget_leases(redis)
        assert deposit(bank) == 1


def test_a_later_generation_than_ours_is_overtaken(store: Store, redis: redis_py.Redis) -> None:
    """Redis has lost the current generation, but the accounts still carry their generations."""
    with bank_on(redis) as bank:
        ahead = 2**52
        redis.hset(f"{NAMESPACE}:{{alice}}:account", "generation", ahead)
        assert bank.client.deposit("alice", 1).balance == 1  # the client retries
        assert int(redis.hget(f"{NAMESPACE}:{{alice}}:account", "generation") or 0) > ahead


def test_servers_that_work_together_find_one_generation_again(
    store: Store, redis: redis_py.Redis
) -> None:
    """After a failover that has lost their leases, each server writes first in one of the runs."""
    with bank_on(redis, "atomic") as one, bank_on(redis, "atomic") as other:
        assert one.server.lease.generation() == other.server.lease.generation()
        for turn in range(3):
            redis.delete(f"{NAMESPACE}:servers")
            one.server.lease._until = 0.0
            for bank in (one, other, one, other):
                bank.client.deposit("alice", 1)
            assert one.server.lease.generation() == other.server.lease.generation()
            assert store.read("alice").account.balance == 400 * (turn + 1)


# Errors of Redis during a renewal


@pytest.mark.parametrize("trouble", ["BUSY", "NOPERM", "an answer that nobody expects"])
def test_the_lease_outlives_what_redis_says(
    store: Store, redis: redis_py.Redis, quick: None, trouble: str
) -> None:
    with bank_on(redis) as bank:
        assert deposit(bank) == 1
        with {"BUSY": busy, "NOPERM": forbidden}.get(trouble, of_another_type)(redis):
            eventually(lambda: not is_serving(bank))
            eventually(lambda: refusal(bank) == "UNAVAILABLE STORE_UNAVAILABLE")
        eventually(lambda: is_serving(bank))
        eventually(lambda: not refusal(bank))
        with pytest.raises(ConflictingServers):
            bank_on(redis)


@contextmanager
def busy(redis: redis_py.Redis) -> Iterator[None]:
    """Keeps Redis busy with a script that does not end."""
    redis.config_set("lua-time-limit", 5)
    path = redis.connection_pool.connection_kwargs["path"]
    with connect(f"unix://{path}", socket_timeout=LONG_ENOUGH) as slow:
        thread = threading.Thread(target=_until_killed, args=[slow])
        thread.start()
        try:
            yield
        finally:
            redis.script_kill()
            thread.join()


def _until_killed(client: redis_py.Redis) -> None:
    with suppress(redis_py.ResponseError):
        client.eval("while true do end", 0)


@contextmanager
def forbidden(redis: redis_py.Redis) -> Iterator[None]:
    """Forbids the default user, which the bank is, to run scripts."""
    redis.execute_command("ACL SETUSER default -evalsha -eval")
    try:
        yield
    finally:
        redis.execute_command("ACL SETUSER default +evalsha +eval")


@contextmanager
def of_another_type(redis: redis_py.Redis) -> Iterator[None]:
    """Gives the key of the leases another type, as another program might."""
    servers = f"{NAMESPACE}:servers"
    kept = redis.hgetall(servers)
    redis.delete(servers)
    redis.set(servers, "mine")
    try:
        yield
    finally:
        # In one step: a renewal between the two would be overwritten by a lease that has expired.
        with redis.pipeline(transaction=True) as both:
            both.delete(servers)
            both.hset(servers, mapping=kept)  # type: ignore[arg-type]
            both.execute()


def test_a_redis_that_begins_to_evict_gets_no_writes(
    store: Store, redis: redis_py.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis may evict a request id, and then a retry would move the money twice."""
    with bank_on(redis) as bank, caplog.at_level(logging.WARNING, "bankkit"):
        assert deposit(bank) == 1
        redis.config_set("maxmemory", "1gb")
        redis.config_set("maxmemory-policy", "volatile-lru")
        try:
            eventually(lambda: not is_serving(bank))
            assert refusal(bank) == "UNAVAILABLE STORE_UNFIT"
            assert bank.client.get_balance("alice").balance == 1
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
        assert not refusal(bank)  # at once
        eventually(lambda: is_serving(bank))
        redis.config_set("maxmemory", 0)
    assert "this server refuses all writes, because Redis" in caplog.text
    assert "volatile-lru" in caplog.text


# A whole process


@needs_proc
def test_a_server_that_was_stopped_with_ctrl_z(redis: redis_py.Redis, url: str) -> None:
    shared = ["serve", "--port", "0", "--redis", url, "--namespace", NAMESPACE]
    with home() as place, command(*shared, environ=place.environ) as first:
        where = first.line_starting("listening on ")
        with bankkit.connect(where) as sleepy:
            sleepy.create_account("alice")
            sleepy.deposit("alice", 1)
            first.send(signal.SIGSTOP)
            with bank_on(redis) as second:  # waits until the first lease has expired
                assert deposit(second, 10) == 11
                first.send(signal.SIGCONT)
                with pytest.raises(bankkit.CallError) as refused:
                    sleepy.deposit("alice", 100)
                assert refused.value.reason == "LEASE_LOST"
                assert deposit(second, 10) == 21
            eventually(lambda: _takes(sleepy), LONG_ENOUGH)
            assert sleepy.get_balance("alice").balance == 22
        first.send(signal.SIGTERM)
        assert first.wait() == 0
        assert "works on the same accounts" in first.errors()


def _takes(client: bankkit.Client) -> bool:
    try:
        client.deposit("alice", 1)
    except bankkit.CallError:
        return False
    return True
