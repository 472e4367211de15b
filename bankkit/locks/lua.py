"""How a Lua script is sent to Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.exceptions import NoScriptError


class Redis(Protocol):
    """What the lock needs of a client: `redis.Redis` has it, and `redis.RedisCluster`.

    It should send a command once: after a release that was sent twice, the second answer says that
    the lease was lost.
    """

    def execute_command(self, *command: Any) -> Any:
        """The answer, text as str or as bytes. Must be safe for many threads."""


class Script:
    """Runs a Lua script by its digest, and teaches it to a Redis that does not know it.

    redis-py's own class needs a client of redis-py, and the command SCRIPT LOAD, which an ACL may
    forbid to a user who may run EVAL.
    """

    __slots__ = ("_source", "digest")

    def __init__(self, source: str) -> None:
        self._source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, redis: Redis, key: str, *arguments: str) -> Any:
        return self.run(redis.execute_command, (key,), *arguments)

    def run(self, send: Callable[..., Any], keys: Sequence[str], *arguments: str | int) -> Any:
        """By `send`, which takes a command and returns the answer."""
        # All text: hiredis 3.5 crashes the process if a signal comes while it packs a number.
        rest = [str(len(keys)), *keys, *map(str, arguments)]
        try:
            return send("EVALSHA", self.digest, *rest)
        except NoScriptError:  # a Redis that has restarted, or never saw it
            return send("EVAL", self._source, *rest)
