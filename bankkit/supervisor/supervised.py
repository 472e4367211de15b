"""Commands that end with this process, however this process ends.

    redis = SupervisedProcess([path, "--port", "7000"])
    redis.start()
    redis.kill()
    redis.close()

A `Supervisor`, a small separate process, starts them, notices when this process ends, and ends
them too, running or paused, without their cooperation. It takes 12 MB, so commands should share
one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import select
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bankkit.runtime.closing import Closing
from bankkit.runtime.signals import interrupt_later
from bankkit.supervisor.parent_pipe import ParentPipe

ANSWER_SECONDS = 10.0
"""Seconds that a supervisor may take to answer; it needs a fraction of a second."""


LOG = "output.log"
"""Name of the file with a process's output, in its directory."""


class NotRunning(RuntimeError):
    """A process is not in the state that a method needs; the text says why."""


class Supervisor(Closing):
    """Runs any number of `SupervisedProcess`es, and ends them after the end of this process.

    The constructor does not wait for the supervisor to start. Thread-safe; it carries out one order
    at a time. In a child made with `os.fork`, `close` does nothing and other methods raise.
    """

    def __init__(self) -> None:
        self._pipe = ParentPipe(Path(__file__).with_name("supervisor_script.py"))
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._pipe.pid

    @property
    def forked(self) -> bool:
        """True in the copy that a forked child inherits."""
        return self._pipe.forked

    def stop(self, processes: Iterable[SupervisedProcess], grace: float = 0.0) -> None:
        """Stop several processes at the same time; returns when they have ended.

        Sends SIGTERM, and SIGKILL after `grace` seconds; with a grace of 0, SIGKILL at once.
        """
        order = {"do": "stop", "names": [process.name for process in processes], "grace": grace}
        self.ask(order, "The supervisor", NotRunning, grace)

    def close(self) -> None:
        """Stop all processes and the supervisor; returns when they have ended.

        Safe to call again.
        """
        if not self._pipe.forked:
            with self._lock:
                self._pipe.close(ANSWER_SECONDS)

    def ask(
        self, order: Mapping[str, Any], what: str, error: type[RuntimeError], wait: float = 0.0
    ) -> str:
        """Send an order (see `supervisor_script.py`) and return the text of the answer.

        Raises `error`, whose text calls the process `what`. `wait` is the number of seconds that
        the order itself may take.
        """
        if self._pipe.forked:
            raise error(f"{what} belongs to the process that this one was forked from.")
        with self._lock:
            if self._pipe.stdin.closed:
                raise error(f"{what} is closed.")
            number = next(self._numbers)
            # The leading newline ends a previous line that an Interrupt may have cut short.
            line = f"\n{json.dumps({'number': number, **order})}\n"
            try:
                self._pipe.stdin.write(line.encode())
                answer = self._answer(number, ANSWER_SECONDS + wait)
            except OSError:
                raise error(
                    f"The supervisor process of {what} has died, and so has {what}: start a new "
                    f"bank."
                ) from None
        if not answer.startswith("ok"):
            raise error(answer.removeprefix("failed").strip())
        return answer.removeprefix("ok").strip()

    def _answer(self, number: int, seconds: float) -> str:
        """The answer to this order. An Interrupt may have left older answers unread."""
        poll = select.poll()
        poll.register(self._pipe.stdout, select.POLLIN)
        while True:
            if not poll.poll(seconds * 1000):
                raise TimeoutError
            line = self._pipe.stdout.readline().decode(errors="backslashreplace")
            if not line:
                raise BrokenPipeError
            found, _, answer = line.strip().partition(" ")
            if found == str(number):
                return answer


class KeptDirectory:
    """A directory of temporary files that a supervisor removes after the end of this process.

    Only this user can enter it. If a file in `sockets` that this process made there is removed, the
    supervisor restores it: see `supervisor_script.py`. Thread-safe; in a child made with `os.fork`,
    `close` does nothing.
    """

    def __init__(self, sockets: Sequence[str] = ()) -> None:
        self.path = socket_directory()
        self._sockets = list(sockets)
        self._supervisor = Supervisor()
        try:
            self.look()
        except BaseException:
            self.close()
            raise

    def look(self) -> None:
        """Make the supervisor check the directory at once, for example after a bind of a socket."""
        order = {
            "do": "keep",
            "name": str(self.path),
            "directory": _for_supervisor(self.path),
            "sockets": self._sockets,
        }
        self._supervisor.ask(order, "The directory", NotRunning)

    def close(self) -> None:
        """Remove the directory. Safe to call again."""
        if not self._supervisor.forked:
            self._supervisor.close()
            shutil.rmtree(self.path, ignore_errors=True)  # in case the supervisor was killed


class NoSocket(RuntimeError):
    """No directory can hold a unix socket; the text says which ones were tried."""


def fresh_directory(parent: str | None = None) -> Path:
    """Path for a directory that does not exist yet, by default in the temporary folder."""
    return Path(parent or tempfile.gettempdir()).absolute() / f"bankkit-{secrets.token_hex(8)}"


def socket_directory(longest: str = "redis.sock", avoid: str = ",") -> Path:
    """Path for a directory that does not exist yet and in which a unix socket can be bound.

    The kernel has 108 bytes for the path of a socket (macOS 104), and some file systems cannot hold
    one. So the function binds a socket with the `longest` name there for a moment. The path must be
    text, because a Redis URL may contain it. It must not contain the characters in `avoid`: gRPC
    takes a comma for the end of an address. Candidates for the parent are TMPDIR (or Python's
    default for it), /tmp, /var/tmp, and last XDG_RUNTIME_DIR, which is removed at logout, while a
    kernel may go on. Raises `NoSocket` if none can hold a socket.
    """
    tried: dict[str, str] = {}
    for find in (
        tempfile.gettempdir,
        lambda: "/tmp",
        lambda: "/var/tmp",
        lambda: os.environ.get("XDG_RUNTIME_DIR", ""),
    ):
        parent = ""
        try:
            parent = find()
            if not parent or parent in tried:
                continue
            directory = fresh_directory(parent)
            if printable(directory) != str(directory) or set(avoid) & set(str(directory)):
                raise OSError("its path has characters that some programs do not accept")
            _bind_in(directory, longest)
        except OSError as error:  # it has no errno if the path is too long
            tried[printable(parent) or "TMPDIR"] = error.strerror or str(error)
        else:
            return directory
    listed = "; ".join(f"{parent}: {reason}" for parent, reason in tried.items())
    raise NoSocket(
        f"A bank needs a directory that can hold a unix socket, but none of these can ({listed}). "
        f"Set TMPDIR to a folder with a short path, on a local disk."
    )


def _bind_in(directory: Path, name: str) -> None:
    directory.mkdir(mode=0o700)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(os.fsencode(directory / name))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def printable(path: str | os.PathLike[str]) -> str:
    """The path as text that can be printed: bytes that this locale cannot decode are escaped."""
    return os.fspath(path).encode(errors="backslashreplace").decode()


def _for_supervisor(path: str | os.PathLike[str]) -> str:
    """The bytes of the path, decoded as UTF-8 whatever this process's locale is."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def same_imports() -> dict[str, str]:
    """Environment variables with which another Python imports from the same places as this one.

    These are not always in site-packages: a clone of the repository is one example.
    """
    here = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}


class SupervisedProcess:
    """A command that ends with this process. It can be killed and started any number of times.

    command    path of the program and its arguments; may be changed between two starts, as may
               `files`
    directory  working directory of the command, with its output; made at a start if it does not
               exist, accessible to this user only, removed at the end; temporary by default
    data_dir   directory that is not removed; if given, it is the working directory, and is locked
               against a second process
    env        variables in addition to this process's environment; put a password here and not on
               the command line, which every user can read
    files      text by file name; before a start, missing files are written into the directory,
               readable by this user only
    sockets    names of sockets that the command makes in the directory; restored if removed
    grace      seconds to end after SIGTERM, when the command is stopped or this process ends; by
               default the command is killed at once
    what       name of the command in messages
    error      exception class that every method raises
    supervisor   a supervisor to share with other commands; by default the command gets its own

    Thread-safe. In a child made with `os.fork`, `close` does nothing and other methods raise.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path | None = None,
        data_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        sockets: Sequence[str] = (),
        grace: float = 0.0,
        what: str = "Redis",
        error: type[RuntimeError] = NotRunning,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.command = list(command)
        self.directory = directory or fresh_directory()
        self.name = str(self.directory)
        """Name of the command in orders to the supervisor."""
        self.pid = 0
        """Process id since the latest start; the process leads a process group."""
        self._data_dir = data_dir
        self._env = dict(env or {})
        self.files = dict(files or {})
        self._sockets = list(sockets)
        self._grace = grace
        self._what = what
        self._error = error
        self._own = supervisor is None
        self._closed = False
        self._lock = threading.Lock()  # guards `close`
        self.supervisor = supervisor or Supervisor()

    def start(self) -> None:
        """Start the command, which must not be running; returns once it has a process."""
        order = {
            "do": "start",
            "what": self._what,
            "command": [_for_supervisor(word) for word in self.command],
            "directory": _for_supervisor(self.directory),
            "data_dir": _for_supervisor(self._data_dir or ""),
            "env": {name: _for_supervisor(value) for name, value in self._env.items()},
            "files": self.files,
            "sockets": self._sockets,
            "log": _for_supervisor(self.directory / LOG),
            "grace": self._grace,
        }
        self.pid = int(self._ask(order))

    def status(self) -> str:
        """`running` or `paused`. Raises if it has ended, with the reason and its last output."""
        return self._ask({"do": "status"})

    @property
    def alive(self) -> bool:
        """Whether the command is running or paused."""
        try:
            self.status()
        except self._error:
            return False
        return True

    @property
    def log(self) -> str:
        """Output to stdout and stderr since the latest start."""
        try:
            return (self.directory / LOG).read_text(errors="replace")
        except FileNotFoundError:  # the command was never started, or is closed
            return ""

    def pause(self) -> None:
        """Pause the command (SIGSTOP); returns when it has stopped."""
        self._ask({"do": "pause"})

    def resume(self) -> None:
        """Continue a paused command (SIGCONT)."""
        self._ask({"do": "resume"})

    def kill(self) -> None:
        """Kill the command (SIGKILL), paused or not; returns when it has ended."""
        self.stop(grace=0.0)

    def stop(self, grace: float | None = None) -> None:
        """Stop the command within this grace, by default its own; returns when it has ended."""
        grace = self._grace if grace is None else grace
        self._ask({"do": "stop", "names": [self.name], "grace": grace}, grace)

    def restart(self, grace: float | None = None) -> None:
        """Stop the command if it runs, and start it. An Interrupt is delayed until the end."""
        with interrupt_later(deadly=False):
            self.stop(grace)
            self.start()

    def close(self) -> None:
        """Stop the command and remove its directory, not its data. Safe to call again."""
        if self.supervisor.forked:
            return
        with self._lock:
            if self._own:
                self.supervisor.close()
            elif not self._closed:
                with contextlib.suppress(self._error):  # if the supervisor has died, so has this
                    self.stop()
                    self._ask({"do": "forget"})
            self._closed = True
            shutil.rmtree(self.directory, ignore_errors=True)  # in case the supervisor was killed

    def _ask(self, order: Mapping[str, Any], wait: float = 0.0) -> str:
        if self._closed:
            raise self._error(f"{self._what} is closed.")
        return self.supervisor.ask({"name": self.name, **order}, self._what, self._error, wait)
