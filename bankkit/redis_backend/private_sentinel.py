"""A private master with two replicas, and three Sentinels that watch them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, cast

import redis

from bankkit.redis_backend.binary import RedisUnavailable
from bankkit.redis_backend.private_nodes import (
    DATA_FILES,
    FAILOVER_SECONDS,
    HOST,
    START_SECONDS,
    PrivateNodes,
    RedisNode,
    Role,
    State,
    free_ports,
)

SERVICE = "bank"
"""The Sentinels' name for the present master."""

DATA = ("node 1", "node 2", "node 3")
SENTINELS = ("sentinel 1", "sentinel 2", "sentinel 3")
QUORUM = 2
"""Number of Sentinels that must find the master down before one of them replaces it."""

DOWN_MS = 1000
"""Milliseconds without an answer after which a Sentinel counts a node as down."""

FAILOVER_MS = 1500
"""Milliseconds that a failover may take. After twice this time it is tried again, for example after
a split vote."""


class PrivateSentinel(PrivateNodes):
    """A set-up whose `node 1` begins as the master, `node 2` and `node 3` as its replicas."""

    replicas = len(DATA) - 1

    def __init__(self) -> None:
        super().__init__("with two replicas and three Sentinels", DATA + SENTINELS)

    @property
    def nodes(self) -> tuple[RedisNode, ...]:
        """The nodes as the Sentinel that knows the latest failover sees them."""
        states = self._states()
        master = self._master()
        return tuple(self._node(name, states[name], master) for name in self._names)

    def is_healthy(self) -> bool:
        """Whether enough Sentinels run and agree, and all running replicas follow the master."""
        states = self._states()
        watching = [name for name in SENTINELS if states[name] == "running"]
        named = {self._master_by(name) for name in watching}
        if len(watching) < QUORUM or len(named) != 1:
            return False
        (master,) = named
        if not master or states[master] != "running" or self._leader(master) != master:
            return False
        return all(
            self._leader(name) == master
            for name in DATA
            if states[name] == "running" and name != master
        ) and all(self._knows_all(name, states) for name in watching)

    def restart(self, name: str | None = None) -> None:
        """Restart a node that is running, paused or gone; it then follows the present master."""
        process = self._process(name)
        if name in DATA:
            self._prepare(name)
            master = self._master()
            process.command = process.command[:2]
            if master != name:
                process.command += ["--replicaof", HOST, str(self._ports[master])]
        super().restart(name)

    def _kept_files(self, name: str) -> Sequence[str]:
        return DATA_FILES if name in DATA else ("node.conf",)

    def _prepare_empty(self, name: str) -> None:
        try:
            self._until(lambda: self._master() != name, FAILOVER_SECONDS)
        except RedisUnavailable:
            raise self._cannot_come_back(name) from None

    def _start(self) -> None:
        ports = free_ports(len(self._names))
        self._ports = dict(zip(self._names, ports, strict=True))
        sentinels = ",".join(f"{HOST}:{self._ports[name]}" for name in SENTINELS)
        self.url = (
            f"redis+sentinel://:{self._password}@{sentinels}/{SERVICE}"
            f"?sentinel_password={self._password}"
        )
        master, *replicas = DATA
        self._add(master, self._data_settings())
        for name in replicas:
            self._add(name, self._data_settings(), "--replicaof", HOST, str(self._ports[master]))
        self._await_answers(DATA)
        self._until(lambda: all(self._leader(name) == master for name in DATA), START_SECONDS)
        # Sentinels would find each other in a few seconds; their configuration is faster.
        identities = {name: secrets.token_hex(20) for name in SENTINELS}
        for name in SENTINELS:
            peers = "".join(
                f"sentinel known-sentinel {SERVICE} {HOST} {self._ports[peer]} {identity}\n"
                for peer, identity in identities.items()
                if peer != name
            )
            self._add(
                name,
                f"sentinel myid {identities[name]}\nsentinel sentinel-pass {self._password}\n"
                f"sentinel monitor {SERVICE} {HOST} {self._ports[master]} {QUORUM}\n"
                f"sentinel auth-pass {SERVICE} {self._password}\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}\n"
                f"sentinel failover-timeout {SERVICE} {FAILOVER_MS}\n"
                f"sentinel parallel-syncs {SERVICE} {len(replicas)}\n{peers}",
                "--sentinel",
            )
        self._await_answers(SENTINELS)
        self.wait_until_healthy(START_SECONDS)

    def _master(self) -> str:
        """The present master, by the Sentinel that knows the latest failover."""
        known = [
            (found["config-epoch"], name) for name in SENTINELS if (found := self._watched(name))
        ]
        if not known:
            raise RedisUnavailable("No Sentinel is running, so the master is unknown: restart one.")
        return self._master_by(max(known)[1])

    def _master_by(self, sentinel: str) -> str:
        """The master by this Sentinel; empty if it does not answer."""
        found = self._watched(sentinel)
        return self._name_at(found["port"]) if found else ""

    def _watched(self, sentinel: str) -> dict[str, Any]:
        if self._state(sentinel) != "running":
            return {}
        try:
            masters: Any = self._clients[sentinel].sentinel_masters()
        except (redis.ConnectionError, redis.TimeoutError):
            return {}
        return cast("dict[str, Any]", masters[SERVICE])

    def _knows_all(self, sentinel: str, states: dict[str, State]) -> bool:
        """Whether this Sentinel could complete a failover: it sees all running nodes."""
        found = self._watched(sentinel)
        if not found or found["flags"] != "master" or found["num-slaves"] < len(DATA) - 1:
            return False
        client: Any = self._clients[sentinel]
        try:
            others = client.sentinel_slaves(SERVICE) + client.sentinel_sentinels(SERVICE)
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        fit = [
            self._name_at(other["port"])
            for other in others
            if not {"s_down", "o_down", "disconnected"} & set(other["flags"].split(","))
        ]
        return all(
            name in fit
            for name in self._names
            if states[name] == "running" and name not in (sentinel, self._name_at(found["port"]))
        )

    def _leader(self, name: str) -> str:
        """The node whose data this node has: itself if it is a master, else its master.

        Empty until it has all the data, and if it does not answer.
        """
        try:
            replication: dict[str, Any] = self._clients[name].info("replication")
        except (redis.ConnectionError, redis.TimeoutError):
            return ""
        if replication["role"] == "master":
            return name
        if replication["master_link_status"] != "up":
            return ""
        return self._name_at(int(replication["master_port"]))

    def _node(self, name: str, state: State, master: str) -> RedisNode:
        role: Role = "sentinel" if name in SENTINELS else "master" if name == master else "replica"
        follows = master if role == "replica" else ""
        return RedisNode(name, role, f"{HOST}:{self._ports[name]}", state, (), follows)
