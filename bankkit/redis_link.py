"""The way to Redis: every command is sent once, and what goes wrong has one name.

Measured on redis-py 8.1: its client retries a timed-out command ten times by default, so one
stalled `HINCRBY +1` was stored as 2. Its Cluster client does the same. Retries are off here; only
what a node of a Cluster has refused with a redirection, and so not done, is sent to another one.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterError, MovedError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from bankkit import redis_url
from bankkit.accounts import StoreUnavailable
from bankkit.numbers import check_whole

ANSWER_SECONDS = 2.0
"""How long Redis may take for one command before it counts as away."""

CONFIRM_SECONDS = 1.0
"""How long replicas may take to have a change that is to be confirmed."""

SENTINEL_SECONDS = 0.5
"""How long one Sentinel may take; the next one knows as well."""

MOST_REDIRECTIONS = 5
"""Of one command, from node to node of a Cluster."""

REFRESH_SECONDS = 0.1
"""How long a map of a Cluster is trusted at least."""

ONCE = Retry(NoBackoff(), 0)
"""For redis-py: a command is sent, and that is all."""

ERRORS = (redis.RedisError, RedisClusterException, OSError)
"""What a client of `connect` may raise; redis-py has no one base class for it."""

# An answer to a command, or word that there is none: everything else is our own mistake.
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
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "UNBLOCKED",  # a wait on a master that has become a replica
    "WRONGPASS",
)


def connect(url: str, **options: Any) -> redis.Redis:
    """A client for any URL of `bankkit.redis_url` that sends every command once.

    `options` go to redis-py. Text comes back as `str`. A client of one server has not connected
    yet. That of a Cluster has, and raises one of `ERRORS` if it could not; it is no `redis.Redis`
    by type, but has the same commands.
    """
    settings: dict[str, Any] = {
        "protocol": 2,  # half the cost of 3 in redis-py 8.1, and nothing here needs 3
        "decode_responses": True,
        "driver_info": None,  # no CLIENT SETINFO, which an ACL may forbid and then logs
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
            require_full_coverage=False,  # where slots are lost, the other accounts go on
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


def check_wait_replicas(number: object) -> None:
    """Raises ValueError that says what is allowed."""
    check_whole("wait_replicas", number, 0, 100)


def check_replicas(client: redis.Redis, wanted: int) -> None:
    """Raises ValueError if a master has fewer replicas: then it would acknowledge no write."""
    if not wanted:
        return
    if isinstance(client, redis.RedisCluster):
        masters = client.info("replication", target_nodes=client.PRIMARIES)
        found = min(int(master["connected_slaves"]) for master in masters.values())
    else:
        found = int(client.info("replication")["connected_slaves"])
    if found < wanted:
        raise ValueError(
            f"wait_replicas is {wanted}, but that Redis has {found} for a master at this moment: "
            f"no write would be acknowledged."
        )


class _Sentinels(Sentinel):
    """Asked by one thread at a time.

    redis-py moves the one that answered to the front of its list, without a lock: two threads that
    do so together can put one Sentinel in the place of another, which is then forgotten.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._asking = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        with self._asking:
            found = super().discover_master(service_name)  # type: ignore[no-untyped-call]
            return cast("tuple[str, int]", found)


class _SentinelPool(SentinelConnectionPool):
    """Closes the connections to the Sentinels, too."""

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


class Link:
    """Sends commands over connections of the thread's own, one a server, which are kept for good.

    The client takes one from its pool for every command and gives it back, which costs three
    times what the command itself does. On a Cluster a command goes to the node that has its key:
    the first one of a script, else its first argument.

    Safe for any number of threads. Raises `StoreUnavailable` when Redis is away or too slow; then
    it is unknown whether a change was made. What Redis says against the command itself is raised
    as redis-py does.

    With `wait_replicas` a change sent by `confirmed` is acknowledged only when so many replicas
    have it, else it raises `StoreUnavailable`: an outcome as unknown as any other, for the change
    may have reached them later. Redis does not undo it.
    """

    def __init__(self, client: redis.Redis, *, wait_replicas: int = 0) -> None:
        self.wait_replicas = wait_replicas
        self._route: _Route = (
            _ByKey(client)
            if isinstance(client, redis.RedisCluster)
            else _Direct(client.connection_pool)
        )

    def execute_command(self, *command: str | int | float) -> Any:
        return self._ask(command)[0]

    def confirmed(self, *command: str | int | float) -> Any:
        """For a change, and for a repetition of one: returns when enough replicas have it.

        The command must write something. `WAIT` speaks of what its own connection has written
        before, and replicas take up changes in their order.
        """
        if not self.wait_replicas:
            return self._ask(command)[0]
        wait = ("WAIT", self.wait_replicas, round(CONFIRM_SECONDS * 1000))
        answer, replicas = self._ask(command, wait)
        if replicas < self.wait_replicas:
            raise StoreUnavailable
        return answer

    def _ask(self, *commands: tuple[str | int | float, ...]) -> list[Any]:
        try:
            answers = self._route.send(commands)
        except _AWAY as error:
            raise StoreUnavailable from error
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                if isinstance(answer, _AWAY) or str(answer).startswith(_AWAY_PREFIXES):
                    raise StoreUnavailable from answer
                raise answer
        return answers


_Commands = tuple[tuple[str | int | float, ...], ...]


class _Route(Protocol):
    def send(self, commands: _Commands) -> list[Any]:
        """The answers, errors of Redis among them, to commands sent at once to one server."""


class _Direct:
    """To the one server, or to the master that Sentinels name."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._lines = _Lines()

    def send(self, commands: _Commands) -> list[Any]:
        return self._lines.send(self._pool, commands)


class _ByKey:
    """To the node of a Cluster that has the key, by redis-py's map of the slots."""

    def __init__(self, cluster: redis.RedisCluster) -> None:
        self._cluster = cluster
        self._map = cluster.nodes_manager
        self._lines = _Lines()
        self._refreshing = threading.Lock()
        self._refreshed = time.monotonic()

    def send(self, commands: _Commands) -> list[Any]:
        node = self._node(commands[0])
        asking: _Commands = ()
        for _ in range(MOST_REDIRECTIONS):
            try:
                answers = self._lines.send(self._pool(node), asking + commands)[len(asking) :]
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
        raise ClusterError("Sent from node to node, and none of them took it.")

    def _node(self, command: tuple[str | int | float, ...]) -> ClusterNode:
        is_script = command[0] in ("EVAL", "EVALSHA")
        key = command[3 if is_script else 1] if len(command) > 1 else ""
        slot = key_slot(str(key).encode())
        try:
            return self._map.get_node_from_slot(slot)
        except redis.exceptions.SlotNotCoveredError:
            self._refresh()
            return self._map.get_node_from_slot(slot)

    def _redirected(self, refusal: AskError, node: ClusterNode) -> ClusterNode:
        """To a node that took a slot over; `AskError` says for this one command only."""
        place = (refusal.host or node.host, refusal.port)
        if isinstance(refusal, MovedError) or self._map.get_node(*place) is None:
            self._refresh(told_of=place)
        found = self._map.get_node(*place)
        if found is None:
            raise ClusterError("Sent to a node that nobody knows yet.")
        return found

    def _pool(self, node: ClusterNode) -> Any:
        return self._cluster.get_redis_connection(node).connection_pool

    def _refresh(self, failed: str | None = None, told_of: tuple[str, int] | None = None) -> None:
        """Asks the nodes for the map again, unless another thread is about it.

        The map stays as it was if none of them knows; the next failure leads here again.
        """
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            if time.monotonic() >= self._refreshed + REFRESH_SECONDS:
                self._map.initialize(
                    additional_startup_nodes_info=[told_of] if told_of else [],
                    disconnect_startup_nodes_pools=False,
                    last_failed_node_name=failed,  # which is asked last
                )
                self._refreshed = time.monotonic()
        except ERRORS:
            self._refreshed = time.monotonic()
        finally:
            self._refreshing.release()


class _Lines(threading.local):
    """The thread's connections, by the pool that each came from."""

    def __init__(self) -> None:
        self._connections: dict[Any, Any] = {}

    def send(self, pool: Any, commands: _Commands) -> list[Any]:
        connection = self._connections.get(pool)
        if connection is None:
            connection = self._connections[pool] = pool.get_connection()
        else:
            if connection.is_connected and not _is_usable(connection, pool):
                connection.disconnect()
            if not connection.is_connected:
                connection.connect()  # where it connects by itself, it does not ask the Sentinels
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
            connection.disconnect()  # or the next command would read the answer to this one
            raise
        if isinstance(answers[0], redis.exceptions.ReadOnlyError):
            connection.disconnect()  # the name may lead to a new master by now
        return answers


def _is_usable(connection: Any, pool: Any) -> bool:
    """Whether the connection is open, holds no stray answer, and leads to whom it should.

    One to a master that is none any more, as another thread has found out from the Sentinels, might
    still take changes, and they would be lost.
    """
    master = getattr(pool, "master_address", None)
    if master is not None and master != (connection.host, connection.port):
        return False
    try:
        return not connection.can_read(0)
    except (redis.ConnectionError, OSError):
        return False
