"""The way to Redis: every command is sent once, and what goes wrong has one name.

Measured on redis-py 8.1: its client retries a timed-out command ten times by default, so one
stalled `HINCRBY +1` was stored as 2. Retries are off here.
"""

from __future__ import annotations

import threading
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bankkit.accounts import StoreUnavailable

ANSWER_SECONDS = 2.0
"""How long Redis may take for one command before it counts as away."""

# An answer to a command, or word that there is none: everything else is our own mistake.
_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterError,
    redis.exceptions.TryAgainError,
)
_AWAY_PREFIXES = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "NOAUTH", "NOPERM", "WRONGPASS")


def connect(url: str, **options: Any) -> redis.Redis:
    """A client for `redis://`, `rediss://` or `unix://` that sends every command once.

    `options` go to redis-py. Text comes back as `str`.
    """
    settings = {
        "protocol": 2,  # half the cost of 3 in redis-py 8.1, and nothing here needs 3
        "decode_responses": True,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    return redis.Redis.from_url(url, **(settings | options))


class Link:
    """Sends commands over a connection of the thread's own, which is kept for good.

    The client takes one from its pool for every command and gives it back, which costs three
    times what the command itself does.

    Safe for any number of threads. Raises `StoreUnavailable` when Redis is away or too slow; then
    it is unknown whether a change was made. What Redis says against the command itself is raised
    as redis-py does.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._line = _Line()

    def execute_command(self, *command: str | int) -> Any:
        try:
            return self._line.send(self._pool, *command)
        except _AWAY as error:
            raise StoreUnavailable from error
        except redis.ResponseError as error:
            if str(error).startswith(_AWAY_PREFIXES):
                raise StoreUnavailable from error
            raise


class _Line(threading.local):
    """The thread's connection."""

    connection: Any = None

    def send(self, pool: redis.ConnectionPool, *command: str | int) -> Any:
        connection = self.connection
        if connection is None:
            connection = self.connection = pool.get_connection()
        elif connection.is_connected and not _is_quiet(connection):
            connection.disconnect()  # Redis has hung up since; connects again by itself
        try:
            connection.send_command(*command, check_health=False)
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # or the next command would read the answer to this one
            raise


def _is_quiet(connection: Any) -> bool:
    """Whether the connection is open and holds no stray answer."""
    try:
        return not connection.can_read(0)
    except (redis.ConnectionError, OSError):
        return False
