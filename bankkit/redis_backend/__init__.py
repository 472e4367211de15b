"""Finds or starts the Redis that a bank runs on, and surely stops it.

`open_redis` gives the user's own Redis (`BANKKIT_REDIS_URL`) or a private one, which lives no
longer than this process however that ends: `bankkit.supervisor` sees to it. In a Redis of the
user's own `sweep_at_death` does the same for the keys of one bank.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bankkit.redis_backend.binary import (
    VARIABLE,
    RedisBinary,
    RedisNotFound,
    RedisUnavailable,
    find_binary,
)
from bankkit.redis_backend.janitor import Janitor, sweep_at_death
from bankkit.redis_backend.namespaces import fresh_namespace
from bankkit.redis_backend.private import PrivateRedis, usable_directory
from bankkit.redis_backend.private_cluster import PrivateCluster
from bankkit.redis_backend.private_nodes import PrivateNodes, RedisNode
from bankkit.redis_backend.private_sentinel import PrivateSentinel
from bankkit.redis_backend.user import UserRedis, parse

__all__ = [
    "APPENDFSYNC",
    "PRIVATE",
    "SETUPS",
    "VARIABLE",
    "Engine",
    "Janitor",
    "PrivateCluster",
    "PrivateNodes",
    "PrivateRedis",
    "PrivateSentinel",
    "RedisBinary",
    "RedisNode",
    "RedisNotFound",
    "RedisUnavailable",
    "UserRedis",
    "choose",
    "find_binary",
    "open_redis",
    "own_namespace",
    "sweep_at_death",
]

APPENDFSYNC = ("everysec", "always")
"""When a private Redis with a data directory forces its writes to the disk."""

PRIVATE = "private"
"""Asked for in place of a URL: a private Redis, whatever the environment says."""

SETUPS: dict[str | None, type[PrivateCluster] | type[PrivateSentinel]] = {
    "private-cluster": PrivateCluster,
    "private-sentinel": PrivateSentinel,
}
"""Asked for in the same way: several private servers."""

Engine = UserRedis | PrivateRedis | PrivateCluster | PrivateSentinel
"""The Redis of a bank, whatever it consists of."""


def open_redis(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
    namespace: str | None = None,
) -> Engine:
    """The Redis at `url`, else the one at `BANKKIT_REDIS_URL`, else a private one.

    The word `private` in place of a URL asks for a private one, whatever the environment says;
    `private-cluster` and `private-sentinel` ask for a private set-up of several servers. A private
    one forgets everything when closed, unless `data_dir` names a directory for its
    append-only file; then `appendfsync` is `everysec` (a crash of the machine costs up to a second
    of writes) or `always` (each write is on the disk before it is answered). `namespace` is where
    a bank will keep its keys, by default a fresh one: a user's Redis is asked whether it may.

    Raises `ValueError` for bad arguments and `RedisUnavailable` if there is no Redis to be had.
    """
    own = choose(url, data_dir=data_dir, appendfsync=appendfsync)
    if own is None and url in SETUPS:
        return SETUPS[url]()
    if own is None:
        return PrivateRedis(data_dir=data_dir, appendfsync=appendfsync)
    return UserRedis(*own, namespace=namespace or fresh_namespace())


def choose(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> tuple[str, str] | None:
    """What `open_redis` would open: a user's URL and where it stands, or None for what is private.

    Opens nothing. Raises `ValueError` for bad arguments.
    """
    if appendfsync not in APPENDFSYNC:
        raise ValueError(f"appendfsync must be one of {', '.join(APPENDFSYNC)}: {appendfsync!r}.")
    source = "the URL given"
    if url is None and os.environ.get(VARIABLE):
        url, source = os.environ[VARIABLE], VARIABLE
    if url in SETUPS:
        if data_dir is not None:
            raise ValueError(f"data_dir is for a single private Redis, not for {url}.")
        return None
    if url is None or url == PRIVATE:
        if data_dir is not None:
            usable_directory(data_dir)
        return None
    parse(url, source)
    if data_dir is not None:
        raise ValueError(f"data_dir is for a private Redis, but {source} names one of your own.")
    return url, source


@contextmanager
def own_namespace(
    url: str | None = None,
    namespace: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> Iterator[tuple[Engine, str]]:
    """What `open_redis` opens, and a namespace in it, until the block ends.

    A private Redis has room for one, `bank`, which ends with it. On a Redis of the user's own it is
    a fresh one, swept when the block ends or this process dies; one that is named is never swept.
    """
    with ExitStack() as stack:
        fresh = fresh_namespace()
        engine = open_redis(
            url, data_dir=data_dir, appendfsync=appendfsync, namespace=namespace or fresh
        )
        stack.callback(engine.close)
        if namespace is None and engine.private:
            namespace = "bank"
        elif namespace is None:
            namespace = fresh
            stack.callback(sweep_at_death(engine.url, namespace).close)
        yield engine, namespace
