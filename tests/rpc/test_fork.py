"""A fork: the parent's banks do nothing in the child, and the child may start its own."""

import multiprocessing
import multiprocessing.forkserver
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest

import bankkit
from bankkit.locks import RedisLocks
from bankkit.pb import bank_pb2
from bankkit.redis_backend.connection import Link, connect
from bankkit.rpc import channels
from bankkit.runtime.forks import refusal
from tests.support.forking import in_a_fork
from tests.support.processes import LONG_ENOUGH, home, needs_proc, python, redis_on_tcp
from tests.support.waiting import eventually, eventually_idle

ALICE = bank_pb2.AccountRequest(account_id="alice")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def bank() -> Iterator[bankkit.Bank]:
    """A bank in which `alice` has 10 dollars."""
    with bankkit.Bank() as bank:
        bank.client.create_account("alice")
        bank.client.deposit("alice", 10)
        yield bank


@pytest.fixture(scope="module")
def fleet() -> Iterator[bankkit.Fleet]:
    """A fleet of two servers."""
    with bankkit.Fleet(servers=2) as fleet:
        yield fleet


@contextmanager
def a_call_in_flight(bank: bankkit.Bank) -> Iterator[None]:
    """Keeps a call waiting for the lock of `alice` during the block."""
    eventually_idle(bank)
    with bank.server.teller.locks.write("alice"):
        thread = threading.Thread(target=bank.stub.GetBalance, args=(ALICE,))
        thread.start()
        eventually(lambda: bank.server.load == 1)
        yield
    thread.join(LONG_ENOUGH)
    assert not thread.is_alive()


def refused(use: Callable[[], object]) -> str:
    """The text of the RuntimeError that `use` raises."""
    with pytest.raises(RuntimeError) as error:
        use()
    return str(error.value)


def test_a_bank_and_all_of_it(bank: bankkit.Bank) -> None:
    untyped: Any = bank
    uses: list[Callable[[], object]] = [
        lambda: bank.client.get_balance("alice"),
        lambda: bank.client.deposit("alice", 1),
        lambda: bank.stub.GetBalance(ALICE),
        lambda: bank.stub.GetBalance.future(ALICE),
        lambda: untyped.channel.unary_unary("/BankService/GetBalance")(b""),
        lambda: bank.redis.get("key"),
        lambda: untyped.redis.pipeline().get("key").execute(),
        lambda: bank.peek("alice"),
        bank.pause_redis,
        bank.resume_redis,
        bank.restart_redis,
        lambda: bank.redis_nodes,
    ]

    def child() -> None:
        for use in uses:
            assert refused(use) == refusal("bank")
        assert refused(lambda: bank.store.read("alice")) == refusal("link to Redis")
        assert refused(lambda: bank.server.store.read("alice")) == refusal("link to Redis")
        for _ in range(2):
            bank.client.close()
            bank.channel.close()
            bank.server.stop()
            bank.store.link.close()
            bank.stop()
        with bank:
            pass

    in_a_fork(child)
    assert bank.client.get_balance("alice").balance == 10
    assert bank.peek("alice")["bank:{alice}:account"]["balance"] == "1000"


def test_a_fleet(fleet: bankkit.Fleet) -> None:
    fleet.client.create_account("alice")

    def child() -> None:
        for use in (
            lambda: fleet.client.get_balance("alice"),
            lambda: fleet.client_of("server 1").get_balance("alice"),
            lambda: fleet.stub_of("server 2").GetBalance(ALICE),
            lambda: fleet.peek("alice"),
        ):
            assert refused(use) == refusal("bank")
        for change in (fleet.kill, fleet.restart, fleet.pause, fleet.resume):
            ordered = partial(change, "server 1")
            assert refused(ordered) == refusal("bank")
        fleet.stop()
        fleet.servers["server 1"].close()

    in_a_fork(child)
    assert all(server.alive for server in fleet.servers.values())
    assert fleet.client.deposit("alice", 1).balance == 1


def test_a_client_and_a_link(bank: bankkit.Bank) -> None:
    with (
        bankkit.connect(bank.address) as client,
        connect(bank._engine.url) as redis,
        closing(Link(redis)) as link,
    ):
        link.execute_command("SET", "key", "text")

        def child() -> None:
            assert refused(lambda: client.get_balance("alice")) == refusal("client")
            assert refused(lambda: link.execute_command("GET", "key")) == refusal("link to Redis")
            client.close()
            link.close()

        in_a_fork(child)
        assert client.get_balance("alice").balance == 10
        assert link.execute_command("GET", "key") == "text"


def test_what_a_child_makes_itself(bank: bankkit.Bank) -> None:
    def child() -> None:
        with bankkit.connect(bank.address) as client:
            assert client.get_balance("alice").balance == 10
        with bankkit.Bank() as own:
            own.client.create_account("bob")
            assert own.client.deposit("bob", 1).balance == 1
        with connect(bank._engine.url) as redis, closing(Link(redis)) as link:
            assert link.execute_command("PING") == "PONG"
        in_a_fork(lambda: bankkit.connect(bank.address).get_balance("alice"))  # a grandchild

    in_a_fork(child)
    assert bank.client.get_balance("alice").balance == 10


def test_a_child_right_after_a_call(bank: bankkit.Bank) -> None:
    """The server's threads may still be finishing the call."""
    for _ in range(5):
        bank.client.get_balance("alice")
        in_a_fork(lambda: bankkit.connect(bank.address).get_balance("alice"))


def test_a_child_beside_a_call(bank: bankkit.Bank) -> None:
    def child() -> None:
        began = time.monotonic()
        client = bankkit.connect(bank.address)
        assert "spawn" in refused(lambda: client.get_balance("alice"))
        assert refused(bankkit.Bank) == channels.FORKED
        assert refused(bank.server.start) == refusal("server")
        assert refused(lambda: bank.stub.GetBalance(ALICE)) == refusal("bank")
        client.close()
        bank.stop()
        assert time.monotonic() - began < 1

    with a_call_in_flight(bank):
        in_a_fork(child)
    assert bank.client.get_balance("alice").balance == 10
    in_a_fork(lambda: bankkit.connect(bank.address).get_balance("alice"))  # gRPC works again


def test_a_child_of_a_parent_without_fork_support(tmp_path: object) -> None:
    """The only sign is that gRPC does not answer."""
    code = """
import os, time, bankkit
bank = bankkit.Bank()
bank.client.create_account("alice")
if not os.fork():
    client, began = bankkit.connect(bank.address), time.monotonic()
    try:
        client.get_balance("alice")
    except RuntimeError as error:
        print("spawn" in str(error), time.monotonic() - began < 5, flush=True)
    os._exit(0)
os.wait()
bank.stop()
"""
    with home() as place, python(code, place.environ | {"GRPC_ENABLE_FORK_SUPPORT": "0"}) as parent:
        assert parent.line() == "True True", parent.errors()
        assert parent.wait() == 0


def deposit(address: str) -> float:
    """Deposits 1 dollar into the account `shared`; returns the new balance."""
    with bankkit.connect(address) as client:
        return client.deposit("shared", 1).balance


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(bank: bankkit.Bank, method: str) -> None:
    account = bank_pb2.AccountRequest(account_id="shared", account_type="savings")
    if method == "fork":
        bank.stub.CreateAccount(account)
    before = bank.client.get_balance("shared").balance
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(deposit, (bank.address,)).get(LONG_ENOUGH) == before + 1
    if method == "forkserver":
        server: Any = multiprocessing.forkserver._forkserver
        server._stop()  # otherwise it would live as long as this process


ENDS = {
    "by itself": "",
    "os._exit": "os._exit(0)",
    "exception": "raise SystemExit(0)",
    "stop": "bank.stop(); bank.client.close(); bank.redis.close()",
    "a bank of its own": "bankkit.start().stop()",
}


@needs_proc
@pytest.mark.parametrize("method", ["os.fork", "multiprocessing"])
def test_the_end_of_a_child_ends_nothing_of_its_parents(method: str) -> None:
    """On the user's Redis, the child must not delete the namespace or the lease either."""
    code = f"""
import multiprocessing, os, sys
import bankkit
bank = bankkit.start()
bank.client.create_account("alice")
servers = f"{{bank.store.namespace}}:servers"
lease = bank.redis.hgetall(servers)
def end(how):
    exec(how)
for how in {list(ENDS.values())!r}:
    if {method == "os.fork"}:
        if not os.fork():
            end(how)
            sys.exit()
        status = os.wait()[1]
    else:
        child = multiprocessing.get_context("fork").Process(target=end, args=(how,))
        child.start()
        child.join()
        status = child.exitcode
    same = list(bank.redis.hgetall(servers)) == list(lease)
    print(status, same, bank.client.deposit("alice", 1).balance, flush=True)
bank.stop()
"""
    with redis_on_tcp("secret") as url, home() as place:
        with python(code, place.environ | {"BANKKIT_REDIS_URL": url}) as parent:
            for number in range(1, len(ENDS) + 1):
                assert parent.line() == f"0 True {number}.0", parent.errors()
            assert parent.wait() == 0
            assert parent.errors() == ""  # no warning of gRPC or Python
        eventually(place.is_empty, LONG_ENOUGH)


def test_locks_on_redis(bank: bankkit.Bank) -> None:
    with closing(RedisLocks(bank.store.link)) as locks:
        lock = locks("a lock")
        with lock.write():

            def child() -> None:
                with pytest.raises(RuntimeError):
                    lock.acquire_read(0)

            in_a_fork(child)
            lock.check()
            assert lock.statistics().writer is not None


# Interrupted

# A fork waits for calls in flight. An Interrupt may come during that wait, in the fork hook.
INTERRUPTED = """
import os, signal, threading, time
import bankkit
from bankkit.rpc import channels
from bankkit.pb import bank_pb2
from tests.support.waiting import eventually, eventually_idle

bank = bankkit.start()
bank.client.create_account("alice")
eventually_idle(bank)
with bank.server.teller.locks.write("alice"):
    call = bank.stub.GetBalance.future(bank_pb2.AccountRequest(account_id="alice"))
    eventually(lambda: bank.server.load == 1)
    threading.Timer(channels.QUIET_SECONDS / 3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        child = os.fork()
        if child == 0:
            try:
                bankkit.connect(bank.address).get_balance("alice")
            except RuntimeError as error:
                os._exit(7 if "spawn" in str(error) else 1)
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
child = os.fork()
if child == 0:
    os._exit(8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(bank.client.get_balance("alice").balance)
bank.stop()
"""


@needs_proc
def test_an_interrupt_in_the_midst_of_a_fork_comes_after_it() -> None:
    with home() as place, python(INTERRUPTED, place.environ) as kernel:
        assert [kernel.line() for _ in range(4)] == ["interrupted", "7", "8", "0.0"]
        assert kernel.wait() == 0
        assert "Exception ignored" not in kernel.errors()
