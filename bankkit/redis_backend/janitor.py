"""Sweeps a bank's namespace in the user's own Redis when the bank ends."""

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
"""Seconds that the child process may take to end; it needs a fraction of a second."""

_log = logging.getLogger("bankkit")


def sweep_at_death(url: str, namespace: str) -> Janitor:
    """Start a child process that deletes all keys of the namespace after the end of this process.

    Does not wait for the child to start.
    """
    return Janitor(url, namespace)


class Janitor:
    """A child process that sweeps a namespace after the end of this process."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._lock = threading.Lock()
        self._closed = False
        self._process = ParentPipe(Path(__file__).with_name("janitor_script.py"))
        # This process may import from places outside site-packages, such as a clone.
        here = str(Path(__file__).parents[2])
        order = {"url": url, "namespace": namespace, "path": [here, *sys.path]}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def close(self) -> None:
        """Sweep now and end the child. Safe to call again; does nothing in a forked child."""
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
