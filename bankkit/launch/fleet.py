"""A bank of several servers: processes that share nothing but one Redis.

with Fleet(servers=3) as fleet:
    fleet.client.create_account("alice")
    fleet.kill("server 2")
    fleet.client.deposit("alice", 10)
    fleet.restart("server 2")
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bankkit.client import Client
from bankkit.launch.running_bank import GRACE_SECONDS, RunningBank
from bankkit.options import BankOptions, FleetOptions
from bankkit.pb import bank_pb2_grpc
from bankkit.redis_backend import VARIABLE, PrivateRedis
from bankkit.rpc.channels import open_channel
from bankkit.runtime.open_files import check_files
from bankkit.runtime.option_fields import command_line, takes
from bankkit.supervisor.supervised import NotRunning, SupervisedProcess, Supervisor, same_imports

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

    `client`, `channel` and `stub` lead to all servers, which take turns; `client_of` and `stub_of`
    to one. The servers end with this process, however it ends.

    Raises ValueError for arguments that are none, `RedisUnavailable`, `TooFewFiles`, and
    `ServerNotRunning` with a server's last words; then nothing is left running.
    """

    @takes(FleetOptions)
    def __init__(self, options: FleetOptions) -> None:
        """See `bankkit.teller` for the choices of `concurrency`."""
        self.concurrency = options.concurrency
        check_files()
        with self._opening(options) as stack:
            self._supervisor = stack.enter_context(Supervisor())
            told = options.of_each_server | {"namespace": self.store.namespace}
            # Not on the command line, which everybody may read: the URL may hold a password.
            env = {VARIABLE: self._engine.url, **same_imports()}
            self.servers: Mapping[str, ServerProcess] = MappingProxyType(
                {
                    name: ServerProcess(name, _serve(told, name), env, self._supervisor)
                    for name in (f"server {number}" for number in range(1, options.servers + 1))
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


def _serve(told: Mapping[str, object], name: str) -> list[str]:
    """The command of a server with these options."""
    words = command_line(BankOptions, {**told, "name": name})
    return [sys.executable, "-m", "bankkit", "serve", *words]
