"""How a Lua script is sent to Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.exceptions import NoScriptError


class Redis(Protocol):
    """What the lock needs of a client. `redis.Redis` and `redis.RedisCluster` have it.

    It should send each command once: if it sends a release twice, the second answer says that the
    lease was lost.
    """

    def execute_command(self, *command: Any) -> Any:
        """Send a command and return the answer, with text as str or as bytes. Thread-safe."""


class Script:
    """Runs a Lua script by its digest; sends the source to a Redis that does not have it.

    redis-py's own class needs a client of redis-py, and the command SCRIPT LOAD, which an ACL may
    forbid to a user who may run EVAL.
    """

    __slots__ = ("_source", "digest")

    def __init__(self, source: str) -> None:
        self._source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, redis: Redis, key: str, *arguments: str) -> Any:
        """Run the script on one key and return its answer."""
        return self.run(redis.execute_command, (key,), *arguments)

    def run(self, send: Callable[..., Any], keys: Sequence[str], *arguments: str | int) -> Any:
        """Run the script with `send`, a function that takes a command and returns the answer."""
        # We send only text: hiredis 3.5 crashes the process if a signal comes while it packs a
        # number.
        rest = [str(len(keys)), *keys, *map(str, arguments)]
        try:
            return send("EVALSHA", self.digest, *rest)
        except NoScriptError:  # this Redis has restarted, or never had the script
            return send("EVAL", self._source, *rest)
