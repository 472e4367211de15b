"""Concurrency bugs that were reported publicly: the last release with one, and the first without.

The scenario of a pair is in the file of its name in `scenarios`. It has a function `scenario`, and
the `SETTINGS` of its search. It imports the library, so that it must run where this is installed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A bug in a library, with two releases of it."""

    name: str
    old: str
    """What pip installs to have the bug."""
    new: str
    """What pip installs to have its fix."""
    report: str
    """The address of the report, or of the fix that describes it."""
    fault: str
    """A regular expression. The explorer's bug must match it, in its text or in its traceback."""
    needs: tuple[str, ...] = ()
    """What else pip installs."""
    built: bool = False
    """Whether there are no wheels, so that pip has to build it."""


PSYCOPG = ("psycopg[binary]==3.2.9",)

PAIRS = (
    Pair(
        "psycopg_pool_open", "psycopg_pool==3.3.0", "psycopg_pool==3.3.1",
        "https://github.com/psycopg/psycopg/issues/1300",
        r"assert not self\._workers", PSYCOPG,
    ),
    Pair(
        "psycopg_pool_close", "psycopg_pool==3.2.1", "psycopg_pool==3.2.2",
        "https://github.com/psycopg/psycopg/pull/784",
        r"a connection is open, and the pool is closed", PSYCOPG,
    ),
    Pair(
        # The first release with the fix is 3.4.0. There, a thread waits in a loop without a pause.
        "redis_fork", "redis==3.3.11", "redis==4.5.5",
        "https://github.com/redis/redis-py/issues/1138",
        r"a connection of the parent process",
    ),
    Pair(
        "redis_count", "redis==3.3.11", "redis==3.4.0",
        "https://github.com/redis/redis-py/issues/906",
        r"2 connections, and 1 is allowed",
    ),
    Pair(
        "urllib3_pools", "urllib3==1.6", "urllib3==1.7",
        "https://github.com/urllib3/urllib3/pull/204",
        r"two pools for one host", built=True,
    ),
    Pair(
        "loguru_remove", "loguru==0.7.2", "loguru==0.7.3",
        "https://github.com/Delgan/loguru/issues/1183",
        r"dictionary changed size during iteration",
    ),
    Pair(
        "loguru_add", "loguru==0.2.3", "loguru==0.2.5",
        "https://github.com/Delgan/loguru/issues/22",
        r"dictionary changed size during iteration",
    ),
    Pair(
        "fasteners_reader", "fasteners==0.17.2", "fasteners==0.17.3",
        "https://github.com/harlowja/fasteners/issues/86",
        r"waits .* for a notification",
    ),
    Pair(
        "sqlalchemy_first", "SQLAlchemy==1.4.10", "SQLAlchemy==1.4.11",
        "https://github.com/sqlalchemy/sqlalchemy/issues/6337",
        r"used before the dialect is initialized", built=True,
    ),
    Pair(
        "httpcore_closed", "httpcore==0.14.2", "httpcore==0.14.3",
        "https://github.com/encode/httpcore/pull/437",
        r"list\.remove\(x\): x not in list",
    ),
    Pair(
        "websocket_client_close", "websocket-client==1.9.1", "websocket-client==1.9.2",
        "https://github.com/websocket-client/websocket-client/issues/1056",
        r"'NoneType' object has no attribute 'close_frame'",
    ),
    Pair(
        "websockets_recv", "websockets==13.0", "websockets==13.1",
        "https://github.com/python-websockets/websockets/issues/1449",
        r"connection isn't closed yet",
    ),
    Pair(
        "multimethod_call", "multimethod==1.9", "multimethod==1.9.1",
        "https://github.com/coady/multimethod/issues/73",
        r"dictionary changed size during iteration",
    ),
)  # fmt: skip
