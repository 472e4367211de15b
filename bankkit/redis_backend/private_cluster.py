"""A private Redis Cluster: three masters, each with a replica."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS

from bankkit.redis_backend.binary import OLDEST_FOR_A_CLUSTER, RedisUnavailable
from bankkit.redis_backend.connection import connect
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

CONFIGURATION = "cluster.conf"
"""Name of the file in which a node stores its identity and its view of the other nodes."""

MASTERS = 3
REPLICAS = 3
NODE_TIMEOUT_MS = 1000
"""Milliseconds without an answer after which the other masters may agree that a node has failed. A
replica then waits for 0.5 s to 1 s before it asks them for votes."""


class PrivateCluster(PrivateNodes):
    """A Cluster whose `node 1` to `node 3` begin as masters, `node 4` to `node 6` as replicas."""

    replicas = REPLICAS // MASTERS
    oldest = OLDEST_FOR_A_CLUSTER

    def __init__(self) -> None:
        names = [f"node {number}" for number in range(1, MASTERS + REPLICAS + 1)]
        super().__init__(f"Cluster, {MASTERS} masters and {REPLICAS} replicas", names)

    @property
    def nodes(self) -> tuple[RedisNode, ...]:
        """The nodes as the running node with the latest configuration sees them."""
        states = self._states()
        views = [
            view for name in states if states[name] == "running" and (view := self._view(name))
        ]
        if not views:
            raise RedisUnavailable("No node is running, so the roles are unknown: restart one.")
        # A node that was paused or restarted may not know yet what happened.
        return self._nodes(max(views, key=_epoch), states)

    def is_healthy(self) -> bool:
        """Whether all running nodes agree, and running masters serve all slots."""
        states = self._states()
        running = [name for name in states if states[name] == "running"]
        views = [self._view(name) for name in running]
        if not views or any(view != views[0] for view in views) or len(views[0]) < len(states):
            return False
        nodes = self._nodes(views[0], states)
        masters = [node for node in nodes if node.slots]
        return (
            sum(last - first + 1 for master in masters for first, last in master.slots) == SLOTS
            and all(master.alive for master in masters)
            and all(node.role == "replica" for node in nodes if node.alive and not node.slots)
            and all(self._is_up_to_date(name) for name in running)
        )

    def _kept_files(self, name: str) -> Sequence[str]:
        return DATA_FILES

    def _write_files(self, name: str) -> None:
        super()._write_files(name)
        self._clients[name].execute_command("CLUSTER", "SAVECONFIG")

    def _prepare_empty(self, name: str) -> None:
        self.kill(name)  # a paused node would continue with its old view
        try:
            self._until(lambda: not self.node(name).slots, FAILOVER_SECONDS)
        except RedisUnavailable:
            raise self._cannot_come_back(name) from None
        self._processes[name].files[CONFIGURATION] = self._configuration(name)

    def _configuration(self, name: str) -> str:
        """The configuration file of a node that has ended, from the view of a master.

        Redis writes this file in the form of CLUSTER NODES. The node becomes a replica of the
        master with the fewest replicas.
        """
        nodes = self.nodes
        replicas = Counter(node.master for node in nodes if node.alive)
        masters = [node.name for node in nodes if node.alive and node.slots]
        master = min(masters, key=lambda each: replicas[each])
        with connect(self._url_of(master), socket_timeout=START_SECONDS) as client:
            identity = client.execute_command("CLUSTER", "MYID")
            epoch = client.execute_command("CLUSTER INFO")["cluster_current_epoch"]
            known: str = client.execute_command("CLUSTER", "NODES")
        lines = []
        for line in known.splitlines():
            words = line.split(" ")
            words[2] = words[2].removeprefix("myself,")
            if _port(words[1].partition("@")[0]) == self._ports[name]:
                words[2:4] = "myself,slave", identity
            lines.append(" ".join(words))
        return "\n".join([*lines, f"vars currentEpoch {epoch} lastVoteEpoch 0", ""])

    def _start(self) -> None:
        ports = free_ports(len(self._names))
        self._ports = dict(zip(self._names, ports, strict=True))
        places = ",".join(f"{HOST}:{port}" for port in ports)
        self.url = f"redis+cluster://:{self._password}@{places}"
        for name in self._names:
            self._add(
                name,
                self._data_settings() + "cluster-enabled yes\n"
                # We give the absolute path: a node ends if it cannot write that file, and its
                # working directory may be removed and made again.
                f'cluster-config-file "{{directory}}/{CONFIGURATION}"\n'
                f"cluster-node-timeout {NODE_TIMEOUT_MS}\n"
                "cluster-require-full-coverage no\n"  # accounts in other slots still work
                "cluster-replica-validity-factor 0\n"  # any replica is better than none
                "cluster-migration-barrier 100\n",  # replicas stay with their master
            )
        self._await_answers(self._names)
        self._form()
        self.wait_until_healthy(START_SECONDS)

    def _form(self) -> None:
        masters, replicas = self._names[:MASTERS], self._names[MASTERS:]
        bounds = [SLOTS * number // MASTERS for number in range(MASTERS + 1)]
        for number, name in enumerate(masters):
            slots = range(bounds[number], bounds[number + 1])
            self._clients[name].execute_command("CLUSTER", "ADDSLOTS", *slots)
        for number, name in enumerate(self._names, start=1):
            self._clients[name].execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
        first, *others = self._names
        for name in others:
            self._clients[first].execute_command("CLUSTER", "MEET", HOST, self._ports[name])
        ports = set(self._ports.values())
        self._until(
            lambda: all(self._view(name).keys() == ports for name in self._names), START_SECONDS
        )
        for replica, master in zip(replicas, masters, strict=True):
            identity = self._clients[master].execute_command("CLUSTER", "MYID")
            self._clients[replica].execute_command("CLUSTER", "REPLICATE", identity)

    def _nodes(self, view: _View, states: dict[str, State]) -> tuple[RedisNode, ...]:
        return tuple(
            RedisNode(
                name,
                seen.role,
                f"{HOST}:{self._ports[name]}",
                states[name],
                seen.slots,
                self._name_at(seen.master) if seen.master else "",
            )
            for name in self._names
            if (seen := view.get(self._ports[name], _UNKNOWN_NODE))
        )

    def _view(self, name: str) -> _View:
        """The Cluster as this node sees it; empty if the node does not answer."""
        try:
            lines = self._clients[name].execute_command("CLUSTER NODES")
        except (redis.ConnectionError, redis.TimeoutError):
            return {}
        ports = {line["node_id"]: _port(address) for address, line in lines.items()}
        return {
            _port(address): _NodeView(
                "replica" if "slave" in line["flags"] else "master",
                tuple((int(part[0]), int(part[-1])) for part in line["slots"]),
                ports.get(line["master_id"], 0),
                int(line["epoch"]),
            )
            for address, line in lines.items()
            if not {"handshake", "noaddr"} & set(line["flags"].split(","))
        }

    def _is_up_to_date(self, name: str) -> bool:
        """Whether a node takes commands, suspects no master of failure, and is up to date.

        A replica is up to date when it has all data of its master.
        """
        client = self._clients[name]
        try:
            info = client.execute_command("CLUSTER INFO")
            # `cluster_state` is not enough: it is `ok` while a master counts as failed, and for
            # some time after its return, because the slots of the others are served.
            if info["cluster_state"] != "ok" or int(info["cluster_slots_ok"]) < SLOTS:
                return False
            replication: dict[str, object] = client.info("replication")
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return replication["role"] == "master" or replication["master_link_status"] == "up"


class _NodeView(NamedTuple):
    """A node as another node sees it."""

    role: Role
    slots: tuple[tuple[int, int], ...]
    master: int
    """Port of its master, or 0."""
    epoch: int
    """Configuration epoch of its latest change of slots; the greatest epoch is valid."""


_View = dict[int, _NodeView]
_UNKNOWN_NODE = _NodeView("replica", (), 0, 0)
"""The view of a node that the others do not know yet."""


def _epoch(view: _View) -> int:
    return max(seen.epoch for seen in view.values())


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
