"""A first look at a user's Redis: is it what its URL says, whole, and does it let us in?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS

from bankkit.redis_link import ONCE, connect
from bankkit.redis_url import RedisUrl, address_of

ANSWER_SECONDS = 1.5
"""How long one server may take for one answer."""

_QUICK = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}


class Unfit(Exception):
    """A Redis that answers, but not one to work with; the text ends a sentence."""


class Unreached(Exception):
    """What one of several servers said, or that it said nothing."""

    def __init__(self, address: str, error: Exception, *, sent_by: str = "") -> None:
        self.address = address
        self.error = error
        self.sent_by = sent_by
        """Who named this server, if it was not the URL."""
        super().__init__(address, error, sent_by)


def identify(url: str, parsed: RedisUrl) -> str:
    """Its kind and version.

    Raises `Unfit`, `Unreached`, or what redis-py raises; TypeError for an option it does not know.
    """
    if parsed.kind == "cluster":
        return _identify_cluster(parsed)
    if parsed.kind == "sentinel":
        return _identify_behind_sentinels(url, parsed)
    with closing(connect(url)) as client:
        name, mode = _version(client)
    if mode == "cluster":
        raise Unfit(f"it is a node of a Redis Cluster: use redis+cluster://{parsed.address}")
    if mode == "sentinel":
        raise Unfit(f"it is a Sentinel: use redis+sentinel://{parsed.address}/SERVICE")
    return name


def _version(client: redis.Redis) -> tuple[str, str]:
    """Its name, and whether it is standalone, a node of a Cluster or a Sentinel."""
    if client.ping() is not True:
        raise redis.InvalidResponse
    try:
        server = cast("dict[str, object]", client.info("server"))
    except redis.exceptions.NoPermissionError:
        return "Redis", ""  # it lets us in, but does not tell
    mode = str(server.get("redis_mode", ""))
    if server.get("server_name") == "valkey":
        return f"Valkey {server['valkey_version']}", mode
    return f"Redis {server['redis_version']}", mode


def _identify_cluster(parsed: RedisUrl) -> str:
    with _first_that_answers(parsed.places, parsed.options, "CLUSTER INFO") as (node, info):
        assigned = int(info["cluster_slots_assigned"])
        # Not `cluster_slots_ok`: one node's suspicion of a slow one is enough to lower that.
        served = SLOTS - int(info["cluster_slots_fail"])
        if assigned < SLOTS:
            raise Unfit(f"the Cluster is half-formed: {assigned} of {SLOTS} slots have a node")
        if info["cluster_state"] != "ok" or served < SLOTS:
            raise Unfit(
                f"the Cluster is down (cluster_state {info['cluster_state']}): {served} of "
                f"{SLOTS} slots are served"
            )
        name, _ = _version(node)
        nodes = cast("dict[str, dict[str, Any]]", node.execute_command("CLUSTER NODES"))
    masters = [address for address, seen in nodes.items() if seen["slots"]]
    for address in masters:
        host, _, port = address.rpartition(":")
        with closing(_client((host or parsed.places[0][0], int(port)), parsed.options)) as client:
            try:
                client.ping()
            except (redis.RedisError, OSError) as error:
                raise Unreached(address, error, sent_by="the Cluster") from error
    return f"{name} Cluster of {len(masters)} master{'s' * (len(masters) > 1)}"


def _identify_behind_sentinels(url: str, parsed: RedisUrl) -> str:
    with _first_that_answers(parsed.places, parsed.sentinel_options, "SENTINEL MASTERS") as (
        _,
        watched,
    ):
        if parsed.service not in watched:
            known = ", ".join(sorted(watched)) or "none"
            raise Unfit(f"the Sentinel knows no service of the name in the URL (it knows {known})")
        master = watched[parsed.service]
        if "down" in master["flags"]:
            raise Unfit("the service has no master at this moment: try again")
    place = (master["ip"], master["port"])
    with closing(connect(url, **_QUICK)) as client:
        try:
            name, _ = _version(client)
        except (redis.RedisError, OSError) as error:
            raise Unreached(address_of(*place), error, sent_by="the Sentinel") from error
    return f"{name} behind Sentinels"


@contextmanager
def _first_that_answers(
    places: tuple[tuple[str, int], ...], options: dict[str, Any], question: str
) -> Iterator[tuple[redis.Redis, Any]]:
    """One answer is enough: a Cluster or its Sentinels know of each other."""
    failure: Unreached | None = None
    for place in places:
        with closing(_client(place, options)) as client:
            try:
                answer = client.execute_command(question)
            except (redis.AuthenticationError, redis.ResponseError) as error:
                raise Unreached(address_of(*place), error) from error
            except (redis.RedisError, OSError) as error:
                failure = Unreached(address_of(*place), error)
                continue
            yield client, answer
            return
    assert failure is not None
    raise failure


def _client(place: tuple[str, int], options: dict[str, Any]) -> redis.Redis:
    host, port = place
    settings: dict[str, Any] = {"protocol": 2, "decode_responses": True, "retry": ONCE} | _QUICK
    return redis.Redis(host=host, port=port, **(settings | options))
