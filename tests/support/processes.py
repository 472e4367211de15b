"""Real processes for tests: their folder, whether any is left, and their output."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest

from bankkit.redis_backend import find_binary
from bankkit.redis_backend.private_nodes import free_ports
from tests.support.paths import ROOT
from tests.support.waiting import eventually

LONG_ENOUGH = 120
"""A timeout in seconds that no step of a test reaches, even on a busy machine."""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs /proc to find processes that are left"
)


class Home:
    """A folder for temporary files that also identifies all processes that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}

    def processes(self) -> list[str]:
        """The living processes that have this folder in their environment or command line.

        Redis overwrites its environment with its title, but the title has the path of the socket.
        """
        mark, found = os.fsencode(self.folder), []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
                environ = (process / "environ").read_bytes()
            except OSError:  # it has just ended, or belongs to another user
                continue
            if int(process.name) != os.getpid() and mark in command + environ:
                found.append(f"{process.name} {command.replace(bytes(1), b' ').decode()}")
        return found

    def is_empty(self) -> bool:
        """Whether it has no process, no socket and no file left."""
        return not self.processes() and not any(self.folder.glob("bankkit-*"))


@contextmanager
def home() -> Iterator[Home]:
    """A new home. Its path is short, because unix sockets in it must have short paths."""
    folder = Path(tempfile.mkdtemp(prefix="home-", dir="/tmp"))
    try:
        yield Home(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Child:
    """A process whose output is read line by line. It leads its own process group.

    A context manager that kills the process if it still runs.
    """

    def __init__(
        self, arguments: Sequence[str | Path], environ: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=ROOT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_output),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def line(self) -> str:
        """The next line of output without the newline; empty at the end of the output."""
        return self._lines.get(timeout=LONG_ENOUGH).removesuffix("\n")

    def line_starting(self, start: str) -> str:
        """The rest of the next line that begins with `start`."""
        while line := self.line():
            if line.startswith(start):
                return line.removeprefix(start)
        raise AssertionError(f"no line starts with {start!r}; stderr: {self.errors()}")

    def wait(self) -> int:
        """Waits for the end. Returns the exit status, negative for the signal that killed it."""
        return self._process.wait(LONG_ENOUGH)

    def errors(self) -> str:
        """Waits for the end. Returns all that the process wrote to stderr."""
        self.wait()
        self._readers[1].join(LONG_ENOUGH)
        return "".join(self._errors)

    def send(self, number: int) -> None:
        """Sends a signal to the process."""
        self._process.send_signal(number)

    def send_to_group(self, number: int) -> None:
        """Sends a signal to the process group, as a terminal does for Ctrl-C."""
        os.killpg(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(LONG_ENOUGH)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)


def python(code: str, environ: Mapping[str, str]) -> Child:
    """Starts a Python process that runs this code."""
    return Child([sys.executable, "-c", code], environ)


def command(*arguments: str, environ: Mapping[str, str] | None = None) -> Child:
    """Starts `python -m bankkit` with these arguments."""
    return Child([sys.executable, "-m", "bankkit", *arguments], environ)


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(address: str) -> bool:
    """Whether a server listens at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            # The system may give the free port to this very connection, which then meets itself.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


@contextmanager
def redis_server(settings: str, port_setting: str = "port") -> Iterator[int]:
    """Starts a Redis outside of any bank, which saves nothing. Yields its port on 127.0.0.1.

    `settings` are lines of its configuration. With TLS, `port_setting` is `tls-port`.
    """
    (port,) = free_ports(1)  # the port of a Cluster's bus is free, too
    server = subprocess.Popen(
        [find_binary().path, "-"],  # from stdin, so that no password is on a command line
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd="/",
    )
    try:
        assert server.stdin is not None
        with server.stdin as stdin:
            stdin.write(f"bind 127.0.0.1\n{port_setting} {port}\nsave ''\n{settings}\n")
        eventually(lambda: accepts(f"127.0.0.1:{port}"))
        yield port
    finally:
        server.kill()
        server.wait()


@contextmanager
def redis_on_tcp(password: str) -> Iterator[str]:
    """The URL of a Redis outside of any bank, on a port of 127.0.0.1."""
    with redis_server(f"requirepass {password}") as port:
        yield f"redis://:{password}@127.0.0.1:{port}/0"
