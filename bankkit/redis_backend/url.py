"""Redis URLs: one server, a Cluster, or a service that Sentinels watch.

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]                            rediss:// for TLS
    unix://[USER:PASSWORD@]/PATH
    redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…            rediss+cluster://
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DB]         rediss+sentinel://

Options of redis-py follow after a `?`, such as `ssl_ca_certs=FILE`. USER and PASSWORD are for the
data servers. Sentinels have their own: `sentinel_username=` and `sentinel_password=`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis.cluster import REDIS_ALLOWED_KEYS
from redis.connection import SSLConnection, parse_url

FORMS = (
    "redis://HOST:PORT/DB (with a password: redis://:PASSWORD@HOST:PORT/DB), rediss:// (TLS), "
    "unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT, and "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
)
"""The allowed forms of a URL, for error messages."""

Kind = Literal["single", "cluster", "sentinel"]

_KINDS: dict[str | None, Kind] = {None: "single", "cluster": "cluster", "sentinel": "sentinel"}
_PORTS: dict[Kind, int] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_PLACE = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:/\[\]@,]*))(?::(?P<port>[0-9]+))?"
)
_OF_SENTINELS = ("sentinel_username", "sentinel_password")


class RedisUrl(NamedTuple):
    """The parts of a URL. No name was looked up, and no connection was made."""

    kind: Kind
    places: tuple[tuple[str, int], ...]
    """Host and port of the server, of Cluster nodes, or of Sentinels; empty for a unix socket."""
    path: str
    """Path of the unix socket, or empty."""
    service: str
    """The Sentinels' name for the master and its replicas, or empty."""
    options: dict[str, Any]
    """Options of redis-py for a connection to a data server."""
    sentinel_options: dict[str, Any]
    """Options of redis-py for a connection to a Sentinel."""
    secrets: tuple[str, ...]
    """Passwords, which no message may show."""

    @property
    def address(self) -> str:
        """The path, or `HOST:PORT` of each server, for messages."""
        return self.path or ",".join(address_of(*place) for place in self.places)

    def without_secrets(self, text: str) -> str:
        """The text with each password replaced by `***`."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse(url: str) -> RedisUrl:
    """Parse a Redis URL. Raises ValueError if it is not one.

    The text of the error is a sentence, or empty if `FORMS` says enough. It quotes no part of the
    URL, because the password may be anywhere in it. The function is stricter than redis-py, which
    uses database 0 if the database is not a number.
    """
    try:
        # We remove the hosts before urlsplit: since Python 3.15 it refuses a list with an IPv6
        # address.
        start, hosts, end = re.split(r"(?<=://)([^/?#]*)", url.strip(), maxsplit=1)
        parts = urlsplit(f"{start}{end}")
    except (ValueError, TypeError, AttributeError):
        raise ValueError from None
    found = re.fullmatch(r"(redis|rediss|unix)(?:\+(cluster|sentinel))?", parts.scheme)
    if found is None or (found[1] == "unix" and found[2]):
        raise ValueError
    user, _, hosts = hosts.rpartition("@")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if found[1] == "unix":
        if len(parts.path) < 2:
            raise ValueError
        options = _options(f"unix://{user}@{parts.path}", query)
        return RedisUrl("single", (), options.pop("path"), "", options, {}, _secrets(options))
    kind: Kind = _KINDS[found[2]]
    own = {name: query.pop(name) for name in _OF_SENTINELS if name in query}
    if own and kind != "sentinel":
        raise ValueError("It has an option that is allowed for redis+sentinel:// only.")
    places = tuple(_place(text, _PORTS[kind]) for text in hosts.split(","))
    if kind == "single" and len(places) > 1:
        raise ValueError("Several hosts are allowed for redis+cluster:// and redis+sentinel://.")
    service, database = "", parts.path.strip("/")
    if kind == "sentinel":
        service, _, database = database.partition("/")
        if not service:
            raise ValueError("It must name a service: redis+sentinel://HOST:PORT/SERVICE.")
    if not re.fullmatch("[0-9]*", database):
        raise ValueError
    if kind == "cluster" and (database.strip("0") or query.get("db", "0") != "0"):
        raise ValueError("A Redis Cluster has only one database: omit the number.")
    options = _options(f"{found[1]}://{user}@host/{database}", query)
    del options["host"]
    if kind == "cluster":
        options.pop("db", None)
        if options.keys() - set(REDIS_ALLOWED_KEYS):  # redis-py would ignore them
            raise ValueError(
                "It has an option after the ? that is unknown or not allowed for a Cluster."
            )
    sentinel_options: dict[str, Any] = {}
    if kind == "sentinel":
        sentinel_options = {name: value for name, value in options.items() if "ssl" in name}
        sentinel_options |= {name.removeprefix("sentinel_"): own[name] for name in own}
    secrets = _secrets(options) + _secrets(sentinel_options)
    return RedisUrl(kind, places, "", unquote(service), options, sentinel_options, secrets)


def address_of(host: str, port: int) -> str:
    """`HOST:PORT`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _place(text: str, default_port: int) -> tuple[str, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError
    port = int(found["port"] or default_port)
    if not 0 < port < 65536:
        raise ValueError("A port must be a number from 1 to 65535.")
    return unquote(found["ipv6"] or found["host"] or "localhost"), port


def _options(url: str, query: dict[str, str]) -> dict[str, Any]:
    """Options with the types that redis-py gives them; `ssl` means TLS."""
    known = {name for kind in SSLConnection.__mro__ for name in _parameters(kind)}
    if query.keys() - known - {"max_connections", "timeout"}:
        raise ValueError("It has an unknown option after the ?.")
    options: dict[str, Any] = parse_url(f"{url}?{urlencode(query)}")
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    return options


def _parameters(kind: type) -> Iterable[str]:
    return inspect.signature(kind).parameters


def _secrets(options: dict[str, Any]) -> tuple[str, ...]:
    return tuple(options[name] for name in ("password", "ssl_password") if options.get(name))
