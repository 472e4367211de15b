"""A real Redis under the explorer: each command is a step, and no command really blocks."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from bankkit.explorer.engine.scheduler import Task
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.stand_ins.stand_in import PointProxy, Threading
from bankkit.locks import Fence, redis_handover
from bankkit.locks.lua import Redis, Script

T = TypeVar("T")

# KEYS: lock · ARGV: token
# Does what an expired lease does: it marks the holder as expired, and it deletes the lock if no
# other client holds it or waits for it.
_EXPIRE = """
local stored = redis.call('GET', KEYS[1])
local lock = stored and cjson.decode(stored) or {holders = {}, queue = {}}
local others = lock.queue[1]
for _, holder in ipairs(lock.holders) do
  if holder.token == ARGV[1] then holder.expires = 0 else others = true end
end
if others then
  redis.call('SET', KEYS[1], cjson.encode(lock), 'KEEPTTL')
else
  redis.call('DEL', KEYS[1])
end
"""

_SCRIPTS = {
    script.digest: (name, script)
    for name, script in vars(redis_handover).items()
    if isinstance(script, Script)
}
_expire = Script(_EXPIRE)


class RedisPoints:
    """The Redis client that a scenario gives to `RedisLocks`, so that the explorer controls it.

        redis = RedisPoints(client, threading)
        locks = RedisLocks(redis, renew=False, lease=3600, threading=threading)

    Every command goes to the real Redis and is one step. A `BLPOP` that finds nothing waits in the
    scheduler instead of on the socket, until a later step has pushed something. Use a lease that is
    longer than the whole search, so that it does not expire in real time: where the scenario calls
    `may_expire`, the explorer chooses whether it expires.
    """

    explorer_key: int
    explorer_now: float

    def __init__(self, redis: Redis, threading: Threading) -> None:
        self._redis = redis
        threading.trust(self)  # it stands for Redis, and its calls are steps
        self._threading = threading
        self._scheduler = threading._scheduler
        self._blocked: dict[str, Task] = {}
        """Wake list → the task that waits for it."""
        self._popped: dict[str, Any] = {}
        """Wake list → the value that was pushed there, for the task that waited."""
        self._expired: set[str] = set()
        """Wake-list prefixes of the locks whose holder has expired since their last script."""
        self._scheduler.register(self)
        self.explorer_name = "redis"

    def execute_command(self, *command: Any) -> Any:
        """Record a step, send the command to Redis, and return the answer."""
        name, script = str(command[0]), None
        if name == "EVALSHA" and command[1] in _SCRIPTS:
            name, script = _SCRIPTS[command[1]]
        self._scheduler.point(primitives.CALL, self, name)
        if name == "BLPOP":
            return self._pop(str(command[1]))
        if script is None:
            answer = self._redis.execute_command(*command)
        else:  # one step, even if Redis does not know the script yet
            answer = script(self._redis, *command[3:])
            self._expired.discard(redis_handover.wake_list(str(command[3]), ""))
        self._wake()
        return answer

    def points(self, thing: T, *methods: str) -> T:
        """Like `threading.points`, for an object that uses the same Redis as the lock.

        With it, the explorer knows that the object's calls and the lock's commands may conflict.
        """
        return cast(T, PointProxy(self._scheduler, thing, frozenset(methods), target=self))

    def may_expire(self, fence: Fence) -> bool:
        """Let the explorer choose whether this lease expires now; return whether it did.

        If it expires, the waiters ask for the lock again, as they do after the end of a real lease.
        """
        if not self._threading.choose(2, "the lease expires"):
            return False
        self._scheduler.point(primitives.CALL, self, "expire")
        _expire(self._redis, fence.key, str(fence.token))
        self._expired.add(redis_handover.wake_list(fence.key, ""))
        for wake_list, waiter in list(self._blocked.items()):
            if self._has_expired(wake_list):
                del self._blocked[wake_list]
                self._scheduler.let_go(waiter)
        return True

    def _pop(self, wake_list: str) -> Any:
        value = self._redis.execute_command("LPOP", wake_list)
        if value is None and not self._has_expired(wake_list):
            self._blocked[wake_list] = self._scheduler.current
            self._scheduler.pause(primitives.PAUSE, self)
            value = self._popped.pop(wake_list, None)
        return None if value is None else [wake_list, value]

    def _has_expired(self, wake_list: str) -> bool:
        """Whether a lease behind this list has expired, so that its waiter asks again."""
        return any(wake_list.startswith(beginning) for beginning in self._expired)

    def _wake(self) -> None:
        for wake_list, waiter in list(self._blocked.items()):
            value = self._redis.execute_command("LPOP", wake_list)
            if value is not None:
                del self._blocked[wake_list]
                self._popped[wake_list] = value
                self._scheduler.let_go(waiter)
