"""The processes of a parallel search."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bankkit.explorer.parallel.messages import Report

_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from bankkit.explorer.parallel.worker import main; main()"
)


class Team:
    """Processes that each do one job. They end with the `with` block, whatever they do.

    They import the code of their jobs themselves, and nothing of `__main__`.
    """

    def __init__(self, jobs: Sequence[bytes]) -> None:
        self._jobs = jobs
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reports: queue.SimpleQueue[tuple[int, Report | None]] = queue.SimpleQueue()

    def __enter__(self) -> Team:
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        environment = dict(os.environ)
        if environment.get("PYTHONHASHSEED", "random") in ("", "random"):
            # They share one search, so sets of texts must have one order in all of them. That of
            # this process cannot be known.
            environment["PYTHONHASHSEED"] = "0"
        try:
            for number, job in enumerate(self._jobs):
                process = subprocess.Popen(
                    [sys.executable, *flags, "-c", _START],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                self._processes.append(process)
                reader = threading.Thread(target=self._receive, args=(number,), daemon=True)
                reader.start()
                self.send(number, [each for each in sys.path if isinstance(each, str)])
                self.send(number, job)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with suppress(OSError):  # what was not yet sent
                if process.stdin is not None:
                    process.stdin.close()
            process.wait()

    def send(self, number: int, message: Any) -> None:
        """Send a message to one process. Nothing happens if it has died: `next` tells of it."""
        stream = self._processes[number].stdin
        assert stream is not None
        with suppress(OSError):
            pickle.dump(message, stream, pickle.HIGHEST_PROTOCOL)
            stream.flush()

    def next(self, seconds: float) -> tuple[int, Report | None]:
        """The next report, with the number of its process; None if it died without one.

        Raises `queue.Empty` if there is none after so many seconds.
        """
        return self._reports.get(timeout=max(seconds, 0.0))

    def status(self, number: int) -> int:
        """The exit status of a process that has ended: its negative signal, if one ended it."""
        return self._processes[number].wait()

    def _receive(self, number: int) -> None:
        stream = self._processes[number].stdout
        assert stream is not None
        with stream:
            while True:
                try:
                    report = pickle.load(stream)
                except Exception:  # it has ended, or was ended in the middle of a report
                    self._reports.put((number, None))
                    return
                self._reports.put((number, report))
