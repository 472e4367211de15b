"""A retry gets the first reply again, and the money moves once, even if a reply was lost."""

import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

import grpc
import pytest

import bankkit
from bankkit.pb import bank_pb2
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import connect as connect_redis
from bankkit.store import REPLY_SECONDS, Snapshot
from tests.support.paths import ROOT

AFTER = {"deposit": 125.0, "withdraw": 75.0, "calculate_interest": 125.0}
"""The balance of 100 dollars after an operation with 25 (dollars, or percent)."""

TEXT = {
    "deposit": b"Deposit successful.",
    "withdraw": b"Withdrawal successful.",
    "calculate_interest": b"Interest added.",
}
COMMITTED = b"done"
"""Redis's answer to a commit contains this; its answers to reads do not."""


class LossyProxy:
    """A proxy between clients and a server that can be told to lose an answer.

    `connect` opens a connection to the server. A single thread carries the bytes.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._servers: dict[socket.socket, bool] = {}  # our connection to it -> is it muted?
        self._marker = b""
        self._times = 0
        self._lost = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="lossy-proxy")
        self._thread.start()

    @property
    def address(self) -> str:
        """`HOST:PORT` of the proxy."""
        return f"127.0.0.1:{self.port}"

    def lose(self, marker: bytes, *, times: int = 1, at_once: bool = False) -> None:
        """Loses the next `times` answers with `marker`, and all later bytes on their connections.

        With `at_once`, all connections are muted immediately.
        """
        with self._lock:
            self._lost.clear()
            self._marker, self._times = marker, times
            for server in self._servers if at_once else ():
                self._servers[server] = True

    def wait_until_lost(self) -> None:
        """Waits until the requested number of answers has been lost."""
        assert self._lost.wait(20)

    def cut(self, then_lose: bytes = b"") -> None:
        """Closes all connections. On new ones, loses the next answer with `then_lose`, if given."""
        with self._lock:
            self._lost.clear()
            self._marker, self._times = then_lose, 1
            for connection in self._peers:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the thread, and closes all connections."""
        self._wake_sender.send(b"!")
        self._thread.join()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake_receiver:
                    wake = self._wake_sender, self._wake_receiver
                    for connection in (*self._peers, self._listener, *wake):
                        connection.close()
                    self._selector.close()
                    return
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._peers:
                        assert isinstance(key.fileobj, socket.socket)
                        self._carry(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        self.connections += 1
        self._servers[server] = False
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, source: socket.socket) -> None:
        try:
            data = source.recv(1 << 16)
            if source in self._servers and self._marker and self._marker in data:
                self._servers[source] = True
                self._times -= data.count(self._marker)
                if self._times <= 0:
                    self._lost.set()
            if data and not self._servers.get(source):
                self._peers[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            for connection in (source, self._peers[source]):
                self._selector.unregister(connection)
                self._servers.pop(connection, None)
                del self._peers[connection]
                connection.close()


@contextmanager
def proxy_to(address: str) -> Iterator[LossyProxy]:
    """A proxy in front of `HOST:PORT` or `unix://PATH`."""

    def connect() -> socket.socket:
        if address.startswith("unix://"):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(unquote(address.removeprefix("unix://")))
            return connection
        host, port = address.split(":")
        return socket.create_connection((host, int(port)))

    proxy = LossyProxy(connect)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    """A Redis that all tests of this file share."""
    redis = PrivateRedis()
    yield redis
    redis.close()


@pytest.fixture(
    scope="module", params=["read-write", "mutex", "redis-read-write", "atomic", "none"]
)
def bank(request: pytest.FixtureRequest) -> Iterator[bankkit.Bank]:
    """A bank with one of the concurrency choices."""
    with bankkit.Bank(request.param) as bank:
        yield bank


@pytest.fixture
def account_id(bank: bankkit.Bank, request: pytest.FixtureRequest) -> str:
    """A fresh account with 100 dollars."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:]
    open_account(bank.client, name.strip("-"))
    return name.strip("-")


def open_account(client: bankkit.Client, account_id: str) -> None:
    """Opens an account with 100 dollars."""
    client.create_account(account_id)
    client.deposit(account_id, 100)


def send(
    client: bankkit.Client, method: str, account_id: str, request_id: str, number: float = 25
) -> bank_pb2.TransactionResponse:
    """Calls a method of the client under this request id."""
    reply: bank_pb2.TransactionResponse = getattr(client, method)(
        account_id, number, request_id=request_id, timeout=30
    )
    return reply


def refusal(call: Callable[..., Any], *arguments: Any) -> tuple[str, str]:
    """The code and the reason of a call that must be refused."""
    with pytest.raises(bankkit.CallError) as refused:
        call(*arguments)
    return refused.value.code().name, refused.value.reason


@pytest.mark.parametrize("method", AFTER)
def test_a_retry_gets_the_first_reply_again(
    bank: bankkit.Bank, account_id: str, method: str
) -> None:
    first = send(bank.client, method, account_id, "r")
    assert first.balance == AFTER[method]
    assert send(bank.client, method, account_id, "r") == first
    bank.client.deposit(account_id, 7)
    bank.client.withdraw(account_id, 50)
    bank.client.calculate_interest(account_id, 100)
    assert send(bank.client, method, account_id, "r") == first
    assert bank.client.get_balance(account_id).balance == (AFTER[method] + 7 - 50) * 2


def test_withdrawal_of_everything_may_be_retried(bank: bankkit.Bank, account_id: str) -> None:
    for _ in range(3):
        assert send(bank.client, "withdraw", account_id, "all", 100).balance == 0
    assert refusal(send, bank.client, "withdraw", account_id, "more", 0.01) == (
        "FAILED_PRECONDITION",
        "INSUFFICIENT_FUNDS",
    )


@pytest.mark.parametrize("method", AFTER)
def test_a_request_id_is_good_for_one_thing(
    bank: bankkit.Bank, account_id: str, method: str
) -> None:
    first = send(bank.client, method, account_id, "r")
    for other in AFTER:
        for number in (25, 26):
            if (other, number) != (method, 25):
                assert refusal(send, bank.client, other, account_id, "r", number) == (
                    "INVALID_ARGUMENT",
                    "REQUEST_ID_REUSED",
                )
    # A bad number or a withdrawal of too much does not get around the check either.
    assert refusal(send, bank.client, method, account_id, "r", -1)[0] == "INVALID_ARGUMENT"
    assert refusal(send, bank.client, "withdraw", account_id, "r", 1e6)[1] == "REQUEST_ID_REUSED"
    assert bank.client.get_balance(account_id).balance == first.balance
    open_account(bank.client, f"{account_id}2")  # a request id belongs to its account
    assert send(bank.client, method, f"{account_id}2", "r").balance == first.balance


def test_without_a_request_id_each_copy_counts(bank: bankkit.Bank, account_id: str) -> None:
    assert [send(bank.client, "deposit", account_id, "").balance for _ in range(3)] == [
        125,
        150,
        175,
    ]
    assert bank.redis.exists(f"bank:{{{account_id}}}:request:") == 0


def test_a_failed_attempt_is_judged_afresh(bank: bankkit.Bank, account_id: str) -> None:
    assert refusal(send, bank.client, "withdraw", account_id, "r", 500)[1] == "INSUFFICIENT_FUNDS"
    bank.client.deposit(account_id, 400)
    assert send(bank.client, "withdraw", account_id, "r", 500).balance == 0
    later = f"{account_id}-later"
    assert refusal(send, bank.client, "deposit", later, "r")[1] == "ACCOUNT_NOT_FOUND"
    open_account(bank.client, later)
    assert send(bank.client, "deposit", later, "r").balance == 125
    # A failed attempt does not reserve the id: another operation may use it.
    assert refusal(send, bank.client, "withdraw", later, "s", 500)[1] == "INSUFFICIENT_FUNDS"
    assert send(bank.client, "deposit", later, "s", 1).balance == 126


@pytest.mark.parametrize("request_id", ["r" * 128, "ü" * 128, "\0", "} {x:*\n"])
def test_any_text_is_a_request_id(bank: bankkit.Bank, account_id: str, request_id: str) -> None:
    first = send(bank.client, "deposit", account_id, request_id)
    assert send(bank.client, "deposit", account_id, request_id) == first
    assert bank.client.get_balance(account_id).balance == 125


@pytest.mark.parametrize("method", AFTER)
def test_a_reply_is_kept_for_a_day(bank: bankkit.Bank, account_id: str, method: str) -> None:
    assert REPLY_SECONDS == 24 * 60 * 60
    send(bank.client, method, account_id, "r")
    left = bank.redis.ttl(f"bank:{{{account_id}}}:request:r")
    assert isinstance(left, int)
    assert REPLY_SECONDS - 60 < left <= REPLY_SECONDS
    assert bank.redis.ttl(f"bank:{{{account_id}}}:account") == -1


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", AFTER)
def test_copies_at_the_same_time(bank: bankkit.Bank, method: str) -> None:
    copies, rounds = 8, 20
    together = threading.Barrier(copies)
    for number in range(rounds):
        open_account(bank.client, f"{method}{number}")

    def run(_: int) -> list[float]:
        with bankkit.connect(bank.address) as client:
            balances = []
            for number in range(rounds):
                together.wait(30)
                balances.append(send(client, method, f"{method}{number}", "r").balance)
            return balances

    with ThreadPoolExecutor(copies) as threads:
        for balances in threads.map(run, range(copies)):
            assert balances == [AFTER[method]] * rounds
    for number in range(rounds):
        assert bank.client.get_balance(f"{method}{number}").balance == AFTER[method]


@pytest.mark.parametrize("method", AFTER)
def test_two_copies_that_both_start_before_either_commits(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with bankkit.Bank("none") as bank:
        open_account(bank.client, "a")
        both_have_read = threading.Barrier(2)
        read = bank.server.store.read

        def read_together(*arguments: Any) -> Snapshot:
            seen = read(*arguments)
            both_have_read.wait(20)
            return seen

        monkeypatch.setattr(bank.server.store, "read", read_together)
        with ThreadPoolExecutor(2) as threads:
            copies = [threads.submit(send, bank.client, method, "a", "r") for _ in range(2)]
            assert [copy.result().balance for copy in copies] == [AFTER[method]] * 2
        monkeypatch.undo()
        assert bank.client.get_balance("a").balance == AFTER[method]


@pytest.mark.parametrize(("method", "times"), [*((method, 1) for method in AFTER), ("deposit", 3)])
def test_the_reply_was_lost_on_the_way_to_the_client(
    bank: bankkit.Bank, account_id: str, method: str, times: int
) -> None:
    """The client retries, and its caller notices nothing."""
    with (
        proxy_to(bank.address) as proxy,
        bankkit.connect(proxy.address) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        client.get_balance(account_id)
        proxy.lose(TEXT[method], at_once=True)
        attempt = thread.submit(send, client, method, account_id, "r")
        for left in range(times, 0, -1):
            proxy.wait_until_lost()
            assert bank.client.get_balance(account_id).balance == AFTER[method]
            assert not attempt.done()
            proxy.cut(then_lose=TEXT[method] if left > 1 else b"")
        assert attempt.result().balance == AFTER[method]
        assert proxy.connections == 1 + times
    assert bank.client.get_balance(account_id).balance == AFTER[method]


@pytest.mark.parametrize("concurrency", ["read-write", "redis-read-write", "atomic"])
def test_redis_answer_was_lost_on_the_way_to_the_server(
    redis: PrivateRedis, concurrency: str
) -> None:
    with (
        proxy_to(redis.url) as proxy,
        bankkit.Bank(concurrency, redis=f"redis://{proxy.address}") as bank,
        ThreadPoolExecutor(1) as thread,
    ):
        for method in AFTER:
            open_account(bank.client, method)
            proxy.lose(COMMITTED)
            attempt = thread.submit(send, bank.client, method, method, "r")
            proxy.wait_until_lost()
            proxy.cut()
            assert attempt.result().balance == AFTER[method]
            assert bank.client.get_balance(method).balance == AFTER[method]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("concurrency", ["read-write", "redis-read-write", "atomic"])
def test_the_server_was_killed_between_the_two(redis: PrivateRedis, concurrency: str) -> None:
    """The kill comes after the reply on one account, between commit and reply on the other."""
    with proxy_to(redis.url) as proxy:
        server, address = serve(f"redis://{proxy.address}", concurrency)
        with ended(server), bankkit.connect(address) as client, ThreadPoolExecutor(3) as threads:
            for method in AFTER:
                for name in (f"{method}-replied", f"{method}-killed"):
                    open_account(client, f"{concurrency}-{name}")
                send(client, method, f"{concurrency}-{method}-replied", "r")
            proxy.lose(COMMITTED, times=3)
            attempts = [
                threads.submit(send, client, method, f"{concurrency}-{method}-killed", "r")
                for method in AFTER
            ]
            proxy.wait_until_lost()
            server.kill()
            server.wait()
            for attempt in attempts:
                error = attempt.exception()
                assert isinstance(error, bankkit.CallError)
                assert error.code() is grpc.StatusCode.UNAVAILABLE
    with connect_redis(redis.url) as look:
        for method, balance in AFTER.items():  # all six were applied, three without a reply
            for name in (f"{method}-replied", f"{method}-killed"):
                stored = look.hget(f"bank:{{{concurrency}-{name}}}:account", "balance")
                assert stored == str(round(balance * 100))
    server, address = serve(redis.url, concurrency)  # waits for the lease of the killed one
    with ended(server), bankkit.connect(address) as client:
        for method, balance in AFTER.items():
            for name in (f"{method}-replied", f"{method}-killed"):
                account_id = f"{concurrency}-{name}"
                assert send(client, method, account_id, "r").balance == balance
                assert client.get_balance(account_id).balance == balance
                assert refusal(send, client, method, account_id, "r", 1)[1] == "REQUEST_ID_REUSED"


def serve(redis_url: str, concurrency: str) -> tuple[subprocess.Popen[str], str]:
    """A server in its own process, and its address."""
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "bankkit", "serve", "--port", "0"),
            *("--redis", redis_url, "--concurrency", concurrency),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("listening on "):
            return server, line.split()[-1]
    server.stdout.close()
    raise AssertionError(f"the server ended with {server.wait()}")


@contextmanager
def ended(server: subprocess.Popen[str]) -> Iterator[None]:
    """Kills the server at the end if it still runs, and waits for its exit."""
    try:
        yield
    finally:
        server.kill()
        server.communicate()
