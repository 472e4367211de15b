"""A Redis of this process alone, which lives no longer than it."""

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
"""How long a private Redis may be silent before its start has failed."""

SOCKET = "redis.sock"

ENVIRONMENT = {"LC_ALL": "C"}
"""Of a private Redis: from 7.4 on it refuses to start where LC_ALL names a locale that is not
installed, and nothing here sorts by one."""

SAVE_SECONDS = 1.0
"""How long one with a data directory may take to write what it holds before it is killed."""


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
        self._lock = threading.Lock()  # a restart is one step to the others
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
        """Stops Redis and removes its directory; a data directory stays. Safe to call again."""
        if self._process.supervisor.forked:  # where the lock may be held by nobody that is here
            return
        self._closing.set()  # a restart that is waiting for a long load gives up
        with self._lock:
            self._process.close()

    def pause(self) -> None:
        """Stops Redis in its tracks (SIGSTOP): it keeps connections and answers nothing."""
        with self._lock:
            self._process.pause()

    def resume(self) -> None:
        """Lets a paused Redis go on (SIGCONT), with what was sent to it in the meantime."""
        with self._lock:
            self._process.resume()

    def kill(self) -> None:
        """SIGKILLs Redis, paused or not; returns when it is gone. `restart` brings it back."""
        with self._lock:
            self._process.kill()

    def check_socket(self) -> None:
        """Has a socket put back that somebody removed while Redis runs.

        Raises `RedisUnavailable` where that cannot be, which is anywhere but on Linux.
        """
        with self._lock:
            try:
                self._process.status()
            except RedisUnavailable:
                return  # it does not run, which is another story
            if not os.path.lexists(self._socket):
                raise RedisUnavailable(
                    f"{self._socket} was removed, and nobody can reach the private Redis without "
                    f"it: call bank.restart_redis(), or start a new bank."
                )

    def restart(self) -> None:
        """A new Redis on the same socket and data directory; returns when it answers.

        Works on a running, a paused and a killed one. Without a data directory all data is gone.
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
        # A unix socket appears without an event to await: ask, and ask again a moment later.
        while not (answer := _ping(self._socket)).startswith(b"+PONG"):
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_SECONDS  # it is at work, and says so
            self._process.status()
            if time.monotonic() > deadline:
                raise RedisUnavailable(f"Redis was silent for {START_SECONDS:g} s after its start.")
            if self._closing.wait(0.002):
                raise RedisUnavailable("This Redis was closed while it started.")
        self._process.status()  # the supervisor knows the socket, and can put it back


def usable_directory(path: str | os.PathLike[str]) -> Path:
    if not os.fspath(path):
        raise ValueError("data_dir must name a directory.")
    directory = Path(path).expanduser().absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"data_dir cannot be {directory}: it is no directory.") from None
    except OSError as error:
        raise ValueError(f"data_dir cannot be {directory}: {error.strerror}.") from None
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"data_dir cannot be {directory}: it must be readable and writable.")
    return directory


def check_unlocked(data_dir: Path) -> None:
    """Raises `RedisUnavailable` if another bank has it, as its supervisor will."""
    import fcntl  # Windows has none, and the supervisor needs it

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
            time.sleep(0.02)  # flock knows no timeout


def _ping(path: str) -> bytes:
    """The first bytes of the answer; none if nobody listens or answers yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        with contextlib.suppress(OSError):
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    return b""
