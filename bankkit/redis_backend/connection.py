"""Connections to Redis: every command is sent once, and every failure raises the same error.

Measured on redis-py 8.1: its client retries a timed-out command ten times by default, so one
stalled `HINCRBY +1` was stored as 2. Its Cluster client does the same. Retries are off here. Only a
command that a Cluster node has refused with a redirection, and so not executed, is sent to another
node.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterError, MovedError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from bankkit.accounts import StoreUnavailable
from bankkit.redis_backend import url as redis_url
from bankkit.runtime.forks import Birthplace
from bankkit.runtime.pickling import Unique

ANSWER_SECONDS = 2.0
"""Timeout of one command in seconds; after it Redis counts as unavailable."""

CONNECTIONS = 64
"""Maximum of simultaneous commands of a link to one server; further commands wait."""

BLOCKED_CONNECTIONS = 256
"""Maximum of simultaneous BLPOPs of a link to one server."""

TURN_SECONDS = ANSWER_SECONDS
"""Seconds that a command waits for a free connection."""

CONFIRM_SECONDS = 1.0
"""Seconds that replicas may take to confirm a change."""

SENTINEL_SECONDS = 0.5
"""Timeout of one Sentinel in seconds; then the next one is asked."""

MOST_REDIRECTIONS = 5
"""Maximum of MOVED and ASK redirections per command."""

REFRESH_SECONDS = 0.1
"""Minimum number of seconds between two refreshes of a Cluster's slot map."""

ONCE = Retry(NoBackoff(), 0)
"""A retry policy for redis-py without any retry."""

ERRORS = (redis.RedisError, RedisClusterException, OSError)
"""The errors that a client of `connect` may raise; redis-py has no common base class for them."""

_NO_TURN = (
    f"Too many threads use the account store at once: no connection was free within "
    f"{TURN_SECONDS:g} s. Nothing was applied; try again."
)

# Errors that mean that Redis is unavailable. All other errors are bugs in our commands.
_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    ClusterError,
    RedisClusterException,
)
_AWAY_PREFIXES = (
    "ACL failure in script",  # NOPERM in a script of Valkey, or of Redis from 7.2 on
    "The user executing the script",  # NOPERM in a script of an older Redis
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "UNBLOCKED",  # the master of a blocked command has become a replica
    "WRONGPASS",
)


def connect(url: str, **options: Any) -> redis.Redis:
    """A client for any URL of `bankkit.redis_backend.url`. It sends every command once.

    `options` are options of redis-py. Answers have text as `str`. A client of a single server
    connects at its first command. A Cluster client connects at once, and raises one of `ERRORS` if
    it cannot. It is not a `redis.Redis` by type, but has the same commands.
    """
    settings: dict[str, Any] = {
        "protocol": 2,  # half the cost of 3 in redis-py 8.1, and we need nothing of 3
        "decode_responses": True,
        "driver_info": None,  # no CLIENT SETINFO: an ACL may forbid it and would log that
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
    }
    parsed = redis_url.parse(url)
    if parsed.kind == "single":
        return redis.Redis.from_url(url, **(settings | {"retry": ONCE} | options))
    settings |= parsed.options | options
    if parsed.kind == "cluster":
        cluster = redis.RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in parsed.places],
            require_full_coverage=False,  # if some slots are lost, the other accounts still work
            retry=ONCE,
            **settings,
        )
        return cast(redis.Redis, cluster)
    waits = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
    sentinels = _Sentinels(
        parsed.places,
        sentinel_kwargs={"protocol": 2, "driver_info": None, "retry": ONCE}
        | waits
        | parsed.sentinel_options,
    )
    master = sentinels.master_for(  # type: ignore[no-untyped-call]
        parsed.service, connection_pool_class=_SentinelPool, retry=ONCE, **settings
    )
    return cast(redis.Redis, master)


def renew_map(client: redis.Redis) -> None:
    """Make a Cluster client fetch the slot map again, which a failover may have changed.

    Use it before you inspect a Cluster with the client. A `Link` refreshes its map without it.
    Raises one of `ERRORS`.
    """
    if isinstance(client, redis.RedisCluster):
        client.nodes_manager.initialize(disconnect_startup_nodes_pools=False)


class Usable(Protocol):
    """An object that knows whether something may be used, as `bankkit.rpc.channels.Gate`."""

    closed: str

    def check(self) -> None:
        """Raises RuntimeError if the object may not be used."""


def put_behind(gate: Usable, found: redis.Redis) -> None:
    """Make the client, and everything that shares its pools, check the gate before each use."""
    client: Any = found
    execute = client.execute_command

    def guarded(*command: Any, **options: Any) -> Any:
        gate.check()
        try:
            return execute(*command, **options)
        except ERRORS:
            gate.check()  # the gate may have been closed during the command
            raise

    client.execute_command = guarded
    if isinstance(client, redis.RedisCluster):
        for name in ("pipeline", "pubsub", "monitor"):  # they do not use `execute_command`
            setattr(client, name, _after(gate.check, getattr(client, name)))
        return
    pool = client.connection_pool
    pool.get_connection = _after(gate.check, pool.get_connection)  # for pipelines and the like


def _after(check: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*arguments: Any, **options: Any) -> Any:
        check()
        return function(*arguments, **options)

    return checked


def check_replicas(client: redis.Redis, wanted: int) -> None:
    """Raises ValueError if a master has fewer replicas: it could not acknowledge any write."""
    if not wanted:
        return
    if isinstance(client, redis.RedisCluster):
        masters = client.info("replication", target_nodes=client.PRIMARIES)
        found = min(int(master["connected_slaves"]) for master in masters.values())
    else:
        found = int(client.info("replication")["connected_slaves"])
    if found < wanted:
        raise ValueError(
            f"wait_replicas is {wanted}, but a master of that Redis has {found} at the moment: no "
            f"write would be acknowledged."
        )


class _Sentinels(Sentinel):
    """Sentinels that one thread at a time asks.

    redis-py moves the Sentinel that answered to the front of its list, without a lock. If two
    threads do this together, one Sentinel can overwrite another one in the list.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._asking = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        with self._asking:
            found = super().discover_master(service_name)  # type: ignore[no-untyped-call]
            return cast("tuple[str, int]", found)


class _SentinelPool(SentinelConnectionPool):
    """A pool whose `close` also closes the connections to the Sentinels."""

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


class Link(Unique):
    """Sends commands over its own connections, each used by one thread at a time.

    Connections stay open between commands, and the next command takes the one that was used last.
    So there are never more connections than there were simultaneous commands, and no connection
    belongs to a thread that may end. redis-py's own client does the same, but adds three times the
    cost of the command itself. On a Cluster, a command goes to the node that has its key: the first
    key of a script, else the first argument.

    A link sends at most `connections` commands to one server at the same time, and separately at
    most `blocked` BLPOPs, so that BLPOPs do not delay other commands. A further command waits. If
    no connection is free after `TURN_SECONDS`, the command was not sent: it raises
    `StoreUnavailable`, but a BLPOP returns None, as after its own timeout. The link does not use
    the connections of `client`, and they do not count.

    Every part of a command must be text: hiredis 3.5 crashes the process if a signal arrives while
    it converts a number to text.

    Thread-safe. Raises `StoreUnavailable` if Redis is unavailable or too slow; then it is unknown
    whether a change was made. An error of Redis about the command itself is raised as redis-py
    raises it. Raises RuntimeError after `close`, and in a forked child.

    With `wait_replicas`, a change sent with `confirmed` is acknowledged only when that many
    replicas have it. Otherwise it raises `StoreUnavailable`, and the outcome is unknown: Redis does
    not undo the change, and the replicas may get it later.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        wait_replicas: int = 0,
        connections: int = CONNECTIONS,
        blocked: int = BLOCKED_CONNECTIONS,
    ) -> None:
        self.wait_replicas = wait_replicas
        self._birthplace = Birthplace()
        self._closed = ""
        self._route: _Route = (
            _ByKey(client, connections, blocked)
            if isinstance(client, redis.RedisCluster)
            else _Direct(client.connection_pool, connections, blocked)
        )

    def close(self, sentence: str = "This link to Redis is closed.") -> None:
        """Close the connections. Each further command raises RuntimeError with `sentence`.

        A command in progress loses its connection and raises the same error. Safe to call again;
        does nothing in a forked child.
        """
        if self._birthplace.is_here and not self._closed:
            self._closed = sentence
            self._route.close()

    def execute_command(self, *command: str) -> Any:
        """Send a command once and return its answer."""
        return self._ask(command)[0]

    def confirmed(self, *command: str) -> Any:
        """Send a change, or repeat one, and return when enough replicas have it.

        The command must write something: `WAIT` counts replicas that have the previous writes of
        its own connection, and replicas apply all writes in order.
        """
        if not self.wait_replicas:
            return self._ask(command)[0]
        wait = ("WAIT", str(self.wait_replicas), str(round(CONFIRM_SECONDS * 1000)))
        answer, replicas = self._ask(command, wait)
        if replicas < self.wait_replicas:
            raise StoreUnavailable
        return answer

    def _ask(self, *commands: tuple[str, ...]) -> list[Any]:
        self._birthplace.check("link to Redis")
        if self._closed:
            raise RuntimeError(self._closed)
        try:
            answers = self._route.send(commands)
        except Exception as error:
            if self._closed:  # `close` ended the connection during the command
                raise RuntimeError(self._closed) from None
            if isinstance(error, _AWAY):
                raise StoreUnavailable from error
            raise
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                if isinstance(answer, _AWAY) or str(answer).startswith(_AWAY_PREFIXES):
                    raise StoreUnavailable from answer
                raise answer
        return answers


_Commands = tuple[tuple[str, ...], ...]


class _Route(Protocol):
    def send(self, commands: _Commands) -> list[Any]:
        """Send commands to one server in one batch. Returns the answers and errors of Redis."""

    def close(self) -> None:
        """Close all connections, including those in use."""


class _Direct:
    """The route to a single server, or to the master that Sentinels name."""

    def __init__(self, pool: Any, connections: int, blocked: int) -> None:
        self._connections = _Connections(pool, connections, blocked)
        self.send = self._connections.send
        self.close = self._connections.close


class _ByKey:
    """The route to the Cluster node that has the key, by redis-py's slot map."""

    def __init__(self, cluster: redis.RedisCluster, connections: int, blocked: int) -> None:
        self._cluster = cluster
        self._map = cluster.nodes_manager
        self._limits = connections, blocked
        # The key is redis-py's pool of a node. When a node leaves the Cluster, its pool and its
        # entry disappear.
        self._connections: weakref.WeakKeyDictionary[Any, _Connections] = (
            weakref.WeakKeyDictionary()
        )
        self._adding = threading.Lock()
        self._refreshing = threading.Lock()
        self._refreshed = time.monotonic()

    def close(self) -> None:
        with self._adding:
            found = list(self._connections.values())
        for connections in found:
            connections.close()

    def send(self, commands: _Commands) -> list[Any]:
        node = self._node(commands[0])
        asking: _Commands = ()
        for _ in range(MOST_REDIRECTIONS):
            try:
                answers = self._connections_to(node).send(asking + commands)[len(asking) :]
            except (redis.ConnectionError, redis.TimeoutError):
                self._refresh(failed=node.name)
                raise
            refusal = answers[0]
            if isinstance(refusal, AskError):
                asking = () if isinstance(refusal, MovedError) else (("ASKING",),)
                node = self._redirected(refusal, node)
                continue
            if isinstance(refusal, (ClusterError, redis.exceptions.ReadOnlyError)):
                self._refresh()
            return answers
        raise ClusterError(f"No node took the command after {MOST_REDIRECTIONS} redirections.")

    def _node(self, command: tuple[str, ...]) -> ClusterNode:
        is_script = command[0] in ("EVAL", "EVALSHA")
        key = command[3 if is_script else 1] if len(command) > 1 else ""
        slot = key_slot(str(key).encode())
        try:
            return self._map.get_node_from_slot(slot)
        except redis.exceptions.SlotNotCoveredError:
            self._refresh()
            return self._map.get_node_from_slot(slot)

    def _redirected(self, refusal: AskError, node: ClusterNode) -> ClusterNode:
        """The node that a redirection names. An ASK is valid only for this command."""
        place = (refusal.host or node.host, refusal.port)
        if isinstance(refusal, MovedError) or self._map.get_node(*place) is None:
            self._refresh(told_of=place)
        found = self._map.get_node(*place)
        if found is None:
            raise ClusterError("A redirection named an unknown node.")
        return found

    def _connections_to(self, node: ClusterNode) -> _Connections:
        pool = self._cluster.get_redis_connection(node).connection_pool
        connections = self._connections.get(pool)
        if connections is None:
            with self._adding:
                connections = self._connections.setdefault(pool, _Connections(pool, *self._limits))
        return connections

    def _refresh(self, failed: str | None = None, told_of: tuple[str, int] | None = None) -> None:
        """Fetch the slot map again, unless another thread is doing so.

        If no node can send it, the map stays as it was; the next failure calls this again.
        """
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            if time.monotonic() >= self._refreshed + REFRESH_SECONDS:
                self._map.initialize(
                    additional_startup_nodes_info=[told_of] if told_of else [],
                    disconnect_startup_nodes_pools=False,
                    last_failed_node_name=failed,  # redis-py asks this node last
                )
                self._refreshed = time.monotonic()
        except ERRORS:
            self._refreshed = time.monotonic()
        finally:
            self._refreshing.release()


class _PooledConnection:
    """One connection to a server, used by one thread at a time and opened at its first use.

    If an Interrupt comes between two steps and its user drops it, `__del__` returns it to the pool.
    """

    __slots__ = ("clean", "connection", "free")

    def __init__(self, free: weakref.ref[_FreeConnections], connection: Any = None) -> None:
        self.free = free
        self.connection = connection
        self.clean = True
        """Whether all answers were read."""

    def __del__(self) -> None:
        free = self.free()
        if free is not None:
            connection = self.connection if self.clean else None
            free.give(_PooledConnection(self.free, connection))
        elif self.connection is not None:
            self.connection.disconnect()


class _FreeConnections:
    """The unused connections: a stack, so that as few as possible are ever opened.

    It uses atomic operations and no mutex: an Interrupt could leave a mutex locked, and
    `_PooledConnection.__del__` may run inside any step.
    """

    def __init__(self, number: int) -> None:
        me = weakref.ref(self)
        self._stack = deque(_PooledConnection(me) for _ in range(number))
        self._waiting: deque[SimpleQueue[_PooledConnection]] = deque()

    def take(self, seconds: float) -> _PooledConnection | None:
        """The connection that was used last; None if none becomes free within `seconds`."""
        try:
            return self._stack.pop()
        except IndexError:
            return self._wait(seconds)

    def give(self, pooled: _PooledConnection) -> None:
        """Give a connection to the thread that has waited longest, or put it on the stack."""
        while True:
            if self._waiting:
                with suppress(IndexError):
                    self._waiting.popleft().put(pooled)
                    return
            self._stack.append(pooled)
            if not self._waiting:
                return
            try:
                # A thread began to wait in the meantime. It may have found the stack still empty.
                pooled = self._stack.pop()
            except IndexError:
                return

    def _wait(self, seconds: float) -> _PooledConnection | None:
        handed: SimpleQueue[_PooledConnection] = SimpleQueue()
        self._waiting.append(handed)
        try:
            with suppress(IndexError):  # one may have been returned before we were in `_waiting`
                return self._stack.pop()
            with suppress(Empty):
                return handed.get(timeout=seconds)
            return None
        finally:
            # A connection that is handed over too late is deleted with the queue, and its
            # `__del__` returns it.
            with suppress(ValueError):
                self._waiting.remove(handed)


class _Connections:
    """The connections to one server."""

    def __init__(self, pool: Any, connections: int, blocked: int) -> None:
        self._pool = pool  # redis-py's pool: it makes connections for us, but holds none of them
        self._free = _FreeConnections(connections)
        self._free_to_block = _FreeConnections(blocked)
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def close(self) -> None:
        while True:
            with suppress(RuntimeError):  # another thread opened one during the iteration
                for connection in list(self._open):
                    connection.disconnect()
                return

    def send(self, commands: _Commands) -> list[Any]:
        if commands[0][0] == "BLPOP":
            return self._block(*commands[0])
        pooled = None
        try:
            pooled = self._free.take(TURN_SECONDS)
            if pooled is None:
                raise StoreUnavailable(_NO_TURN)
            return self._send(pooled, commands)
        finally:
            if pooled is not None:
                self._free.give(pooled)

    def _block(self, *command: str) -> list[Any]:
        """Send a BLPOP. Its timeout includes the wait for a connection; 0 has no limit."""
        seconds = float(command[-1])
        began = time.monotonic()
        pooled = None
        try:
            pooled = self._free_to_block.take(min(seconds or TURN_SECONDS, TURN_SECONDS))
            if pooled is None:
                return [None]  # the answer of Redis after a timeout
            if seconds:
                seconds = max(seconds - (time.monotonic() - began), 0.001)
            return self._send(pooled, ((*command[:-1], str(seconds)),))
        finally:
            if pooled is not None:
                self._free_to_block.give(pooled)

    def _send(self, pooled: _PooledConnection, commands: _Commands) -> list[Any]:
        connection = pooled.connection
        if connection is None:
            connection = pooled.connection = self._make()
        if connection.is_connected and not (pooled.clean and _is_usable(connection, self._pool)):
            connection.disconnect()
        if not connection.is_connected:
            connection.connect()  # an implicit connect of redis-py would not ask the Sentinels
        pooled.clean = False
        try:
            if len(commands) == 1:
                connection.send_command(*commands[0], check_health=False)
            else:
                packed = connection.pack_commands(commands)
                connection.send_packed_command(packed, check_health=False)
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except redis.ResponseError as error:
                    answers.append(error)
        except BaseException:
            connection.disconnect()  # otherwise the next command would read this answer
            raise
        pooled.clean = True
        if isinstance(answers[0], redis.exceptions.ReadOnlyError):
            connection.disconnect()  # it is a replica; its host name may now name a new master
        return answers

    def _make(self) -> Any:
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        self._open.add(connection)
        return connection


def _is_usable(connection: Any, pool: Any) -> bool:
    """Whether the connection is open, has no unread answer, and goes to the present master.

    Another thread may have learnt from the Sentinels that there is a new master. The old one might
    still accept changes, and they would be lost.
    """
    master = getattr(pool, "master_address", None)
    if master is not None and master != (connection.host, connection.port):
        return False
    try:
        return not connection.can_read(0)
    except (redis.ConnectionError, OSError):
        return False
