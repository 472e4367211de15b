"""A master with two replicas of this process alone, and three Sentinels that watch over them."""

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
"""What the Sentinels call the master, whichever node it is."""

DATA = ("node 1", "node 2", "node 3")
SENTINELS = ("sentinel 1", "sentinel 2", "sentinel 3")
QUORUM = 2
"""Sentinels that must find the master silent before one of them replaces it."""

DOWN_MS = 1000
"""Silence after which a Sentinel finds a node to be down."""

FAILOVER_MS = 1500
"""How long a failover may take; after twice as long it is tried again, as after a split vote."""


class PrivateSentinel(PrivateNodes):
    """`node 1` begins as the master, `node 2` and `node 3` as its replicas."""

    replicas = len(DATA) - 1

    def __init__(self) -> None:
        super().__init__("with two replicas and three Sentinels", DATA + SENTINELS)

    @property
    def nodes(self) -> tuple[RedisNode, ...]:
        states = self._states()
        master = self._master()
        return tuple(self._node(name, states[name], master) for name in self._names)

    def is_healthy(self) -> bool:
        states = self._states()
        watching = [name for name in SENTINELS if states[name] == "running"]
        named = {self._named_by(name) for name in watching}
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
        """As in any node's life: one that comes back follows whoever is master by then."""
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
        # They would find each other in a few seconds, but it is quicker to tell them.
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
        """By the Sentinel that knows of the latest failover."""
        known = [
            (found["config-epoch"], name) for name in SENTINELS if (found := self._watched(name))
        ]
        if not known:
            raise RedisUnavailable("No Sentinel runs that could tell of the others.")
        return self._named_by(max(known)[1])

    def _named_by(self, sentinel: str) -> str:
        """Whom a Sentinel takes for the master; empty if it does not answer."""
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
        """Whether it could carry a failover through: it takes all that run for running."""
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
        """Whose data a node has: its own if it is a master, else that of whom it follows.

        Empty while it has not all of it, and if it does not answer.
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
