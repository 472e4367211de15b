"""A private Redis server, which ends with this process."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

from bankkit.redis_backend.binary import RedisUnavailable, find_binary
from bankkit.supervisor.supervised import NoSocket, SupervisedProcess, printable, socket_directory

START_SECONDS = 10.0
"""Seconds after which the start of a silent private Redis has failed."""

SOCKET = "redis.sock"

ENVIRONMENT = {"LC_ALL": "C"}
"""Environment of a private Redis. From 7.4 on, Redis does not start if LC_ALL names a locale that
is not installed. We do not sort by locale."""

SAVE_SECONDS = 1.0
"""Seconds that a Redis with a data directory may take to save its data before it is killed."""


class PrivateRedis:
    """A private Redis on a unix socket, in a directory that only this user can enter.

    It ends within two seconds after this process, however this process ends. All methods are
    thread-safe. They raise `RedisUnavailable` after `close`, and if Redis is not in the state that
    a method needs. In a child made with `os.fork`, `close` does nothing and the other methods
    raise.
    """

    private = True

    def __init__(
        self, *, data_dir: str | os.PathLike[str] | None = None, appendfsync: str = "everysec"
    ) -> None:
        data = None if data_dir is None else usable_directory(data_dir)
        self._binary = find_binary()
        self.data_dir = data
        try:
            self._directory = socket_directory()
        except NoSocket as error:
            raise RedisUnavailable(str(error)) from None
        self._socket = str(self._directory / SOCKET)
        self.url = f"unix://{quote(self._socket)}"
        name = f"{self._binary.flavour.capitalize()} {self._binary.version}"
        self.description = f"{name}, private ({self._binary.source})"
        if data is not None:
            self.description += f", data in {printable(data)} (appendfsync {appendfsync})"
        self._lock = threading.Lock()  # makes a restart atomic for other threads
        self._closing = threading.Event()
        self._process = SupervisedProcess(
            self._command(data, appendfsync),
            directory=self._directory,
            data_dir=data,
            env=ENVIRONMENT,
            sockets=[SOCKET],
            grace=0.0 if data is None else SAVE_SECONDS,
            error=RedisUnavailable,
        )
        try:
            self._process.start()
            self._await_answer()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop Redis and remove its directory, not its data; returns when Redis has ended.

        Safe to call again.
        """
        if self._process.supervisor.forked:  # a thread of the parent may hold the lock forever
            return
        self._closing.set()  # ends a restart that waits for a long load
        with self._lock:
            self._process.close()

    def pause(self) -> None:
        """Pause Redis (SIGSTOP): it keeps its connections and answers nothing."""
        with self._lock:
            self._process.pause()

    def resume(self) -> None:
        """Continue a paused Redis (SIGCONT); it then executes the commands that it got."""
        with self._lock:
            self._process.resume()

    def kill(self) -> None:
        """Kill Redis (SIGKILL), paused or not; returns when it has ended. `restart` starts it."""
        with self._lock:
            self._process.kill()

    def check_socket(self) -> None:
        """Restore the socket if it was removed while Redis runs.

        Raises `RedisUnavailable` if that is not possible, as on every system except Linux.
        """
        with self._lock:
            try:
                self._process.status()  # the supervisor restores the socket before it answers
            except RedisUnavailable:
                return  # Redis does not run, so the socket is not the problem
            if not os.path.lexists(self._socket):
                raise RedisUnavailable(
                    f"{self._socket} was removed, and the private Redis cannot be reached without "
                    f"it: call bank.restart_redis(), or start a new bank."
                )

    def restart(self) -> None:
        """Start a new Redis on the same socket and data directory; returns when it answers.

        The old one may be running, paused or killed. Without a data directory all data is lost.
        """
        with self._lock:
            self._process.restart()
            self._await_answer()

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

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        # There is no event to wait for when a unix socket appears, so we poll.
        while not (answer := _ping(self._socket)).startswith(b"+PONG"):
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_SECONDS  # it is loading its data
            self._process.status()
            if time.monotonic() > deadline:
                raise RedisUnavailable(
                    f"Redis did not answer within {START_SECONDS:g} s after its start."
                )
            if self._closing.wait(0.002):
                raise RedisUnavailable("This Redis was closed while it started.")
        self._process.status()  # now the supervisor knows the socket, and can restore it


def usable_directory(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a data directory, made if missing. Raises ValueError if unusable."""
    if not os.fspath(path):
        raise ValueError("data_dir must be the path of a directory, not empty.")
    directory = Path(path).expanduser().absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"data_dir cannot be {directory}: it is not a directory.") from None
    except OSError as error:
        raise ValueError(f"data_dir cannot be {directory}: {error.strerror}.") from None
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"data_dir cannot be {directory}: it must be readable and writable.")
    return directory


def check_unlocked(data_dir: Path) -> None:
    """Raises `RedisUnavailable` if another bank uses the directory. The supervisor checks again."""
    import fcntl  # Windows does not have it, but it has no supervisor either

    from bankkit.supervisor import supervisor_script

    deadline = time.monotonic() + supervisor_script.LOCK_SECONDS
    with (data_dir / supervisor_script.LOCK).open("a") as lock:
        while True:
            owner = ""
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in supervisor_script.NO_LOCKS:
                    raise
                if not (owner := supervisor_script.living_owner(str(data_dir))):
                    return
            if time.monotonic() > deadline:
                raise RedisUnavailable(supervisor_script.in_use(str(data_dir), owner))
            time.sleep(0.02)  # flock has no timeout


def _ping(path: str) -> bytes:
    """The first bytes of the answer; empty if Redis does not listen or answer yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        with contextlib.suppress(OSError):
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    return b""
