"""A real Redis under the explorer: each command is a step, and nothing in it really blocks."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from bankkit.explorer import primitives
from bankkit.explorer.scheduler import Task
from bankkit.explorer.stand_in import PointProxy, Threading
from bankkit.locks import Fence, redis_scripts
from bankkit.locks.lua import Redis, Script

T = TypeVar("T")

# KEYS: lock · ARGV: token
# Does to the lock what time would do: a holder is over, and what nobody is left in is gone.
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
    for name, script in vars(redis_scripts).items()
    if isinstance(script, Script)
}
_expire = Script(_EXPIRE)


class RedisPoints:
    """What a scenario gives to `RedisLocks` in place of its Redis client, to be explored.

        redis = RedisPoints(client, threading)
        locks = RedisLocks(redis, renew=False, lease=3600, threading=threading)

    Every command goes to the real Redis, in a step of its own. A `BLPOP` that finds nothing waits
    on the scheduler instead of the socket, until a later step has pushed something. No lease runs
    out by itself, if it is long enough for the real time that the exploring takes; that one does is
    a choice of the explorer's, made where the scenario calls `may_expire`.
    """

    key: int
    now: float

    def __init__(self, redis: Redis, threading: Threading) -> None:
        self._redis = redis
        self._threading = threading
        self._scheduler = threading._scheduler
        self._blocked: dict[str, Task] = {}
        """Wake list → who waits there."""
        self._popped: dict[str, Any] = {}
        """Wake list → what was pushed there, for whoever waited."""
        self._over: set[str] = set()
        """How the wake lists of a lock begin whose holder is over, and nobody has asked since."""
        self._scheduler.register(self)
        self.name_in_code = "redis"

    def execute_command(self, *command: Any) -> Any:
        name, script = str(command[0]), None
        if name == "EVALSHA" and command[1] in _SCRIPTS:
            name, script = _SCRIPTS[command[1]]
        self._scheduler.point(primitives.CALL, self, name)
        if name == "BLPOP":
            return self._pop(str(command[1]))
        if script is None:
            answer = self._redis.execute_command(*command)
        else:  # one step, whether Redis knows the script yet or not
            answer = script(self._redis, *command[3:])
            self._over.discard(redis_scripts.wake_list(str(command[3]), ""))
        self._wake()
        return answer

    def points(self, thing: T, *methods: str) -> T:
        """As `threading.points`, for what reads and writes the same Redis as the lock does.

        So the explorer knows that the order of its calls and of the lock's commands matters.
        """
        return cast(T, PointProxy(self._scheduler, thing, frozenset(methods), target=self))

    def may_expire(self, fence: Fence) -> bool:
        """Leaves it to the explorer whether the lease of this hold runs out now, for Redis.

        If it does, those who wait for the lock ask again, as they do when a lease is over.
        """
        if not self._threading.choose(2, "the lease expires"):
            return False
        self._scheduler.point(primitives.CALL, self, "expire")
        _expire(self._redis, fence.key, str(fence.token))
        self._over.add(redis_scripts.wake_list(fence.key, ""))
        for wake_list, waiter in list(self._blocked.items()):
            if self._is_over(wake_list):
                del self._blocked[wake_list]
                self._scheduler.let_go(waiter)
        return True

    def _pop(self, wake_list: str) -> Any:
        value = self._redis.execute_command("LPOP", wake_list)
        if value is None and not self._is_over(wake_list):
            self._blocked[wake_list] = self._scheduler.current
            self._scheduler.pause(primitives.PAUSE, self)
            value = self._popped.pop(wake_list, None)
        return None if value is None else [wake_list, value]

    def _is_over(self, wake_list: str) -> bool:
        """A wait that would have ended by now, to ask again."""
        return any(wake_list.startswith(beginning) for beginning in self._over)

    def _wake(self) -> None:
        for wake_list, waiter in list(self._blocked.items()):
            value = self._redis.execute_command("LPOP", wake_list)
            if value is not None:
                del self._blocked[wake_list]
                self._popped[wake_list] = value
                self._scheduler.let_go(waiter)
