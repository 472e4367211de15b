"""A Redis of this process alone, which lives no longer than it."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from bankkit.lifeline import Lifeline
from bankkit.redis_server.binary import RedisUnavailable, find_binary

START_SECONDS = 10.0
"""How long a private Redis may be silent before its start has failed."""

STOP_SECONDS = 10.0
"""How long a child process may take to clean up; it needs a fraction of a second."""


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
        data = None if data_dir is None else usable_directory(data_dir)
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
            Path(__file__).parents[1] / "redis_watchdog.py",
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


def usable_directory(path: str | os.PathLike[str]) -> Path:
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
