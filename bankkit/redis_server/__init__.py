"""Finds or starts the Redis that a bank runs on, and surely stops it.

`open_redis` gives the user's own Redis (`BANKKIT_REDIS_URL`) or a private one, which lives no
longer than this process however that ends: `redis_watchdog.py` sees to it. In a Redis of the
user's own `sweep_at_death` does the same for the keys of one bank.
"""

from __future__ import annotations

import os

from bankkit.redis_server.binary import (
    VARIABLE,
    RedisBinary,
    RedisNotFound,
    RedisUnavailable,
    find_binary,
)
from bankkit.redis_server.janitor import Janitor, sweep_at_death
from bankkit.redis_server.private import PrivateRedis, usable_directory
from bankkit.redis_server.user import UserRedis, client_of

__all__ = [
    "APPENDFSYNC",
    "PRIVATE",
    "VARIABLE",
    "Janitor",
    "PrivateRedis",
    "RedisBinary",
    "RedisNotFound",
    "RedisUnavailable",
    "UserRedis",
    "choose",
    "find_binary",
    "open_redis",
    "sweep_at_death",
]

APPENDFSYNC = ("everysec", "always")
"""When a private Redis with a data directory forces its writes to the disk."""

PRIVATE = "private"
"""Asked for in place of a URL: a private Redis, whatever the environment says."""


def open_redis(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> UserRedis | PrivateRedis:
    """The Redis at `url`, else the one at `BANKKIT_REDIS_URL`, else a private one.

    The word `private` in place of a URL asks for a private one, whatever the environment says.
    A private one forgets everything when closed, unless `data_dir` names a directory for its
    append-only file; then `appendfsync` is `everysec` (a crash of the machine costs up to a second
    of writes) or `always` (each write is on the disk before it is answered).

    Raises `ValueError` for bad arguments and `RedisUnavailable` if there is no Redis to be had.
    """
    own = choose(url, data_dir=data_dir, appendfsync=appendfsync)
    if own is None:
        return PrivateRedis(data_dir=data_dir, appendfsync=appendfsync)
    return UserRedis(*own)


def choose(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> tuple[str, str] | None:
    """What `open_redis` would open: a user's URL and where it stands, or None for a private one.

    Opens nothing. Raises `ValueError` for bad arguments.
    """
    if appendfsync not in APPENDFSYNC:
        raise ValueError(f"appendfsync must be one of {', '.join(APPENDFSYNC)}: {appendfsync!r}.")
    source = "the URL given"
    if url is None and os.environ.get(VARIABLE):
        url, source = os.environ[VARIABLE], VARIABLE
    if url is None or url == PRIVATE:
        if data_dir is not None:
            usable_directory(data_dir)
        return None
    client_of(url, source).close()
    if data_dir is not None:
        raise ValueError(f"data_dir is for a private Redis, but {source} names one of your own.")
    return url, source
