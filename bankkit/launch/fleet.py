"""A bank of several servers: processes that share nothing but one Redis.

with Fleet(servers=3) as fleet:
    fleet.client.create_account("alice")
    fleet.kill("server 2")
    fleet.client.deposit("alice", 10)
    fleet.restart("server 2")
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bankkit import teller
from bankkit.client import Client
from bankkit.launch.running_bank import GRACE_SECONDS, RunningBank
from bankkit.pb import bank_pb2_grpc
from bankkit.redis_backend import VARIABLE, PrivateRedis, choose
from bankkit.redis_backend.connection import check_wait_replicas
from bankkit.rpc.channels import open_channel
from bankkit.runtime.arguments import check_flag, check_whole
from bankkit.runtime.open_files import check_files
from bankkit.server import MAX_CALLS, THREADS, check_numbers
from bankkit.service import MAX_WAIT_SECONDS
from bankkit.supervisor.supervised import NotRunning, SupervisedProcess, Supervisor, same_imports

DEFAULT = "redis-read-write"
"""The choice of a fleet that is not told another."""

MAX_SERVERS = 32

START_SECONDS = 30.0
"""How long a server may take to serve; alone on a machine it needs half a second."""

_LISTENING = re.compile(r"^listening on (\S+)$", re.MULTILINE)


class ServerNotRunning(RuntimeError):
    """A server did not start, or is not in the state that is needed; the text says why."""


class ServerProcess:
    """One server of a fleet, in a process of its own. It is there again after `restart`."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], supervisor: Supervisor
    ) -> None:
        self.name = name
        self.address = ""
        """`HOST:PORT`, and the same after a restart."""
        self._command = list(command)
        self._closing = threading.Event()
        self._restarting = threading.Lock()
        self._process = SupervisedProcess(
            [*command, "--port", "0"],
            env=env,
            what=name,
            error=ServerNotRunning,
            supervisor=supervisor,
        )

    @property
    def pid(self) -> int:
        """Of its latest start."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process is there, be it paused."""
        return self._process.alive

    @property
    def log(self) -> str:
        """What it wrote since its latest start."""
        return self._process.log

    def start(self) -> None:
        """Does not wait until it serves."""
        self._process.start()

    def wait_until_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (found := _LISTENING.search(self.log)) is None:
            if not self.alive:
                raise ServerNotRunning(f"{self.name} did not start. {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerNotRunning(f"{self.name} did not serve within {START_SECONDS:g} s.")
            if self._closing.wait(0.005):
                raise ServerNotRunning(f"{self.name} was stopped while it started.")
        self.address = found[1]
        port = self.address.rpartition(":")[2]
        self._process.command = [*self._command, "--port", port]

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()

    def restart(self) -> None:
        """Starts it again at its address, running, paused or gone; returns when it serves.

        One that runs may first end the calls in flight.
        """
        with self._restarting:
            self._process.restart(GRACE_SECONDS)
            self.wait_until_serving()

    def pause(self) -> None:
        """SIGSTOP: it keeps connections and locks, and does nothing."""
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._process.resume()

    def stop_waiting(self) -> None:
        """Has a restart that waits in another thread give up."""
        self._closing.set()

    def close(self) -> None:
        self._process.close()

    def _last_words(self) -> str:
        words = self.log.strip().removeprefix("bankkit: ")
        if words:
            return f"Its last words:\n{words[-2000:]}"
        with contextlib.suppress(OSError):
            if not shutil.disk_usage(self._process.directory).free:
                return f"There is no room left in {self._process.directory} for what it says."
        return "It said nothing."

    def __repr__(self) -> str:
        try:
            state = self._process.status()
        except ServerNotRunning:
            state = "gone"
        return f"<{self.name} at {self.address}, process {self.pid}, {state}>"


class Fleet(RunningBank):
    """A bank of several running servers, called `server 1`, `server 2`, …

    concurrency   how operations on one account are kept apart: see `bankkit.teller`
    servers       how many, from 1 to 32
    lease         seconds that `redis-read-write` keeps an account locked for a server that died
    redis         URL of a Redis to use; else `BANKKIT_REDIS_URL`; else a private one, which
                  "private" asks for in any case
    namespace     where its keys live; by default a fresh one on a Redis of the user's own, swept
                  when the bank stops or this process dies
    data_dir      folder in which a private Redis keeps the accounts; without it they end with it
    appendfsync   when a write reaches the disk there: everysec, always
    wait_replicas how many replicas of the Redis must have a write before it is acknowledged
    threads       calls that each server serves at once
    unsafe        permit a choice that cannot see the other servers

    `client`, `channel` and `stub` lead to all servers, which take turns; `client_of` and `stub_of`
    to one. The servers end with this process, however it ends.

    Raises ValueError for arguments that are none, `RedisUnavailable`, `TooFewFiles`, and
    `ServerNotRunning` with a server's last words; then nothing is left running.
    """

    def __init__(
        self,
        concurrency: str = DEFAULT,
        *,
        servers: int = 3,
        lease: float = teller.LEASE_SECONDS,
        redis: str | None = None,
        namespace: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        appendfsync: str = "everysec",
        wait_replicas: int = 0,
        threads: int = THREADS,
        unsafe: bool = False,
    ) -> None:
        _check_servers(servers, concurrency, lease, unsafe)
        self.concurrency = concurrency
        check_wait_replicas(wait_replicas)
        check_flag("unsafe", unsafe)
        check_files()
        with self._opening(redis, namespace, data_dir, appendfsync, wait_replicas) as stack:
            self._supervisor = stack.enter_context(Supervisor())
            command = [sys.executable, "-m", "bankkit", "serve", "--concurrency", concurrency]
            command += ["--namespace", self.store.namespace, "--lease", str(lease)]
            command += ["--wait-replicas", str(wait_replicas)]
            command += ["--threads", str(threads), *(["--unsafe"] if unsafe else [])]
            # Not on the command line, which everybody may read: the URL may hold a password.
            env = {VARIABLE: self._engine.url, **same_imports()}
            self.servers: Mapping[str, ServerProcess] = MappingProxyType(
                {
                    name: ServerProcess(name, [*command, "--name", name], env, self._supervisor)
                    for name in (f"server {number}" for number in range(1, servers + 1))
                }
            )
            """By name."""
            for server in self.servers.values():
                stack.callback(server.close)
                server.start()
            for server in self.servers.values():
                server.wait_until_serving()
            self._clients: dict[str, Client] = {}
            self._stubs: dict[str, bank_pb2_grpc.BankServiceStub] = {}
            for name, server in self.servers.items():
                self._clients[name] = stack.enter_context(
                    Client(server.address, gate=self._new_gate())
                )
                channel = stack.enter_context(open_channel(server.address, gate=self._new_gate()))
                self._stubs[name] = bank_pb2_grpc.BankServiceStub(channel)

    @classmethod
    def _check(cls, **arguments: Any) -> None:
        given = arguments
        _check_servers(given["servers"], given["concurrency"], given["lease"], given["unsafe"])
        check_wait_replicas(given["wait_replicas"])
        check_flag("unsafe", given["unsafe"])
        check_numbers(0, given["threads"], MAX_CALLS, MAX_WAIT_SECONDS)
        choose(given["redis"], data_dir=given["data_dir"], appendfsync=given["appendfsync"])

    @property
    def address(self) -> str:
        """`HOST:PORT` of each server, separated by commas: `bankkit.connect` takes it so."""
        return ",".join(server.address for server in self.servers.values())

    def client_of(self, name: str) -> Client:
        """As `client`, but all its calls go to this server."""
        return self._clients[self._known(name)]

    def stub_of(self, name: str) -> bank_pb2_grpc.BankServiceStub:
        """As `stub`, but all its calls go to this server."""
        return self._stubs[self._known(name)]

    def kill(self, name: str) -> None:
        """SIGKILL, as by `kill -9` in a terminal; returns when the server is gone."""
        self.servers[self._known(name)].kill()

    def restart(self, name: str) -> None:
        """Starts the server again at its address, running, paused or gone; returns when it serves.

        One that runs may first end the calls in flight.
        """
        server = self.servers[self._known(name)]
        if isinstance(self._engine, PrivateRedis):
            self._engine.check_socket()  # or it would start in vain
        server.restart()

    def pause(self, name: str) -> None:
        """SIGSTOP: the server keeps connections and locks, and does nothing."""
        self.servers[self._known(name)].pause()

    def resume(self, name: str) -> None:
        """SIGCONT: the server goes on as if no time had passed."""
        self.servers[self._known(name)].resume()

    def _known(self, name: str) -> str:
        self._gate.check()
        if name not in self.servers:
            raise ValueError(f"There is no {name!r}; the servers are {', '.join(self.servers)}.")
        return name

    def _stop_serving(self, grace: float) -> None:
        for server in self.servers.values():
            server.stop_waiting()
        with contextlib.suppress(NotRunning):  # they are gone already
            self._supervisor.stop([server._process for server in self.servers.values()], grace)

    def __repr__(self) -> str:
        return f"<Fleet {self.concurrency} at {self.address} on {self.engine}>"


def _check_servers(servers: int, concurrency: str, lease: float, unsafe: bool) -> None:
    check_whole("servers", servers, 1, MAX_SERVERS)
    teller.check_choice(concurrency, "fair", lease)
    if servers > 1 and teller.is_alone(concurrency) and not unsafe:
        raise ValueError(
            f"{concurrency} keeps calls apart within one process only: {servers} servers would "
            f"overwrite each other's changes, and money would be lost. Choose "
            f"{' or '.join(teller.ACROSS_SERVERS)}, or say unsafe=True to see it happen."
        )
