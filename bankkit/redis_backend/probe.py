"""A check of the user's Redis: is it what its URL says, complete, and fit for a bank?

The check finds problems before the bank starts: a version that is too old, a replica, a Redis that
evicts keys, one that refuses writes, a user without the needed permissions. It makes two round
trips to each server: `PING`, and then everything else in one pipeline. First it asks the Cluster or
a Sentinel for the addresses of the servers.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, cast

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from bankkit.redis_backend.binary import OLDEST, at_least, is_older
from bankkit.redis_backend.connection import ERRORS, ONCE, connect
from bankkit.redis_backend.url import RedisUrl, address_of
from bankkit.runtime.pickling import Copied

ANSWER_SECONDS = 1.5
"""Seconds that a server may take for one answer."""

EVICTION_SECONDS = 0.5
"""Seconds that the masters of a Cluster may take to say whether they evict keys. The answer of a
slower one is ignored until the next check."""

_QUICK = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}


class UnfitRedis(Exception):
    """A Redis answers but is not usable; the text completes a sentence."""


class Unreached(Copied, Exception):
    """One of several servers answered with an error, or did not answer."""

    def __init__(self, address: str, error: Exception, *, sent_by: str = "") -> None:
        self.address = address
        self.error = error
        self.sent_by = sent_by
        """What named this server ("the Cluster", "the Sentinel"); empty if the URL did."""
        super().__init__(address, error, sent_by)


# Runs once, on one key, each command that the scripts of the store and of the lock use.
# KEYS: an unused key · Answer: each refused command and its error: command, error, command, …
_REHEARSAL = """
local refused = {}
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) ~= 'table' or not reply['err'] then return true end
  refused[#refused + 1] = command
  refused[#refused + 1] = reply['err']
end
try('TIME')
try('SET', KEYS[1], '0', 'PX', '1000')
try('GET', KEYS[1])
try('EXISTS', KEYS[1])
try('EXPIRE', KEYS[1], '1')
-- If the user may not expire or delete the key, we stop here. The key lives for a second at most.
if not try('PEXPIRE', KEYS[1], '1000') or not try('DEL', KEYS[1]) then return refused end
try('HSETNX', KEYS[1], 'balance', '0')
try('HSET', KEYS[1], 'balance', '0')
try('HGET', KEYS[1], 'balance')
try('HMGET', KEYS[1], 'balance')
try('HGETALL', KEYS[1])
try('HINCRBY', KEYS[1], 'balance', '1')
try('HDEL', KEYS[1], 'balance')
try('DEL', KEYS[1])
try('RPUSH', KEYS[1], '0')
try('DEL', KEYS[1])
return refused
"""

_UNKNOWN_REDIS = (
    "Redis (this user may not run INFO, so its version and its eviction policy are unknown)"
)

_NO_WRITES = {
    "OOM": "refuses writes, because its memory is full: give it more (CONFIG SET maxmemory), or "
    "delete keys that are not needed",
    "MISCONF": "refuses writes, because it could not save its data to the disk: read its log",
    "NOREPLICAS": "refuses writes, because it has fewer replicas than min-replicas-to-write "
    "requires: start them, or CONFIG SET min-replicas-to-write 0",
    "READONLY": "is a replica and takes no writes: use the URL of its master",
    "MASTERDOWN": "is a replica that has lost its master: use the URL of the master",
    "BUSY": "is busy with a script and does nothing else: wait until the script ends, or stop it "
    "with SCRIPT KILL",
}
"""The first word of an error of Redis → the end of a sentence that explains it."""

_CODES = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.MasterDownError: "MASTERDOWN",
}
"""redis-py drops the first word of some of these errors and has a class for each instead."""


def identify(url: str, parsed: RedisUrl, namespace: str) -> str:
    """Check that a bank in this namespace can use this Redis. Returns its kind and version.

    Raises `UnfitRedis`, `Unreached`, an error of redis-py, or TypeError for an unknown option.
    """
    if parsed.kind == "cluster":
        return _identify_cluster(parsed, namespace)
    if parsed.kind == "sentinel":
        return _identify_behind_sentinels(url, parsed, namespace)
    with closing(connect(url)) as client:
        facts = _look(client, namespace)
    if facts.mode == "cluster":
        raise UnfitRedis(f"it is a node of a Redis Cluster: use redis+cluster://{parsed.address}")
    if facts.mode == "sentinel":
        raise UnfitRedis(f"it is a Sentinel: use redis+sentinel://{parsed.address}/SERVICE")
    _check(facts, parsed, namespace)
    return facts.name


def evicts(client: redis.Redis, seconds: float = EVICTION_SECONDS) -> str | None:
    """The end of a sentence that begins with "Redis", if Redis may evict keys now; else None.

    A running bank needs this check, because the settings of its Redis may change. It takes one
    round trip to a single Redis or to the master behind Sentinels. It asks the masters of a Cluster
    at the same time, and ignores those that do not answer within `seconds`. It raises nothing: a
    Redis that does not answer counts as one that evicts nothing.
    """
    if not isinstance(client, redis.RedisCluster):
        return _ask_whether_it_evicts(client)
    found: list[str] = []

    def ask(master: redis.Redis) -> None:
        if sentence := _ask_whether_it_evicts(master):
            found.append(sentence)

    asking = []
    for node in client.get_primaries():
        master = client.get_redis_connection(node)
        asking.append(threading.Thread(target=ask, args=(master,), daemon=True))
        asking[-1].start()
    deadline = time.monotonic() + seconds
    for thread in asking:
        thread.join(max(0.0, deadline - time.monotonic()))
    return found[0] if found else None


def refusal(error: Exception) -> str | None:
    """The explanation of an error with which Redis refuses to write; None for other errors."""
    code = _CODES.get(type(error)) or str(error).partition(" ")[0]
    return _NO_WRITES.get(code)


class _ServerFacts(NamedTuple):
    """The answers of one server."""

    name: str
    """Its flavour and version, for messages."""
    too_old: bool
    mode: str
    """standalone, cluster or sentinel; empty if unknown."""
    replication: Mapping[str, Any]
    memory: Mapping[str, Any]
    rehearsal: tuple[Any, ...]
    """Answers or errors of `EVALSHA`, `EVAL`, `BLPOP`, and `EXISTS` on the leases of servers."""


def _look(
    client: redis.Redis, namespace: str, fits: Callable[[int], bool] = lambda slot: True
) -> _ServerFacts:
    """Ask one server. In a Cluster, `fits` says whether the server has a slot."""
    key = _key(namespace, fits)
    if client.ping() is not True:
        raise redis.InvalidResponse
    with client.pipeline(transaction=False) as ask:
        for section in ("server", "replication", "memory"):
            ask.info(section)
        # Not through `Script`, which tries EVAL only if EVALSHA is allowed.
        ask.execute_command("EVALSHA", "0" * 40, 1, key)  # no script has this digest
        ask.execute_command("EVAL", _REHEARSAL, 1, key)
        # Redis checks the permission before the bad timeout. A real wait would take 0.1 s.
        ask.execute_command("BLPOP", key, "never")
        ask.execute_command("EXISTS", f"{namespace}:servers")
        answers = ask.execute(raise_on_error=False)
    # If the user may not run INFO, its facts stay unknown.
    server, replication, memory = ({} if isinstance(a, Exception) else a for a in answers[:3])
    version = str(server.get("valkey_version") or server.get("redis_version") or "")
    flavour = "valkey" if "valkey_version" in server else "redis"
    return _ServerFacts(
        f"{flavour.capitalize()} {version}" if version else _UNKNOWN_REDIS,
        is_older(flavour, version),
        str(server.get("redis_mode") or server.get("server_mode") or ""),
        replication,
        memory,
        tuple(answers[3:]),
    )


def _check(facts: _ServerFacts, parsed: RedisUrl, namespace: str) -> None:
    """Raises `UnfitRedis` if a bank in this namespace cannot use the server."""
    if facts.too_old:
        raise UnfitRedis(f"it is {facts.name}: a bank needs {at_least(OLDEST)}")
    if facts.replication.get("role") == "slave":
        if parsed.kind != "single":
            raise UnfitRedis("it is a replica at the moment, so a failover is under way: try again")
        master = address_of(facts.replication["master_host"], facts.replication["master_port"])
        raise UnfitRedis(
            f"it is a replica and takes no writes: use the URL of its master, {master}"
        )
    if sentence := _eviction(facts.memory):
        raise UnfitRedis(f"it {sentence}")
    by_sha, by_text, blocking, leases = facts.rehearsal
    for answer in (by_text, by_sha):
        if isinstance(answer, redis.exceptions.ClusterError):
            if parsed.kind == "single":
                raise UnfitRedis(
                    f"it is a node of a Redis Cluster: use redis+cluster://{parsed.address}"
                )
            if not isinstance(answer, redis.exceptions.ClusterDownError):
                return  # slots are being moved to another node
        if isinstance(answer, redis.exceptions.NoScriptError):
            continue
        if isinstance(answer, Exception):
            if sentence := refusal(answer):
                raise UnfitRedis(f"it {sentence}")
            if not isinstance(answer, redis.exceptions.NoPermissionError):
                raise answer
            raise UnfitRedis(_forbidden(["EVAL", "EVALSHA"], str(answer), parsed, namespace))
    refused = [(by_text[at], by_text[at + 1].lstrip("-")) for at in range(0, len(by_text), 2)]
    for command, error in refused:
        if sentence := refusal(redis.ResponseError(error)):
            raise UnfitRedis(f"it {sentence}")
        if not _is_about_permission(error):
            raise UnfitRedis(f"a bank needs the command {command}, and Redis answers: {error}")
    if isinstance(blocking, redis.exceptions.NoPermissionError):
        refused.append(("BLPOP", str(blocking)))
    if isinstance(leases, redis.exceptions.NoPermissionError):
        refused.append(("EXISTS", str(leases)))
    if refused:
        commands = list(dict.fromkeys(command for command, _ in refused))
        raise UnfitRedis(_forbidden(commands, refused[0][1], parsed, namespace))


def _forbidden(commands: list[str], error: str, parsed: RedisUrl, namespace: str) -> str:
    """What a user may not do, and the ACL rules that permit it."""
    user = parsed.options.get("username") or "default"
    if "access" in error and "key" in error:
        keys = "bankkit-*" if namespace.startswith("bankkit-") else namespace
        return (
            f"the user {user} may not read and write keys of a bank there: "
            f"ACL SETUSER {user} ~{keys}:*"
        )
    rules = " ".join(f"+{command.lower()}" for command in commands)
    return (
        f"the user {user} may not run {', '.join(commands)} there, which a bank needs: "
        f"ACL SETUSER {user} {rules}"
    )


def _is_about_permission(error: str) -> bool:
    """Whether a script got this error because the user may not run a command.

    The texts of Redis 6.2, Redis 7.0, newer versions and Valkey differ.
    """
    return error.startswith("NOPERM") or "ACL failure" in error or "user executing" in error


def _eviction(memory: Mapping[str, Any]) -> str | None:
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    limit = int(memory.get("maxmemory", 0))
    if not limit or policy == "noeviction":
        return None
    return (
        f"evicts keys when its memory is full (maxmemory {limit}, maxmemory-policy {policy}), so "
        f"accounts may vanish and retries may be applied twice: "
        f"CONFIG SET maxmemory-policy noeviction"
    )


def _ask_whether_it_evicts(client: redis.Redis) -> str | None:
    try:
        return _eviction(client.info("memory"))
    except ERRORS:
        return None


def _key(namespace: str, fits: Callable[[int], bool]) -> str:
    """An unused key in the namespace, which an ACL may require, and in a slot that fits.

    No account can have this ID, and no two checks use the same one.
    """
    names = (f"-look-{secrets.token_hex(6)}" for _ in itertools.count())
    name = next(name for name in names if fits(key_slot(name.encode())))
    return f"{namespace}:{{{name}}}:account"


def _identify_cluster(parsed: RedisUrl, namespace: str) -> str:
    with _first_that_answers(parsed.places, parsed.options, "CLUSTER INFO") as (node, info):
        assigned = int(info["cluster_slots_assigned"])
        # We do not use `cluster_slots_ok`: it drops when a single node suspects a slow one.
        served = SLOTS - int(info["cluster_slots_fail"])
        if assigned < SLOTS:
            raise UnfitRedis(f"the Cluster is incomplete: {assigned} of {SLOTS} slots have a node")
        if info["cluster_state"] != "ok" or served < SLOTS:
            raise UnfitRedis(
                f"the Cluster is down (cluster_state {info['cluster_state']}): {served} of "
                f"{SLOTS} slots are served"
            )
        nodes = cast("dict[str, dict[str, Any]]", node.execute_command("CLUSTER NODES"))
    masters = {address: facts["slots"] for address, facts in nodes.items() if facts["slots"]}
    names = []
    for address, slots in masters.items():
        host, _, port = address.rpartition(":")
        ranges = [(int(part[0]), int(part[-1])) for part in slots]

        def has(slot: int, ranges: list[tuple[int, int]] = ranges) -> bool:
            return any(first <= slot <= last for first, last in ranges)

        with closing(_client((host or parsed.places[0][0], int(port)), parsed.options)) as client:
            try:
                facts = _look(client, namespace, has)
                _check(facts, parsed, namespace)
            except (redis.RedisError, OSError, UnfitRedis) as error:
                raise Unreached(address, error, sent_by="the Cluster") from error
        names.append(facts.name)
    return f"{names[0]} Cluster of {len(masters)} master{'s' * (len(masters) > 1)}"


def _identify_behind_sentinels(url: str, parsed: RedisUrl, namespace: str) -> str:
    with _first_that_answers(parsed.places, parsed.sentinel_options, "SENTINEL MASTERS") as (
        _,
        watched,
    ):
        if parsed.service not in watched:
            known = ", ".join(sorted(watched)) or "none"
            raise UnfitRedis(
                f"the Sentinel does not know the service that the URL names (it knows {known})"
            )
        master = watched[parsed.service]
        if "down" in master["flags"]:
            raise UnfitRedis("the service has no master at the moment: try again")
    place = (master["ip"], master["port"])
    with closing(connect(url, **_QUICK)) as client:
        try:
            facts = _look(client, namespace)
            _check(facts, parsed, namespace)
        except (redis.RedisError, OSError, UnfitRedis) as error:
            raise Unreached(address_of(*place), error, sent_by="the Sentinel") from error
    return f"{facts.name} behind Sentinels"


@contextmanager
def _first_that_answers(
    places: tuple[tuple[str, int], ...], options: dict[str, Any], question: str
) -> Iterator[tuple[redis.Redis, Any]]:
    """A client of the first place that answers, and its answer; one answer is enough."""
    failure: Unreached | None = None
    for place in places:
        with closing(_client(place, options)) as client:
            try:
                answer = client.execute_command(question)
            except (redis.AuthenticationError, redis.ResponseError) as error:
                failure = Unreached(address_of(*place), error)
                if refusal(error) is not None:  # another one may not be busy
                    continue
                raise failure from error
            except (redis.RedisError, OSError) as error:
                failure = Unreached(address_of(*place), error)
                continue
            yield client, answer
            return
    assert failure is not None
    raise failure


def _client(place: tuple[str, int], options: dict[str, Any]) -> redis.Redis:
    host, port = place
    settings: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": True,
        "driver_info": None,
        "retry": ONCE,
    } | _QUICK
    return redis.Redis(host=host, port=port, **(settings | options))
