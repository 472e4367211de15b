"""A Redis with settings of its own, as a user may have one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import redis as redis_py

from bankkit.redis_backend import find_binary
from bankkit.redis_backend.connection import connect
from bankkit.redis_backend.private_nodes import free_ports
from tests.support.processes import accepts
from tests.support.waiting import eventually


@contextmanager
def server(settings: str) -> Iterator[redis_py.Redis]:
    """A client of a Redis with these settings, on a port of 127.0.0.1."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [find_binary().path, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd="/",
    )
    try:
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(f"bind 127.0.0.1\nport {port}\nsave ''\n{settings}\n")
        eventually(lambda: accepts(f"127.0.0.1:{port}"))
        with connect(f"redis://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.kill()
        process.wait()


def address(client: redis_py.Redis) -> str:
    return f"127.0.0.1:{client.connection_pool.connection_kwargs['port']}"
