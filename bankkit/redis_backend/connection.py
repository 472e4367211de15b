"""The way to Redis: every command is sent once, and what goes wrong has one name.

Measured on redis-py 8.1: its client retries a timed-out command ten times by default, so one
stalled `HINCRBY +1` was stored as 2. Its Cluster client does the same. Retries are off here; only
what a node of a Cluster has refused with a redirection, and so not done, is sent to another one.
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
"""How long Redis may take for one command before it counts as away."""

CONNECTIONS = 64
"""How many commands a link has on their way to one server at once; more wait for their turn."""

BLOCKED_CONNECTIONS = 256
"""How many of its threads wait at one server for something to be put on a list."""

TURN_SECONDS = ANSWER_SECONDS
"""How long a command waits for its turn."""

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

_NO_TURN = (
    f"More threads use the account store than may at once, and there was no turn within "
    f"{TURN_SECONDS:g} s. Nothing was applied; try again."
)

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
    "ACL failure in script",  # what NOPERM is called there, by Valkey and by Redis from 7.2 on
    "The user executing the script",  # and by older ones
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
    """A client for any URL of `bankkit.redis_backend.url` that sends every command once.

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


def renew_map(client: redis.Redis) -> None:
    """Has a client of a Cluster ask who has which slots now; a failover may have changed that.

    For looking around with it: a `Link` finds out by itself. Raises one of `ERRORS`.
    """
    if isinstance(client, redis.RedisCluster):
        client.nodes_manager.initialize(disconnect_startup_nodes_pools=False)


class Usable(Protocol):
    """Says whether something may be used; `bankkit.rpc.channels.Gate` is one."""

    closed: str

    def check(self) -> None: ...


def put_behind(gate: Usable, found: redis.Redis) -> None:
    """Has the client, and all that shares its pools, raise what `gate` does."""
    client: Any = found
    execute = client.execute_command

    def guarded(*command: Any, **options: Any) -> Any:
        gate.check()
        try:
            return execute(*command, **options)
        except ERRORS:
            gate.check()  # it was closed under our hands
            raise

    client.execute_command = guarded
    if isinstance(client, redis.RedisCluster):
        for name in ("pipeline", "pubsub", "monitor"):  # which have ways of their own to the nodes
            setattr(client, name, _after(gate.check, getattr(client, name)))
        return
    pool = client.connection_pool
    pool.get_connection = _after(gate.check, pool.get_connection)  # for all that is not a command


def _after(check: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*arguments: Any, **options: Any) -> Any:
        check()
        return function(*arguments, **options)

    return checked


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


class Link(Unique):
    """Sends commands over connections of its own, each by one thread at a time.

    They are kept open between commands, and the next command takes the one that was used last: so
    there are no more of them than commands that were ever on their way at once, and none belongs
    to a thread that might end. redis-py's own client does the same, but at three times the cost
    of the command itself. On a Cluster a command goes to the node that has its key: the first one
    of a script, else its first argument.

    To one server `connections` commands may be on their way, and beside them `blocked` BLPOPs,
    which so keep no other command from its turn. One more waits; after `TURN_SECONDS` it has not
    been sent, and raises `StoreUnavailable`, or gives a BLPOP's answer to a time that is up. The
    connections of `client` itself do not count, and are not used.

    A command is text in all its parts: hiredis 3.5 crashes the process if a signal arrives while it
    makes text of a number.

    Safe for any number of threads. Raises `StoreUnavailable` when Redis is away or too slow; then
    it is unknown whether a change was made. What Redis says against the command itself is raised
    as redis-py does. Raises RuntimeError after `close`, and in a child of a fork.

    With `wait_replicas` a change sent by `confirmed` is acknowledged only when so many replicas
    have it, else it raises `StoreUnavailable`: an outcome as unknown as any other, for the change
    may have reached them later. Redis does not undo it.
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
        """Closes its connections; each command from now on raises RuntimeError with `sentence`.

        A command that is on its way loses its connection, and raises the same. Safe to call again,
        and does nothing in a child of a fork.
        """
        if self._birthplace.is_here and not self._closed:
            self._closed = sentence
            self._route.close()

    def execute_command(self, *command: str) -> Any:
        return self._ask(command)[0]

    def confirmed(self, *command: str) -> Any:
        """For a change, and for a repetition of one: returns when enough replicas have it.

        The command must write something. `WAIT` speaks of what its own connection has written
        before, and replicas take up changes in their order.
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
            if self._closed:  # it closed the connection under our hands
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
        """The answers, errors of Redis among them, to commands sent at once to one server."""

    def close(self) -> None:
        """Closes all connections, used or not."""


class _Direct:
    """To the one server, or to the master that Sentinels name."""

    def __init__(self, pool: Any, connections: int, blocked: int) -> None:
        self._lines = _Lines(pool, connections, blocked)
        self.send = self._lines.send
        self.close = self._lines.close


class _ByKey:
    """To the node of a Cluster that has the key, by redis-py's map of the slots."""

    def __init__(self, cluster: redis.RedisCluster, connections: int, blocked: int) -> None:
        self._cluster = cluster
        self._map = cluster.nodes_manager
        self._limits = connections, blocked
        # By the pool of a node; those of a node that has left the Cluster go with it.
        self._lines: weakref.WeakKeyDictionary[Any, _Lines] = weakref.WeakKeyDictionary()
        self._adding = threading.Lock()
        self._refreshing = threading.Lock()
        self._refreshed = time.monotonic()

    def close(self) -> None:
        with self._adding:
            found = list(self._lines.values())
        for lines in found:
            lines.close()

    def send(self, commands: _Commands) -> list[Any]:
        node = self._node(commands[0])
        asking: _Commands = ()
        for _ in range(MOST_REDIRECTIONS):
            try:
                answers = self._lines_to(node).send(asking + commands)[len(asking) :]
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
        """To a node that took a slot over; `AskError` says for this one command only."""
        place = (refusal.host or node.host, refusal.port)
        if isinstance(refusal, MovedError) or self._map.get_node(*place) is None:
            self._refresh(told_of=place)
        found = self._map.get_node(*place)
        if found is None:
            raise ClusterError("Sent to a node that nobody knows yet.")
        return found

    def _lines_to(self, node: ClusterNode) -> _Lines:
        pool = self._cluster.get_redis_connection(node).connection_pool
        lines = self._lines.get(pool)
        if lines is None:
            with self._adding:
                lines = self._lines.setdefault(pool, _Lines(pool, *self._limits))
        return lines

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


class _PooledConnection:
    """One connection to a server, in one pair of hands. None is made before it is used.

    If it gets lost (an Interrupt may fall between any two steps) it returns by itself.
    """

    __slots__ = ("clean", "connection", "free")

    def __init__(self, free: weakref.ref[_Free], connection: Any = None) -> None:
        self.free = free
        self.connection = connection
        self.clean = True
        """Every answer was read."""

    def __del__(self) -> None:
        free = self.free()
        if free is not None:
            connection = self.connection if self.clean else None
            free.give(_PooledConnection(self.free, connection))
        elif self.connection is not None:
            self.connection.disconnect()


class _Free:
    """The lines that nobody uses: a stack, so that as few as possible are ever opened.

    Made of parts whose every step is whole, instead of a mutex: an Interrupt would leave that
    locked, and `_PooledConnection.__del__` may run inside of any step.
    """

    def __init__(self, number: int) -> None:
        me = weakref.ref(self)
        self._stack = deque(_PooledConnection(me) for _ in range(number))
        self._waiting: deque[SimpleQueue[_PooledConnection]] = deque()

    def take(self, seconds: float) -> _PooledConnection | None:
        """The one that was used last; None if there is none for so long."""
        try:
            return self._stack.pop()
        except IndexError:
            return self._wait(seconds)

    def give(self, line: _PooledConnection) -> None:
        """To the one who has waited longest."""
        while True:
            if self._waiting:
                with suppress(IndexError):
                    self._waiting.popleft().put(line)
                    return
            self._stack.append(line)
            if not self._waiting:
                return
            try:
                line = self._stack.pop()  # somebody has come meanwhile, and may have looked before
            except IndexError:
                return

    def _wait(self, seconds: float) -> _PooledConnection | None:
        handed: SimpleQueue[_PooledConnection] = SimpleQueue()
        self._waiting.append(handed)
        try:
            with suppress(IndexError):  # one that was given before anybody knew of us
                return self._stack.pop()
            with suppress(Empty):
                return handed.get(timeout=seconds)
            return None
        finally:  # a line that is handed over too late goes with the queue, and so returns
            with suppress(ValueError):
                self._waiting.remove(handed)


class _Lines:
    """The connections to one server."""

    def __init__(self, pool: Any, connections: int, blocked: int) -> None:
        self._pool = pool  # which knows how to make one; it keeps none of them
        self._free = _Free(connections)
        self._free_to_block = _Free(blocked)
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def close(self) -> None:
        while True:
            with suppress(RuntimeError):  # another thread has just opened one
                for connection in list(self._open):
                    connection.disconnect()
                return

    def send(self, commands: _Commands) -> list[Any]:
        if commands[0][0] == "BLPOP":
            return self._block(*commands[0])
        line = None
        try:
            line = self._free.take(TURN_SECONDS)
            if line is None:
                raise StoreUnavailable(_NO_TURN)
            return self._send(line, commands)
        finally:
            if line is not None:
                self._free.give(line)

    def _block(self, *command: str) -> list[Any]:
        """The wait for a turn is a part of the wait that was asked for; 0 asks for any time."""
        seconds = float(command[-1])
        come = time.monotonic()
        line = None
        try:
            line = self._free_to_block.take(min(seconds or TURN_SECONDS, TURN_SECONDS))
            if line is None:
                return [None]  # as Redis says when nothing came
            if seconds:
                seconds = max(seconds - (time.monotonic() - come), 0.001)
            return self._send(line, ((*command[:-1], str(seconds)),))
        finally:
            if line is not None:
                self._free_to_block.give(line)

    def _send(self, line: _PooledConnection, commands: _Commands) -> list[Any]:
        connection = line.connection
        if connection is None:
            connection = line.connection = self._make()
        if connection.is_connected and not (line.clean and _is_usable(connection, self._pool)):
            connection.disconnect()
        if not connection.is_connected:
            connection.connect()  # where it connects by itself, it does not ask the Sentinels
        line.clean = False
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
        line.clean = True
        if isinstance(answers[0], redis.exceptions.ReadOnlyError):
            connection.disconnect()  # the name may lead to a new master by now
        return answers

    def _make(self) -> Any:
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        self._open.add(connection)
        return connection


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
