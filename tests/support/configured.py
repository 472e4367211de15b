"""A Redis with special settings, as a user may have one."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis as redis_py

from bankkit.redis_backend.connection import connect
from tests.support.processes import redis_server


@contextmanager
def server(settings: str) -> Iterator[redis_py.Redis]:
    """A client of a Redis with these settings, on a port of 127.0.0.1."""
    with redis_server(settings) as port, connect(f"redis://127.0.0.1:{port}") as client:
        yield client


def address(client: redis_py.Redis) -> str:
    """`HOST:PORT` of the client's Redis."""
    return f"127.0.0.1:{client.connection_pool.connection_kwargs['port']}"
