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
"""How long a server may take to start; on an idle machine it needs half a second."""

_LISTENING = re.compile(r"^listening on (\S+)$", re.MULTILINE)


class ServerNotRunning(RuntimeError):
    """A server did not start, or is not in the required state; the text says why."""


class ServerProcess:
    """One server of a fleet, in its own process. The object stays the same after `restart`."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], supervisor: Supervisor
    ) -> None:
        self.name = name
        self.address = ""
        """`HOST:PORT`; a restart does not change it."""
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
        """The process id since the latest start."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process.alive

    @property
    def log(self) -> str:
        """The output of the server since its latest start."""
        return self._process.log

    def start(self) -> None:
        """Starts the process. Does not wait until the server serves calls."""
        self._process.start()

    def wait_until_serving(self) -> None:
        """Waits at most `START_SECONDS`. Raises `ServerNotRunning` with the server's output."""
        deadline = time.monotonic() + START_SECONDS
        while (found := _LISTENING.search(self.log)) is None:
            if not self.alive:
                raise ServerNotRunning(f"{self.name} did not start. {self._last_output()}")
            if time.monotonic() > deadline:
                raise ServerNotRunning(f"{self.name} did not serve within {START_SECONDS:g} s.")
            if self._closing.wait(0.005):
                raise ServerNotRunning(f"{self.name} was stopped while it started.")
        self.address = found[1]
        port = self.address.rpartition(":")[2]
        self._process.command = [*self._command, "--port", port]

    def kill(self) -> None:
        """Sends SIGKILL; returns when the process is gone."""
        self._process.kill()

    def restart(self) -> None:
        """Starts the server again at its address; it may be running, paused or gone.

        A running server first gets up to 5 s to end its calls in flight. Returns when the new
        process serves calls.
        """
        with self._restarting:
            self._process.restart(GRACE_SECONDS)
            self.wait_until_serving()

    def pause(self) -> None:
        """Sends SIGSTOP: the server keeps its connections and locks, and does nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Sends SIGCONT: the server goes on as if no time had passed."""
        self._process.resume()

    def stop_waiting(self) -> None:
        """Ends a `restart` that waits in another thread."""
        self._closing.set()

    def close(self) -> None:
        """Ends the process and deletes its log."""
        self._process.close()

    def _last_output(self) -> str:
        output = self.log.strip().removeprefix("bankkit: ")
        if output:
            return f"Its last output:\n{output[-2000:]}"
        with contextlib.suppress(OSError):
            if not shutil.disk_usage(self._process.directory).free:
                return f"The disk is full: its log has no room in {self._process.directory}."
        return "It printed nothing."

    def __repr__(self) -> str:
        try:
            state = self._process.status()
        except ServerNotRunning:
            state = "gone"
        return f"<{self.name} at {self.address}, process {self.pid}, {state}>"


class Fleet(RunningBank):
    """A bank of several running servers, called `server 1`, `server 2`, …

    `client`, `channel` and `stub` call all servers in turn; `client_of` and `stub_of` call one. The
    servers end when this process ends, for any reason.

    Raises ValueError for a bad argument, `RedisUnavailable`, `TooFewFiles`, and `ServerNotRunning`
    with the server's last output; then nothing is left running.
    """

    @takes(FleetOptions)
    def __init__(self, options: FleetOptions) -> None:
        """See `bankkit.teller` for the choices of `concurrency`."""
        self.concurrency = options.concurrency
        check_files()
        with self._opening(options) as stack:
            self._supervisor = stack.enter_context(Supervisor())
            server_options = options.of_each_server | {"namespace": self.store.namespace}
            # The URL may contain a password, and every user can read a command line.
            env = {VARIABLE: self._engine.url, **same_imports()}
            self.servers: Mapping[str, ServerProcess] = MappingProxyType(
                {
                    name: ServerProcess(name, _serve(server_options, name), env, self._supervisor)
                    for name in (f"server {number}" for number in range(1, options.servers + 1))
                }
            )
            """The servers by name."""
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
        """`HOST:PORT` of each server, separated by commas, as `bankkit.connect` takes it."""
        return ",".join(server.address for server in self.servers.values())

    def client_of(self, name: str) -> Client:
        """A client like `client`, but all its calls go to this server."""
        return self._clients[self._known(name)]

    def stub_of(self, name: str) -> bank_pb2_grpc.BankServiceStub:
        """A stub like `stub`, but all its calls go to this server."""
        return self._stubs[self._known(name)]

    def kill(self, name: str) -> None:
        """Sends SIGKILL, like `kill -9` in a terminal; returns when the server is gone."""
        self.servers[self._known(name)].kill()

    def restart(self, name: str) -> None:
        """Starts the server again at its address; it may be running, paused or gone.

        A running server first gets up to 5 s to end its calls in flight. Returns when the new
        process serves calls.
        """
        server = self.servers[self._known(name)]
        if isinstance(self._engine, PrivateRedis):
            self._engine.check_socket()  # without the socket the server could not start
        server.restart()

    def pause(self, name: str) -> None:
        """Sends SIGSTOP: the server keeps its connections and locks, and does nothing."""
        self.servers[self._known(name)].pause()

    def resume(self, name: str) -> None:
        """Sends SIGCONT: the server goes on as if no time had passed."""
        self.servers[self._known(name)].resume()

    def _known(self, name: str) -> str:
        self._gate.check()
        if name not in self.servers:
            raise ValueError(f"There is no {name!r}: the servers are {', '.join(self.servers)}.")
        return name

    def _stop_serving(self, grace: float) -> None:
        for server in self.servers.values():
            server.stop_waiting()
        with contextlib.suppress(NotRunning):  # the supervisor has ended, and the servers with it
            self._supervisor.stop([server._process for server in self.servers.values()], grace)

    def __repr__(self) -> str:
        return f"<Fleet {self.concurrency} at {self.address} on {self.engine}>"


def _serve(options: Mapping[str, object], name: str) -> list[str]:
    """The command that runs a server with these options."""
    arguments = command_line(BankOptions, {**options, "name": name})
    return [sys.executable, "-m", "bankkit", "serve", *arguments]
