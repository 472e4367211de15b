"""Several servers on one Redis: they take calls in turn, and no cent is lost when one dies.

All tests here run real server processes.
"""

import ast
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

import bankkit
from bankkit.launch.fleet import ServerNotRunning
from bankkit.locks import RedisLocks
from bankkit.pb import bank_pb2
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import Link, connect
from bankkit.supervisor.supervised import NotRunning, SupervisedProcess, Supervisor
from tests.benchmarks import fleet_soak
from tests.support.processes import (
    LONG_ENOUGH,
    Home,
    accepts,
    command,
    needs_proc,
    python,
    redis_on_tcp,
)
from tests.support.waiting import eventually

pytestmark = needs_proc

NAMES = ["server 1", "server 2", "server 3"]


@pytest.fixture(scope="module")
def fleet() -> Iterator[bankkit.Fleet]:
    """A fleet of three servers that the tests of this file share."""
    with bankkit.Fleet(servers=3, lease=1.0) as fleet:
        yield fleet


@pytest.fixture
def account(fleet: bankkit.Fleet, request: pytest.FixtureRequest) -> str:
    """A new account for the test. Restarts the servers that do not run."""
    for server in fleet.servers.values():
        if not server.alive:
            server.restart()
    name = request.node.name.replace("[", "-").rstrip("]")[:60]
    fleet.client.create_account(name)
    return str(name)


def deposit(account: str, amount: float = 1, request_id: str = "") -> bank_pb2.DepositRequest:
    """A request for Deposit."""
    return bank_pb2.DepositRequest(account_id=account, amount=amount, request_id=request_id)


class Held:
    """An account's lock, held by the test, so that calls wait in its queue."""

    def __init__(self, fleet: bankkit.Fleet, account: str) -> None:
        self._lock = self._locks(fleet)(fleet.store.lock_key(account))

    def _locks(self, fleet: bankkit.Fleet) -> RedisLocks:
        self.locks = RedisLocks(Link(fleet.redis), owner="the test")
        return self.locks

    def waiting(self) -> Counter[str]:
        """How many calls wait in the queue, by server."""
        return Counter(party.owner for party in self._lock.statistics().queue)


@contextmanager
def held(fleet: bankkit.Fleet, account: str) -> Iterator[Held]:
    """Holds the account's lock for the block."""
    hold = Held(fleet, account)
    with closing(hold.locks), hold._lock.write(LONG_ENOUGH):
        yield hold


# One bank


def test_calls_take_turns(fleet: bankkit.Fleet, account: str) -> None:
    def spread() -> bool:
        """Whether each server gets three of nine calls while the account is locked."""
        with held(fleet, account) as hold:
            calls = [fleet.stub.Deposit.future(deposit(account)) for _ in range(9)]
            eventually(lambda: hold.waiting().total() == 9, LONG_ENOUGH)
            waiting = hold.waiting()
        for call in calls:
            call.result()
        return waiting == dict.fromkeys(NAMES, 3)

    eventually(spread, LONG_ENOUGH)  # at first, not all servers are connected


def test_a_client_of_one_server(fleet: bankkit.Fleet, account: str) -> None:
    with ThreadPoolExecutor() as pool:
        with held(fleet, account) as hold:
            calls = [pool.submit(fleet.client_of("server 2").deposit, account, 1) for _ in range(3)]
            calls += [fleet.stub_of("server 3").Deposit.future(deposit(account)) for _ in range(2)]
            eventually(lambda: hold.waiting().total() == 5, LONG_ENOUGH)
            assert hold.waiting() == {"server 2": 3, "server 3": 2}
        assert sorted(call.result().balance for call in calls) == [1, 2, 3, 4, 5]


def test_what_a_learner_looks_at(fleet: bankkit.Fleet, account: str) -> None:
    assert list(fleet.servers) == NAMES
    assert fleet.address.split(",") == [server.address for server in fleet.servers.values()]
    assert f"<Fleet redis-read-write at {fleet.address} on {fleet.engine}>" == repr(fleet)
    assert "private" in fleet.engine
    second = fleet.servers["server 2"]
    text = f"<server 2 at {second.address}, process {second.pid}, "
    assert repr(second) == f"{text}running>"
    fleet.pause("server 2")
    assert repr(second) == f"{text}paused>"
    assert second.alive
    fleet.kill("server 2")
    assert repr(second) == f"{text}gone>"
    fleet.client.deposit(account, 12.5)
    assert fleet.peek(account)[f"bank:{{{account}}}:account"]["balance"] == "1250"
    assert fleet.redis.ping()


def test_many_writers_over_all_servers(fleet: bankkit.Fleet, account: str) -> None:
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda _: fleet.stub.Deposit(deposit(account)), range(90)))
    assert fleet.client.get_balance(account).balance == 90


# A server dies


@pytest.mark.parametrize("by", ["name", "pid"])
def test_killed_and_back(fleet: bankkit.Fleet, account: str, by: str) -> None:
    server = fleet.servers["server 2"]
    pid, address = server.pid, server.address
    if by == "name":
        fleet.kill("server 2")
        assert not server.alive
        assert not Path(f"/proc/{pid}").exists()
    else:  # with `kill -9`, as in a terminal
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not server.alive, LONG_ENOUGH)
    fleet.kill("server 2")  # doing it again is allowed
    with pytest.raises(ServerNotRunning, match="server 2 is not running: killed by signal 9"):
        fleet.pause("server 2")
    for number in range(1, 31):  # the other servers go on
        assert fleet.client.deposit(account, 1).balance == number
    fleet.restart("server 2")
    assert server.alive
    assert server.address == address
    assert server.pid != pid
    assert fleet.client_of("server 2").get_balance(account).balance == 30


def test_clients_find_a_server_that_is_back(fleet: bankkit.Fleet, account: str) -> None:
    for name in NAMES:
        fleet.kill(name)
    with pytest.raises(grpc.RpcError) as away:
        fleet.stub.Deposit(deposit(account))
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    with ThreadPoolExecutor() as pool:
        call = pool.submit(fleet.client.deposit, account, 1, timeout=LONG_ENOUGH)
        fleet.restart("server 3")

        def answered() -> bool:
            try:
                return call.result().balance == 1
            except bankkit.CallError:  # the retries ended before the server was back
                return fleet.client.deposit(account, 1, request_id="again").balance == 1

        eventually(answered, LONG_ENOUGH)
    for name in NAMES[:2]:
        fleet.restart(name)


def test_a_running_one_is_restarted_and_its_calls_are_answered(
    fleet: bankkit.Fleet, account: str
) -> None:
    server = fleet.servers["server 1"]
    pid = server.pid
    with ThreadPoolExecutor() as pool:
        with held(fleet, account) as hold:
            call = fleet.stub_of("server 1").Deposit.future(deposit(account))
            eventually(lambda: hold.waiting().total() == 1, LONG_ENOUGH)
            restarted = pool.submit(fleet.restart, "server 1")
            eventually(lambda: not accepts(server.address), LONG_ENOUGH)
        assert call.result().balance == 1
        restarted.result()
    assert server.pid != pid
    fleet.client_of("server 1").deposit(account, 1)


def test_paused_it_does_nothing_and_then_goes_on(fleet: bankkit.Fleet, account: str) -> None:
    fleet.client_of("server 2").deposit(account, 1)
    fleet.pause("server 2")
    slow = fleet.stub_of("server 2").Deposit.future(deposit(account))
    for name in ("server 1", "server 3"):
        fleet.client_of(name).deposit(account, 1)
    assert not slow.done()
    assert fleet.client_of("server 1").get_balance(account).balance == 3
    fleet.resume("server 2")
    assert slow.result().balance == 4


def test_a_write_outlasts_its_server_and_moves_money_once(
    fleet: bankkit.Fleet, account: str
) -> None:
    with ThreadPoolExecutor() as pool, held(fleet, account) as hold:
        call = pool.submit(fleet.client.deposit, account, 10, timeout=LONG_ENOUGH)
        eventually(lambda: hold.waiting().total() == 1, LONG_ENOUGH)
        [first] = hold.waiting()
        fleet.kill(first)
        eventually(lambda: bool(hold.waiting().keys() - {first}), LONG_ENOUGH)
        assert not call.done()
    assert call.result().balance == 10
    assert fleet.client.get_balance(account).balance == 10
    assert len([key for key in fleet.peek(account) if ":request:" in key]) == 1


def test_a_name_that_is_none(fleet: bankkit.Fleet) -> None:
    use: Any
    for use in (
        fleet.kill,
        fleet.restart,
        fleet.pause,
        fleet.resume,
        fleet.client_of,
        fleet.stub_of,
    ):
        with pytest.raises(ValueError, match=r"no 'server 4'.* server 1, server 2, server 3"):
            use("server 4")


# A call retries when its lock was lost


def test_a_lost_lock_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with bankkit.Bank("redis-read-write") as bank:
        bank.client.create_account("a")
        commit, seen = bank.server.store.commit, []

        def commit_late(*arguments: Any, **options: Any) -> int:
            seen.append(arguments[2])  # the request
            if len(seen) == 1:
                raise bankkit.accounts.LockLost
            balance: int = commit(*arguments, **options)
            return balance

        monkeypatch.setattr(bank.server.store, "commit", commit_late)
        assert bank.client.deposit("a", 10).balance == 10
        assert len(seen) == 2
        assert seen[0] == seen[1] is not None


# Starting and stopping


def test_start_again_stops_the_servers_before(here: Home) -> None:
    fleet = bankkit.start(servers=2)
    assert fleet.concurrency == "redis-read-write"
    addresses, before = fleet.address.split(","), here.processes()
    assert len([each for each in before if "bankkit serve" in each]) == 2
    bank = bankkit.start()
    try:
        assert isinstance(bank, bankkit.Bank)
        assert not any(accepts(address) for address in addresses)
        assert not set(before) & set(here.processes())
        for name in fleet.servers:
            assert not fleet.servers[name].alive
            with pytest.raises(ServerNotRunning, match=f"{name} is closed"):
                fleet.servers[name].restart()
        fleet.stop()  # doing it again is allowed
    finally:
        bank.stop()
    assert here.is_empty()


@pytest.mark.parametrize("servers", [0, -1, 1.5, True, "3", None, 33])
def test_a_number_of_servers_that_is_none(here: Home, servers: Any) -> None:
    for start in (bankkit.start, bankkit.Fleet):
        with pytest.raises(ValueError, match=r"servers must be a whole number from 1 to 32, not "):
            start(servers=servers)
    assert here.is_empty()


@pytest.mark.parametrize("concurrency", ["none", "mutex", "first-draft", "read-write"])
def test_a_lock_in_one_process_is_refused(here: Home, concurrency: str) -> None:
    for start in (bankkit.start, bankkit.Fleet):
        with pytest.raises(ValueError, match=rf"{concurrency} .* one process only: 3 servers .*"):
            start(concurrency, servers=3)
    assert here.is_empty()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"concurrency": "fast"}, "concurrency must be one of"),
        ({"lease": 0}, "lease must be"),
        ({"threads": 0}, "threads must be"),
        ({"redis": "http://127.0.0.1"}, "not a Redis URL"),
        ({"namespace": "a b"}, "namespace"),
    ],
)
def test_other_bad_arguments(here: Home, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bankkit.start(servers=2, **options)
    with pytest.raises(TypeError, match="port"):
        bankkit.start(servers=2, port=50051)
    assert here.is_empty()


def test_unsafe_servers_lose_money_and_the_soak_sees_it() -> None:
    """The soak must be able to find lost money; otherwise its success would prove nothing."""
    result = fleet_soak.run(400, seed=1, concurrency="none", servers=2, kill_every=LONG_ENOUGH)
    assert not result.exact
    assert result.after < result.acknowledged_cents


def test_a_server_that_does_not_start_says_why_and_nothing_is_left(here: Home) -> None:
    with bankkit.Bank("read-write") as rival:
        with pytest.raises(ServerNotRunning) as failed:
            bankkit.Fleet(servers=2, redis=rival._engine.url, namespace="bank")
        assert "server 1 did not start. Its last output:\nAnother server (read-write)" in str(
            failed.value
        )
        assert not [each for each in here.processes() if "bankkit serve" in each]
    assert here.is_empty()


def test_a_users_own_redis_is_swept_and_its_password_not_shown(here: Home) -> None:
    with redis_on_tcp("open-sesame") as url, connect(url) as client:
        client.set("foreign", "1")
        with bankkit.Fleet(servers=2, redis=url) as fleet:
            fleet.client.create_account("a")
            assert client.exists(f"{fleet.store.namespace}:{{a}}:account")
            shown = "\n".join(here.processes())
            assert shown.count("bankkit serve") == 2
            assert "open-sesame" not in shown
        assert client.keys() == ["foreign"]
        assert here.is_empty()


INTERRUPTED = """
import signal, threading, bankkit
from bankkit.launch import start
from bankkit.supervisor import supervised

ask = supervised.Supervisor.ask
def ask_and_be_interrupted(self, order, *arguments):
    if order["do"] == "start" and order["what"] == "server 2":
        signal.raise_signal(signal.SIGINT)
    return ask(self, order, *arguments)

supervised.Supervisor.ask = ask_and_be_interrupted
try:
    bankkit.start(servers=2)
except KeyboardInterrupt:
    print("interrupted", flush=True)
supervised.Supervisor.ask = ask
bankkit.start().stop()
print("started again", flush=True)
input()
"""


def test_an_interrupted_start_leaves_nothing_behind_the_next(place: Home) -> None:
    with python(INTERRUPTED, place.environ) as script:
        assert [script.line(), script.line()] == ["interrupted", "started again"], script.errors()
        assert not [each for each in place.processes() if "-c" not in each]


KERNEL = """
import signal, bankkit
fleet = bankkit.start(servers=2)
fleet.pause("server 1")
print({name: server.pid for name, server in fleet.servers.items()}, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_gone_with_the_kernel_even_if_paused(place: Home, end: signal.Signals) -> None:
    with python(KERNEL, place.environ) as kernel:
        pids = ast.literal_eval(kernel.line())
        assert sorted(pids) == NAMES[:2]
        kernel.send(end)
        kernel.wait()
        eventually(place.is_empty, LONG_ENOUGH)


def test_two_servers_by_hand(place: Home) -> None:
    """Two terminals can do the work of a fleet."""
    with closing(PrivateRedis()) as redis:
        shared = ["--redis", redis.url, "--concurrency", "redis-read-write", "--namespace", "ours"]
        with (
            command("serve", "--port", "0", *shared, environ=place.environ) as one,
            command("serve", "--port", "0", *shared, environ=place.environ) as two,
        ):
            both = ",".join(each.line_starting("listening on ") for each in (one, two))
            with bankkit.connect(both) as client:
                client.create_account("a")
                for number in range(1, 11):
                    assert client.deposit("a", 1).balance == number
                one.send(signal.SIGKILL)
                for number in range(11, 21):
                    assert client.deposit("a", 1).balance == number
        with connect(redis.url) as look:
            assert look.hget("ours:{a}:account", "balance") == "2000"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1,", ",127.0.0.1:1", "127.0.0.1:1,127.0.0.1", "127.0.0.1:1, 127.0.0.1:2"]
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match="address must be HOST:PORT"):
        bankkit.connect(address)


def test_several_names_are_not_numbers() -> None:
    with pytest.raises(ValueError, match="IPv4 in numbers, not 'localhost:2'"):
        bankkit.connect("127.0.0.1:1,localhost:2")


# The soak


@pytest.mark.elsewhere
def test_a_short_soak() -> None:
    """`make soak` runs the long ones. If this one fails, the message has the seed."""
    result = fleet_soak.run(1600, seed=20_000, kill_every=0.4)
    assert result.exact, str(result)
    assert result.kills >= 2
    assert result.acknowledged + result.unknown == 1600


# The processes below a fleet: commands under one supervisor


def says(process: SupervisedProcess, text: str) -> bool:
    """Whether the process has written exactly this text."""
    return process.log == text


def test_commands_share_a_supervisor(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        one, two = (
            SupervisedProcess(
                # We use exec: a shell that is stopped during a fork does not count as stopped.
                ["/bin/sh", "-c", 'echo $SECRET $(cat note); trap "" TERM; exec sleep 600'],
                directory=tmp_path / name,
                env={"SECRET": f"secret of {name}"},
                files={"note": f"note for {name}"},
                what=name,
                supervisor=supervisor,
            )
            for name in ("one", "two")
        )
        with pytest.raises(NotRunning, match="was never started"):
            one.status()
        assert not one.alive
        assert one.log == ""
        one.start()
        two.start()
        for each, name in ((one, "one"), (two, "two")):
            eventually(partial(says, each, f"secret of {name} note for {name}\n"), LONG_ENOUGH)
        one.pause()
        assert (one.status(), two.status()) == ("paused", "running")
        one.close()
        assert not (tmp_path / "one").exists()
        with pytest.raises(NotRunning, match="one is closed"):
            one.start()
        assert two.alive
        (two.directory / "note").write_text("other note")  # a restart keeps the file
        two.stop(grace=0.05)  # it ignores SIGTERM
        with pytest.raises(NotRunning, match=r"two is not running: killed by signal 9\. Its last"):
            two.status()
        two.command = ["/bin/sh", "-c", "cat note; exit 3"]
        two.start()
        eventually(lambda: not two.alive, LONG_ENOUGH)
        assert two.log == "other note"
        with pytest.raises(NotRunning, match=r"exit code 3\. Its last output: other note"):
            two.resume()
    assert list(tmp_path.iterdir()) == []
    two.close()  # doing it again is allowed


def test_a_command_that_is_none(tmp_path: Path) -> None:
    with closing(SupervisedProcess([str(tmp_path / "nowhere")], what="It")) as process:
        process.start()
        eventually(lambda: not process.alive, LONG_ENOUGH)
        with pytest.raises(NotRunning, match=r"exit code 127\. .*No such file.*nowhere"):
            process.status()
