"""Sees to it that a namespace in a Redis of the user's own is swept when its bank ends."""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path

from bankkit.redis_backend.connection import ERRORS, connect
from bankkit.redis_backend.namespaces import sweep
from bankkit.supervisor.parent_pipe import ParentPipe

STOP_SECONDS = 10.0
"""How long the child process may take to end; it needs a fraction of a second."""

_log = logging.getLogger("bankkit")


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
        self._process = ParentPipe(Path(__file__).with_name("janitor_script.py"))
        # What this process imports from is not always in site-packages: think of a clone.
        here = str(Path(__file__).parents[2])
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
                except ERRORS as error:
                    _log.warning("Keys of namespace %s may remain: %s", self._namespace, error)
            self._process.close(STOP_SECONDS)
