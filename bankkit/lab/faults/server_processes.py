"""Servers that an experiment can hold, pause and kill, and the events that they recorded."""

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
"""Seconds between looks for new events of another process. They are in a file, so that they survive
the process."""

PATIENCE_SECONDS = 30.0
"""An event that has not happened after this time counts as failed."""

T = TypeVar("T")


class FaultyServer:
    """A server in its own process, which ends with this process.

    It starts at once, in the background. Its methods raise `NotRunning` if the process is not in
    the state that they need, and TimeoutError if an expected event does not happen.
    """

    def __init__(self, name: str, supervisor: Supervisor, redis: str, arguments: list[str]) -> None:
        self.name = name
        self._process = SupervisedProcess(
            [sys.executable, "-m", "bankkit.lab.faults.server_script", name, *arguments],
            # Any user can read the command line, and the URL may contain a password.
            env={VARIABLE: redis, **same_imports()},
            files={"gate": ""},
            what=name,
            supervisor=supervisor,
        )
        self._rows: list[dict[str, Any]] = []
        self._read = 0  # bytes of its log
        self._faults: list[RecordedEvent] = []
        self._process.start()
        self._gate = (self._process.directory / "gate").open()

    @property
    def address(self) -> str:
        """`HOST:PORT`; waits until the server listens."""
        return str(self.wait_for("started")["note"])

    def hold_up(self) -> None:
        """From now on, make each call wait between its read and its next step."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """Let the calls go on that `hold_up` made wait."""
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process has ended."""
        self._note("killed")  # before the kill, so that its consequences get later times
        self._process.kill()

    def pause(self) -> None:
        """Send SIGSTOP, and wait until the process has stopped."""
        self._note("paused")
        self._process.pause()

    def resume(self) -> None:
        """Send SIGCONT."""
        self._note("resumed")
        self._process.resume()

    def close(self) -> None:
        """End the process."""
        self._gate.close()
        self._process.close()

    def noted(self, kind: EventKind, client: str = "") -> dict[str, Any] | None:
        """The latest event of this kind in the client's calls, or None."""
        self._take_news()
        for row in reversed(self._rows):
            if row["kind"] == kind and client_of(row["call"]) == client:
                found: dict[str, Any] = row
                return found
        return None

    def wait_for(self, kind: EventKind, client: str = "") -> dict[str, Any]:
        """Wait for an event of this kind in the client's calls, and return it."""

        def look() -> dict[str, Any] | None:
            found = self.noted(kind, client)
            if found is None:
                self._process.status()  # if it has ended, raises with its last output
            return found

        return until(look)

    @property
    def history(self) -> History:
        """The events that the server recorded, and the faults of its process."""
        self._take_news()
        # A history shows every server as up from the start, so that `started` would add nothing.
        rows = (row for row in self._rows if row["kind"] != "started")
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
    """Call `look` until it returns a true value, and return that value.

    Raises TimeoutError if there is none within `PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"An event of the experiment did not happen within {PATIENCE_SECONDS:g} s. "
                "Run the experiment again; a busy machine can be too slow."
            )
        time.sleep(LOOK_SECONDS)
    return found
