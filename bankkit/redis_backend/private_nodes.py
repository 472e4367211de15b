"""Several private Redis servers, which end with this process.

The common part of a private Cluster and a private Sentinel set-up: nodes with fixed names and
changing roles, and operations on a node.

Servers that talk to each other need ports. They listen only on 127.0.0.1 and require a password
made for the run. It is stored in files that only this user can read. (The bus between Cluster nodes
has no password, but other machines cannot reach it.)
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from bankkit.redis_backend.binary import OLDEST, RedisUnavailable, find_binary
from bankkit.redis_backend.connection import ERRORS, connect
from bankkit.redis_backend.private import ENVIRONMENT
from bankkit.supervisor.supervised import NoSocket, SupervisedProcess, Supervisor, socket_directory

START_SECONDS = 20.0
"""Seconds that nodes may take to start and find each other; on an idle machine they need 2."""

FAILOVER_SECONDS = 15.0
"""Seconds that a replica may take to replace its master; on an idle machine it needs 2."""

LOOK_SECONDS = 1.0
"""Timeout of a question to one node in seconds."""

POLL_SECONDS = 0.02

HOST = "127.0.0.1"
BUS = 10_000
"""Difference between the bus port and the port of a Cluster node."""

_GLOB = "*?[\\"
"""Characters with which Redis takes the path of its configuration for a pattern."""

DATA_FILES = ("appendonlydir", "appendonly.aof")
"""Where Redis keeps its data: from 7.0 on, and before 7.0."""

_ATTEMPTS = 3
"""Number of starts to try if another program takes a port that was free a moment ago."""

Role = Literal["master", "replica", "sentinel"]
State = Literal["running", "paused", "gone"]


@dataclass(frozen=True, slots=True)
class RedisNode:
    """A snapshot of one server, as most of the other servers see it."""

    name: str
    """Its fixed name; the role may change."""
    role: Role
    address: str
    """`HOST:PORT`."""
    state: State
    """State of its process."""
    slots: tuple[tuple[int, int], ...] = ()
    """First and last slot of each range that a master in a Cluster serves."""
    master: str = ""
    """Name of the master that a replica follows."""

    @property
    def alive(self) -> bool:
        """Whether the process runs; a paused one does not."""
        return self.state == "running"

    @property
    def port(self) -> int:
        """Port of the server."""
        return int(self.address.rpartition(":")[2])

    def __str__(self) -> str:
        text = f"{self.name}: {self.role}"
        if self.master:
            text += f" of {self.master}"
        if self.slots:
            text += " of slots " + ", ".join(f"{first}–{last}" for first, last in self.slots)
        return text if self.alive else f"{text}, {self.state}"


class PrivateNodes(ABC):
    """Private servers. They end within two seconds after this process, however it ends.

    `nodes` lists the names of the nodes. About two seconds after a master was killed or paused, a
    replica replaces it, if one runs. A node that is restarted has its former data, and then follows
    the present master. In a child made with `os.fork`, `close` does nothing.

    Raises `RedisUnavailable` if a node is not in the state that a method needs, and ValueError for
    an unknown name.

    If the files of nodes were removed, running nodes write them again before a restart. A node that
    does not run is restarted as a replica of the node that replaced it.
    """

    private = True
    url: str
    """URL with the password."""
    description: str
    replicas: int
    """Number of replicas of each master at the start."""
    oldest = OLDEST
    """The oldest usable version of Redis."""

    def __init__(self, what: str, names: Sequence[str]) -> None:
        self._binary = find_binary(self.oldest)
        self._names = tuple(names)
        self._password = secrets.token_urlsafe(24)
        self._ports: dict[str, int] = {}
        self._processes: dict[str, SupervisedProcess] = {}
        self._clients: dict[str, redis.Redis] = {}
        version = f"{self._binary.flavour.capitalize()} {self._binary.version}"
        self.description = f"{version} {what}, private ({self._binary.source})"
        for attempt in range(1, _ATTEMPTS + 1):
            self._supervisor = Supervisor()
            try:
                self._start()
                return
            except _NodePortTaken:
                self.close()
                if attempt == _ATTEMPTS:
                    raise
            except BaseException:
                self.close()
                raise

    @property
    @abstractmethod
    def nodes(self) -> tuple[RedisNode, ...]:
        """The present state of all nodes, ordered by name."""

    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether running masters serve all data, and all other running nodes follow them.

        There may be fewer replicas than at the start.
        """

    @abstractmethod
    def _start(self) -> None:
        """Start all nodes and connect them with each other."""

    @abstractmethod
    def _kept_files(self, name: str) -> Sequence[str]:
        """Files of which a node needs at least one for a restart in its former state."""

    @abstractmethod
    def _prepare_empty(self, name: str) -> None:
        """Prepare the restart of a node that does not run and has no files.

        Returns when another node has taken its role. Raises `RedisUnavailable` if none can.
        """

    def node(self, name: str) -> RedisNode:
        """The present state of one node."""
        self._process(name)
        return next(node for node in self.nodes if node.name == name)

    def client(self, name: str) -> redis.Redis:
        """A client of one node, for inspection. `close` closes it."""
        self._process(name)
        return self._clients[name]

    def wait_until_healthy(self, timeout: float = 30.0) -> None:
        """Wait until `is_healthy`. Raises `RedisUnavailable` after `timeout` seconds."""
        self._until(self.is_healthy, timeout)

    def kill(self, name: str | None = None) -> None:
        """Kill a node (SIGKILL), paused or not; returns when it has ended."""
        self._process(name).kill()

    def pause(self, name: str | None = None) -> None:
        """Pause a node (SIGSTOP): it keeps its connections and answers nothing."""
        self._process(name).pause()

    def resume(self, name: str | None = None) -> None:
        """Continue a paused node (SIGCONT); it then executes the commands that it got."""
        self._process(name).resume()

    def restart(self, name: str | None = None) -> None:
        """Restart a node that is running, paused or gone; returns when it answers."""
        process = self._process(name)
        assert name is not None
        self._prepare(name)
        process.restart()
        self._await_answers([name])

    def close(self) -> None:
        """Stop all nodes and remove all their files. Safe to call again."""
        if self._supervisor.forked:
            return
        for client in self._clients.values():
            client.close()
        with contextlib.suppress(RedisUnavailable, RuntimeError):  # it is already closed
            self._supervisor.stop(self._processes.values())
        self._supervisor.close()
        for process in self._processes.values():
            process.close()

    def _process(self, name: str | None) -> SupervisedProcess:
        if name is None:
            raise ValueError(f"There are several nodes; name one: {', '.join(self._names)}.")
        if name not in self._processes:
            raise ValueError(f"There is no node {name!r}; use one of {', '.join(self._names)}.")
        return self._processes[name]

    def _add(self, name: str, settings: str, *arguments: str) -> None:
        """Start a server with this configuration on its port in `_ports`.

        `{directory}` in the settings is replaced by the directory of its files. It must be in
        double quotes.
        """
        try:
            directory = socket_directory(avoid=_GLOB)
        except NoSocket as error:
            raise RedisUnavailable(str(error)) from None
        configuration = "node.conf"
        settings = settings.replace("{directory}", _quoted(directory))
        common = (
            f"bind {HOST}\nport {self._ports[name]}\nrequirepass {self._password}\n"
            'daemonize no\nproc-title-template "{title} {config-file} {server-mode}"\n'
        )
        process = SupervisedProcess(
            [str(self._binary.path), str(directory / configuration), *arguments],
            directory=directory,
            env=ENVIRONMENT,
            files={configuration: common + settings},
            what=name,
            error=RedisUnavailable,
            supervisor=self._supervisor,
        )
        self._processes[name] = process
        self._clients[name] = connect(
            self._url_of(name), socket_timeout=LOOK_SECONDS, socket_connect_timeout=LOOK_SECONDS
        )
        process.start()

    def _url_of(self, name: str) -> str:
        return f"redis://:{self._password}@{HOST}:{self._ports[name]}"

    def _cannot_come_back(self, name: str) -> RedisUnavailable:
        return RedisUnavailable(
            f"The files of {name} were removed, and no replica can take its place: a restart would "
            f"lose its data. Start a new bank."
        )

    def _has_files(self, name: str) -> bool:
        directory = self._processes[name].directory
        return any((directory / file).exists() for file in self._kept_files(name))

    def _prepare(self, name: str) -> None:
        """Make sure that a restart loses no data if files were removed."""
        for each in self._names:
            if self._state(each) == "running" and not self._has_files(each):
                # An error of another node does not matter now; it matters when that one restarts.
                with contextlib.suppress(*(ERRORS if each != name else ())):
                    self._write_files(each)
        if not self._has_files(name):
            self._prepare_empty(name)

    def _write_files(self, name: str) -> None:
        """Make a running node write all its data to its directory, which was made again.

        Without this it could not even copy the data of a master: its working directory was removed.
        """
        with connect(self._url_of(name), socket_timeout=START_SECONDS) as client:
            client.config_set("dir", str(self._processes[name].directory))
            client.config_set("appendonly", "no")
            client.config_set("appendonly", "yes")

            def is_written() -> bool:
                info: dict[str, int] = client.info("persistence")
                return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]

            self._until(is_written, START_SECONDS)

    def _data_settings(self) -> str:
        """Settings with an append-only file, so that a restarted node has its former data."""
        major = int(self._binary.version.partition(".")[0])
        return (
            ("enable-protected-configs local\n" if major >= 7 else "")  # see `_write_files`
            + f"masterauth {self._password}\nappendonly yes\naof-load-truncated yes\nsave ''\n"
            "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-backlog-size 1mb\n"
        )

    def _await_answers(self, names: Iterable[str]) -> None:
        """Wait until each node answers. A server of another program refuses our password."""
        for name in names:
            self._until(lambda name=name: self._answers(name), START_SECONDS)  # type: ignore[misc]

    def _answers(self, name: str) -> bool:
        try:
            return bool(self._clients[name].ping())
        except redis.AuthenticationError:
            raise _NodePortTaken(f"Another program took the port of {name}.") from None
        except (redis.ConnectionError, redis.TimeoutError):
            try:
                self._processes[name].status()
            except RedisUnavailable as error:
                if "in use" in self._processes[name].log:
                    raise _NodePortTaken(str(error)) from None
                raise
            return False

    def _states(self) -> dict[str, State]:
        return {name: self._state(name) for name in self._names}

    def _state(self, name: str) -> State:
        if name not in self._processes:  # it was not started yet
            return "gone"
        try:
            return "paused" if self._processes[name].status() == "paused" else "running"
        except RedisUnavailable:
            return "gone"

    def _name_at(self, port: int) -> str:
        return next((name for name, at in self._ports.items() if at == port), "")

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Poll until the condition is true: Redis sends no message when it is ready."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                state = "; ".join(str(node) for node in self.nodes)
                raise RedisUnavailable(f"The nodes are not ready after {seconds:g} s: {state}.")
            time.sleep(POLL_SECONDS)


def _quoted(path: Path) -> str:
    """The path in the form for double quotes in a Redis configuration."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")
    return "".join(chr(c) if c in plain else f"\\x{c:02x}" for c in os.fsencode(path))


class _NodePortTaken(RedisUnavailable):
    """Another program took the port of a node first."""


def free_ports(number: int) -> list[int]:
    """Free ports of 127.0.0.1 whose bus ports are free as well.

    They are below the range from which the system assigns ports. Raises `RedisUnavailable` if
    there are not enough.
    """
    found: list[int] = []
    candidates = random.sample(range(10_000, 32_000 - BUS), 1000)
    for port in candidates:
        if _is_free(port) and _is_free(port + BUS):
            found.append(port)
            if len(found) == number:
                return found
    raise RedisUnavailable(f"Fewer than {number} ports are free on {HOST}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Redis does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
