"""Commands that end with this process, however this process ends.

    redis = SupervisedProcess([path, "--port", "7000"])
    redis.start()
    redis.kill()
    redis.close()

A `Supervisor`, a small process of its own, starts them, notices when this process dies, and ends
them: running or paused, and without their help. It takes 12 MB, so several commands share one
where they can.
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
"""How long a supervisor may be silent; it needs a fraction of a second."""


LOG = "output.log"
"""The file in a process's directory that holds what it wrote."""


class NotRunning(RuntimeError):
    """A process is not in the state that is needed; the text says why."""


class Supervisor(Closing):
    """Runs any number of `SupervisedProcess`es, and outlives this process just long enough to end
    them.

    Constructing one does not wait for it. Safe for threads; it does one thing at a time. In a child
    made with `os.fork` the copy is inert.
    """

    def __init__(self) -> None:
        self._pipe = ParentPipe(Path(__file__).with_name("supervisor_script.py"))
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        return self._pipe.pid

    @property
    def forked(self) -> bool:
        """True in a copy that a fork left in a child."""
        return self._pipe.forked

    def stop(self, processes: Iterable[SupervisedProcess], grace: float = 0.0) -> None:
        """Ends several at the same time: SIGTERM, and SIGKILL after `grace` seconds.

        Returns when they are gone. With a grace of 0 it is SIGKILL at once.
        """
        order = {"do": "stop", "names": [process.name for process in processes], "grace": grace}
        self.ask(order, "The supervisor", NotRunning, grace)

    def close(self) -> None:
        """Ends all that is left and returns when it is gone. Safe to call again."""
        if not self._pipe.forked:
            with self._lock:
                self._pipe.close(ANSWER_SECONDS)

    def ask(
        self, order: Mapping[str, Any], what: str, error: type[RuntimeError], wait: float = 0.0
    ) -> str:
        """Gives an order (see `supervisor_script.py`) and returns the text of the answer.

        Raises `error`, in whose text the process is called `what`. `wait` is how many seconds the
        order may take by its nature.
        """
        if self._pipe.forked:
            raise error(f"{what} belongs to the process that this one is a fork of.")
        with self._lock:
            if self._pipe.stdin.closed:
                raise error(f"{what} is closed.")
            number = next(self._numbers)
            # An Interrupt may have left the line before this one without its end.
            line = f"\n{json.dumps({'number': number, **order})}\n"
            try:
                self._pipe.stdin.write(line.encode())
                answer = self._answer(number, ANSWER_SECONDS + wait)
            except OSError:
                raise error(
                    f"The supervisor of {what} is gone, and {what} with it: start a new bank."
                ) from None
        if not answer.startswith("ok"):
            raise error(answer.removeprefix("failed").strip())
        return answer.removeprefix("ok").strip()

    def _answer(self, number: int, seconds: float) -> str:
        """The one of this number: an Interrupt may have left older ones unread."""
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
    """A directory of temporary files, which a supervisor removes once this process is dead.

    Entered by nobody but this user. One of the `sockets` that this process makes there is put
    back if somebody removes it: see `supervisor_script.py`. Safe for threads; in a child made with
    `os.fork`, `close` does nothing.
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
        """Has the supervisor look at once, as at a socket that is new."""
        order = {
            "do": "keep",
            "name": str(self.path),
            "directory": _for_watchdog(self.path),
            "sockets": self._sockets,
        }
        self._supervisor.ask(order, "The directory", NotRunning)

    def close(self) -> None:
        """Removes it. Safe to call again."""
        if not self._supervisor.forked:
            self._supervisor.close()
            shutil.rmtree(self.path, ignore_errors=True)  # where the supervisor was killed


class NoSocket(RuntimeError):
    """No directory can hold a unix socket; the text says which were tried."""


def fresh_directory(parent: str | None = None) -> Path:
    """A name for a directory that is not there yet, by default among the temporary ones."""
    return Path(parent or tempfile.gettempdir()).absolute() / f"bankkit-{secrets.token_hex(8)}"


def socket_directory(longest: str = "redis.sock", avoid: str = ",") -> Path:
    """A name for a directory that is not there yet, and in which a unix socket can be bound.

    The kernel has 108 bytes for the path of one (macOS 104), and not every file system can hold
    one: so one of the `longest` name is bound there, for a moment. Bytes that are no text have no
    place in the URL of a Redis, and what is in `avoid` has none in the path: gRPC takes a comma for
    the end of an address. Candidates are TMPDIR or what stands for it,
    XDG_RUNTIME_DIR (the last resort of the two: it ends with the login, which a kernel may
    outlive), /tmp and /var/tmp. Raises `NoSocket` if none will do.
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
                raise OSError("its name is one that not every program takes")
            _bind_in(directory, longest)
        except OSError as error:  # without a number where the path is too long
            tried[printable(parent) or "TMPDIR"] = error.strerror or str(error)
        else:
            return directory
    listed = "; ".join(f"{parent}: {reason}" for parent, reason in tried.items())
    raise NoSocket(
        f"A bank needs a directory that can hold a unix socket, and none will do ({listed}). "
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
    """For people: bytes that are no text in this locale would break a print."""
    return os.fspath(path).encode(errors="backslashreplace").decode()


def _for_watchdog(path: str | os.PathLike[str]) -> str:
    """The same bytes, in whatever encoding this process's locale has them."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def same_imports() -> dict[str, str]:
    """The environment in which another Python imports from where this one does.

    That is not always site-packages: think of a clone.
    """
    here = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}


class SupervisedProcess:
    """A command that ends with this process; it can be killed and started again and again.

    command    a program's path and its arguments; may be changed between two starts, as `files`
    directory  made at the first start, and at any other if it was removed; entered by nobody but
               this user, and removed in the end; the working directory, and where the output goes;
               by default a temporary one
    data_dir   a directory that stays: locked against a second process, and the working directory
    env        what the environment has beyond this process's own; a password may stand here, as on
               a command line it may not: everybody can read that
    files      text by file name, put into the directory before a start, for the eyes of this user
               only
    sockets    names of sockets that it makes there, put back if somebody removes them
    grace      seconds that it has to end by itself after SIGTERM, where it is stopped or this
               process dies; by default it is killed at once
    what       what messages call it
    error      what is raised with those messages, by every method
    supervisor   to share with other commands; by default it has one of its own

    Safe for threads. In a child made with `os.fork` the copy is inert: `close` does nothing, all
    else raises.
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
        """By which its supervisor knows it."""
        self.pid = 0
        """Of the latest start; of a leader of a process group."""
        self._data_dir = data_dir
        self._env = dict(env or {})
        self.files = dict(files or {})
        self._sockets = list(sockets)
        self._grace = grace
        self._what = what
        self._error = error
        self._own = supervisor is None
        self._closed = False
        self._lock = threading.Lock()  # of closing
        self.supervisor = supervisor or Supervisor()

    def start(self) -> None:
        """Runs the command, which must not run yet; returns once it has a process."""
        order = {
            "do": "start",
            "what": self._what,
            "command": [_for_watchdog(word) for word in self.command],
            "directory": _for_watchdog(self.directory),
            "data_dir": _for_watchdog(self._data_dir or ""),
            "env": {name: _for_watchdog(value) for name, value in self._env.items()},
            "files": self.files,
            "sockets": self._sockets,
            "log": _for_watchdog(self.directory / LOG),
            "grace": self._grace,
        }
        self.pid = int(self._ask(order))

    def status(self) -> str:
        """`running` or `paused`. Raises when it is gone, with the reason and its last words."""
        return self._ask({"do": "status"})

    @property
    def alive(self) -> bool:
        """Whether it runs or is paused."""
        try:
            self.status()
        except self._error:
            return False
        return True

    @property
    def log(self) -> str:
        """What it has written since its latest start, both to stdout and to stderr."""
        try:
            return (self.directory / LOG).read_text(errors="replace")
        except FileNotFoundError:  # it was not started yet, or is closed
            return ""

    def pause(self) -> None:
        """Stops it in its tracks (SIGSTOP); returns when it has stopped."""
        self._ask({"do": "pause"})

    def resume(self) -> None:
        """Lets a paused one go on (SIGCONT)."""
        self._ask({"do": "resume"})

    def kill(self) -> None:
        """SIGKILLs it, paused or not; returns when it is gone. `start` brings it back."""
        self.stop(grace=0.0)

    def stop(self, grace: float | None = None) -> None:
        """Ends it, after its grace or the one given; returns when it is gone."""
        grace = self._grace if grace is None else grace
        self._ask({"do": "stop", "names": [self.name], "grace": grace}, grace)

    def restart(self, grace: float | None = None) -> None:
        """Starts it anew, running, paused or gone. An Interrupt does not come between."""
        with interrupt_later(deadly=False):
            self.stop(grace)
            self.start()

    def close(self) -> None:
        """Ends it and removes its directory; a data directory stays. Safe to call again."""
        if self.supervisor.forked:
            return
        with self._lock:
            if self._own:
                self.supervisor.close()
            elif not self._closed:
                with contextlib.suppress(self._error):  # the supervisor is gone, and all with it
                    self.stop()
                    self._ask({"do": "forget"})
            self._closed = True
            shutil.rmtree(self.directory, ignore_errors=True)  # where the supervisor was killed

    def _ask(self, order: Mapping[str, Any], wait: float = 0.0) -> str:
        if self._closed:
            raise self._error(f"{self._what} is closed.")
        return self.supervisor.ask({"name": self.name, **order}, self._what, self._error, wait)
