"""Finds the Redis that a bank runs on, or starts one and makes sure that it stops.

`open_redis` opens the user's own Redis (`BANKKIT_REDIS_URL`) or starts a private one. A private one
stops when this process ends, however it ends: `bankkit.supervisor` stops it. In the user's own
Redis, `sweep_at_death` deletes the keys of one bank when this process ends.
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
"""Policies for when a private Redis with a data directory forces its writes to the disk."""

PRIVATE = "private"
"""The word that asks for a private Redis in place of a URL; it overrides the environment."""

SETUPS: dict[str | None, type[PrivateCluster] | type[PrivateSentinel]] = {
    "private-cluster": PrivateCluster,
    "private-sentinel": PrivateSentinel,
}
"""The words that ask for several private servers in the same way."""

Engine = UserRedis | PrivateRedis | PrivateCluster | PrivateSentinel
"""The Redis of a bank: one server or several."""


def open_redis(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
    namespace: str | None = None,
) -> Engine:
    """Open the Redis at `url`, else the one at `BANKKIT_REDIS_URL`, else start a private one.

    The word `private` in place of a URL asks for a private one, whatever the environment says;
    `private-cluster` and `private-sentinel` ask for several private servers. A private Redis loses
    its data when it is closed, unless `data_dir` names a directory for its append-only file. Then
    `appendfsync` is `everysec` (a crash of the machine loses up to a second of writes) or `always`
    (each write is on the disk before it is answered). `namespace` is the namespace of the bank's
    keys, by default a fresh one. On the user's own Redis, the function checks that the user may
    write there.

    Raises `ValueError` for bad arguments and `RedisUnavailable` if no Redis is available.
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
    """What `open_redis` would open: the user's URL and its source, or None for a private Redis.

    Opens nothing. Raises `ValueError` for bad arguments.
    """
    if appendfsync not in APPENDFSYNC:
        raise ValueError(
            f"appendfsync must be one of {', '.join(APPENDFSYNC)}, not {appendfsync!r}."
        )
    source = "the URL given"
    if url is None and os.environ.get(VARIABLE):
        url, source = os.environ[VARIABLE], VARIABLE
    if url in SETUPS:
        if data_dir is not None:
            raise ValueError(f"data_dir is for a single private Redis, not for {url}: omit it.")
        return None
    if url is None or url == PRIVATE:
        if data_dir is not None:
            usable_directory(data_dir)
        return None
    parse(url, source)
    if data_dir is not None:
        raise ValueError(
            f"data_dir is for a private Redis, but {source} names your own: omit one of them."
        )
    return url, source


@contextmanager
def own_namespace(
    url: str | None = None,
    namespace: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> Iterator[tuple[Engine, str]]:
    """Open a Redis like `open_redis`, with a namespace in it, until the block ends.

    In a private Redis the namespace is `bank`. In the user's own Redis it is a fresh one, which is
    swept when the block or this process ends. A namespace that the caller names is never swept.
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
