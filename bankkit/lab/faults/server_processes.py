"""Servers that can be held up, paused and killed, and what they noted until then."""

from __future__ import annotations

import fcntl
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from bankkit.lab.recording.events import EventKind, RecordedEvent, client_of
from bankkit.lab.recording.history import History
from bankkit.redis_backend import VARIABLE
from bankkit.supervisor.supervised import LOG, SupervisedProcess, Supervisor, same_imports

LOOK_SECONDS = 0.002
"""How often to look for news of another process: those in a file survive it."""

PATIENCE_SECONDS = 30.0
"""What takes longer than this will not happen any more."""

T = TypeVar("T")


class FaultyServer:
    """A server in a process of its own, which ends with this one.

    It starts at once and in the background. Raises `NotRunning` where the process is not in the
    state that a method needs, TimeoutError for what does not come about.
    """

    def __init__(self, name: str, supervisor: Supervisor, redis: str, arguments: list[str]) -> None:
        self.name = name
        self._process = SupervisedProcess(
            [sys.executable, "-m", "bankkit.lab.faults.server_script", name, *arguments],
            # Not on the command line, which everybody may read: the URL may hold a password.
            env={VARIABLE: redis, **same_imports()},
            files={"gate": ""},
            what=name,
            supervisor=supervisor,
        )
        self._rows: list[dict[str, Any]] = []
        self._read = 0  # bytes of what it wrote
        self._faults: list[RecordedEvent] = []
        self._process.start()
        self._gate = (self._process.directory / "gate").open()

    @property
    def address(self) -> str:
        """`HOST:PORT`, once it serves."""
        return str(self.wait_for("started")["note"])

    def hold_up(self) -> None:
        """From now on, calls wait between their read and what follows."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)

    def let_go(self) -> None:
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._note("killed")  # before it is, or what follows from it could seem to come first
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP; returns when it has stopped."""
        self._note("paused")
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._note("resumed")
        self._process.resume()

    def close(self) -> None:
        self._gate.close()
        self._process.close()

    def noted(self, kind: EventKind, client: str = "") -> dict[str, Any] | None:
        """The latest such event of the client's calls, if there is one."""
        self._take_news()
        for row in reversed(self._rows):
            if row["kind"] == kind and client_of(row["call"]) == client:
                found: dict[str, Any] = row
                return found
        return None

    def wait_for(self, kind: EventKind, client: str = "") -> dict[str, Any]:
        """The same, once there is one."""

        def look() -> dict[str, Any] | None:
            found = self.noted(kind, client)
            if found is None:
                self._process.status()  # raises once it is gone, with its last words
            return found

        return until(look)

    @property
    def history(self) -> History:
        """What it noted, and its faults."""
        self._take_news()
        rows = (row for row in self._rows if row["kind"] != "started")  # it serves from the start
        return History.merge(History.from_rows(rows), History(self._faults))

    def _note(self, kind: EventKind) -> None:
        self._faults.append(RecordedEvent(time.monotonic_ns(), "", kind, server=self.name))

    def _take_news(self) -> None:
        with (self._process.directory / LOG).open("rb") as log:
            log.seek(self._read)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._rows += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def until(look: Callable[[], T | None]) -> T:
    """What `look` returns, once it is true; for what nobody can be told of.

    TimeoutError if it never is.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("What was to happen in the experiment does not happen.")
        time.sleep(LOOK_SECONDS)
    return found
