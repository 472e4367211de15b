"""Several Redis servers of this process alone, which live no longer than it.

What a private Cluster and a private Sentinel set-up have in common: the nodes, each with a name
that stays while its role changes, and what may be done to one.

Servers that talk to each other need ports. They listen on 127.0.0.1 only and ask for a password
made for the run, which stands in files that only this user can read. (The bus between nodes of a
Cluster knows no password; it is not reached from another machine.)
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
"""How long nodes may take to start and find each other; alone they need two."""

FAILOVER_SECONDS = 15.0
"""How long a replica may take to replace its master; alone it takes two."""

LOOK_SECONDS = 1.0
"""How long a node may take to say how it sees the others."""

POLL_SECONDS = 0.02

HOST = "127.0.0.1"
BUS = 10_000
"""How far from its port a node of a Cluster talks to the others."""

_GLOB = "*?[\\"
"""Redis takes the path of its configuration for a pattern where these are in it."""

DATA_FILES = ("appendonlydir", "appendonly.aof")
"""Where Redis keeps the data, from 7.0 on, and before."""

_ATTEMPTS = 3
"""At a start, where somebody else took a port that was free a moment ago."""

Role = Literal["master", "replica", "sentinel"]
State = Literal["running", "paused", "gone"]


@dataclass(frozen=True, slots=True)
class RedisNode:
    """One server at one moment, as most of the others see it."""

    name: str
    """It stays, while the role changes."""
    role: Role
    address: str
    """`HOST:PORT`."""
    state: State
    """Of its process."""
    slots: tuple[tuple[int, int], ...] = ()
    """First and last of each range that it serves, for a master in a Cluster."""
    master: str = ""
    """The name of the node that a replica follows."""

    @property
    def alive(self) -> bool:
        """Whether it runs; one that is paused does not."""
        return self.state == "running"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def __str__(self) -> str:
        text = f"{self.name}: {self.role}"
        if self.master:
            text += f" of {self.master}"
        if self.slots:
            text += " of slots " + ", ".join(f"{first}–{last}" for first, last in self.slots)
        return text if self.alive else f"{text}, {self.state}"


class PrivateNodes(ABC):
    """Servers of this process alone. They are gone within two seconds of it, however it ends.

    A node is named as `nodes` names it. A killed or paused master is replaced by a replica after
    some two seconds, if there is one that runs. One that comes back has the data it had, and then
    follows whoever is master. In a child made with `os.fork` the copy is inert.

    Raises `RedisUnavailable` where a node is not in the state that a method needs, ValueError for
    a name that is none.

    Where somebody has removed the files of nodes, those that run write them again before one is
    started anew, and one that does not comes back as a replica of whoever took its place.
    """

    private = True
    url: str
    """With the password."""
    description: str
    replicas: int
    """Of each master, at the start."""
    oldest = OLDEST
    """The oldest Redis that such a set-up is made of."""

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
        """All of them as they are now, by name."""

    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether a master that runs stands for all data, and every node that runs follows.

        There may be fewer replicas than there were.
        """

    @abstractmethod
    def _start(self) -> None:
        """Starts all nodes and makes them know each other."""

    @abstractmethod
    def _kept_files(self, name: str) -> Sequence[str]:
        """Those of which one must be there for a node to come back as it was."""

    @abstractmethod
    def _prepare_empty(self, name: str) -> None:
        """Before a restart of a node that does not run and has no files: returns once another one
        has its part. Raises `RedisUnavailable` if none can."""

    def node(self, name: str) -> RedisNode:
        self._process(name)
        return next(node for node in self.nodes if node.name == name)

    def client(self, name: str) -> redis.Redis:
        """Of one node, to look around with. It is closed with the node's set-up."""
        self._process(name)
        return self._clients[name]

    def wait_until_healthy(self, timeout: float = 30.0) -> None:
        """Returns once `is_healthy`. Raises `RedisUnavailable` after `timeout` seconds."""
        self._until(self.is_healthy, timeout)

    def kill(self, name: str | None = None) -> None:
        """SIGKILLs a node, paused or not; returns when it is gone."""
        self._process(name).kill()

    def pause(self, name: str | None = None) -> None:
        """Stops a node in its tracks (SIGSTOP): it keeps connections and answers nothing."""
        self._process(name).pause()

    def resume(self, name: str | None = None) -> None:
        """Lets a paused node go on (SIGCONT), with what was sent to it in the meantime."""
        self._process(name).resume()

    def restart(self, name: str | None = None) -> None:
        """Starts a node anew, running, paused or gone; returns when it answers."""
        process = self._process(name)
        assert name is not None
        self._prepare(name)
        process.restart()
        self._await_answers([name])

    def close(self) -> None:
        """Ends all nodes; nothing is left of them. Safe to call again."""
        if self._supervisor.forked:
            return
        for client in self._clients.values():
            client.close()
        with contextlib.suppress(RedisUnavailable, RuntimeError):  # it was closed before
            self._supervisor.stop(self._processes.values())
        self._supervisor.close()
        for process in self._processes.values():
            process.close()

    def _process(self, name: str | None) -> SupervisedProcess:
        if name is None:
            raise ValueError(f"There are several nodes; say which: {', '.join(self._names)}.")
        if name not in self._processes:
            raise ValueError(f"There is no {name!r}; there are {', '.join(self._names)}.")
        return self._processes[name]

    def _add(self, name: str, settings: str, *arguments: str) -> None:
        """Starts a server with this configuration; `_ports` has its port.

        `{directory}` stands for the directory of its files, and must be in double quotes.
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
        """Before a restart: sees to it that nothing is lost by it where files were removed."""
        for each in self._names:
            if self._state(each) == "running" and not self._has_files(each):
                # One that cannot may do so before a restart of its own.
                with contextlib.suppress(*(ERRORS if each != name else ())):
                    self._write_files(each)
        if not self._has_files(name):
            self._prepare_empty(name)

    def _write_files(self, name: str) -> None:
        """Has a node that runs write all it holds to its directory, which was made again.

        Until then it could not even take over what a master has: its working directory is gone.
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
        """An append-only file, so that a node that comes back has the data it had."""
        major = int(self._binary.version.partition(".")[0])
        return (
            ("enable-protected-configs local\n" if major >= 7 else "")  # see `_write_files`
            + f"masterauth {self._password}\nappendonly yes\naof-load-truncated yes\nsave ''\n"
            "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-backlog-size 1mb\n"
        )

    def _await_answers(self, names: Iterable[str]) -> None:
        """Until each answers, as a node of ours does: a stranger refuses the password."""
        for name in names:
            self._until(lambda name=name: self._answers(name), START_SECONDS)  # type: ignore[misc]

    def _answers(self, name: str) -> bool:
        try:
            return bool(self._clients[name].ping())
        except redis.AuthenticationError:
            raise _NodePortTaken(f"The port of {name} was taken by another program.") from None
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
        if name not in self._processes:  # it is yet to be started
            return "gone"
        try:
            return "paused" if self._processes[name].status() == "paused" else "running"
        except RedisUnavailable:
            return "gone"

    def _name_at(self, port: int) -> str:
        return next((name for name, at in self._ports.items() if at == port), "")

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Redis tells nobody when it is ready: asks, and asks again a moment later."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                state = "; ".join(str(node) for node in self.nodes)
                raise RedisUnavailable(f"Not well after {seconds:g} s: {state}.")
            time.sleep(POLL_SECONDS)


def _quoted(path: Path) -> str:
    """Within double quotes in a configuration."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")
    return "".join(chr(c) if c in plain else f"\\x{c:02x}" for c in os.fsencode(path))


class _NodePortTaken(RedisUnavailable):
    """Somebody else was quicker."""


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has now, with their bus ports.

    From below the range that the system itself takes ports from.
    """
    found: list[int] = []
    candidates = random.sample(range(10_000, 32_000 - BUS), 1000)
    for port in candidates:
        if _is_free(port) and _is_free(port + BUS):
            found.append(port)
            if len(found) == number:
                return found
    raise RedisUnavailable(f"No {number} ports are free on {HOST}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Redis does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
