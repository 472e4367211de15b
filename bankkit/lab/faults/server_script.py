"""A server of a bank in a separate process, which may be killed at any moment.

    python -m bankkit.lab.faults.server_script NAME NAMESPACE CONCURRENCY LEASE [--without-fencing]

It writes every event to stdout as it happens, one JSON object a line, each in one system call: no
event is lost when the server is killed. The first one gives the address. It runs until it is
killed.

After each read of an account it waits for a lock (`flock`) on the file `gate` in its working
directory, so that its parent can stop it before the commit. Then it sleeps briefly, so that each
call is visible in a picture.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import threading
import time
from contextlib import closing
from pathlib import Path

from bankkit.lab.recording.recorder import Entry, Log
from bankkit.locks import Fence
from bankkit.observer import Observer, ServedCall
from bankkit.options import BankOptions
from bankkit.redis_backend import VARIABLE, connection
from bankkit.server import Server
from bankkit.store import Request, Snapshot, Store

GATE = Path("gate")
DWELL_SECONDS = 0.06


def main() -> None:
    """Serve until the process is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("namespace")
    parser.add_argument("concurrency")
    parser.add_argument("lease", type=float)
    parser.add_argument("--without-fencing", action="store_true")
    options = parser.parse_args()
    make_store = _UnfencedStore if options.without_fencing else Store
    log = Log(_Stdout(options.name))
    with closing(connection.connect(os.environ[VARIABLE])) as client:
        server = Server(
            make_store(client, options.namespace),
            BankOptions(
                options.concurrency,
                lease=options.lease,
                name=options.name,
                unsafe=True,  # an experiment, whatever it does to the money
            ),
        )
        with server.observe(log), server.observe(_HeldUp()):
            server.start()
            log.add("", "started", note=server.address)
            threading.Event().wait()


class _HeldUp(Observer):
    """Holds a call up after its read: until the gate is free, and then for a moment."""

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        with GATE.open() as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
        time.sleep(DWELL_SECONDS)


class _Stdout:
    """Where the log's entries go; in lines that name the server."""

    def __init__(self, server: str) -> None:
        self._server = server

    def append(self, entry: Entry, /) -> None:
        names = ("at", "call", "kind", "account", "value", "note", "server")
        row = dict(zip(names, (*entry, self._server), strict=True))
        os.write(1, f"{json.dumps(row)}\n".encode())


class _UnfencedStore(Store):
    """Changes accounts whoever holds the lock by now."""

    def commit(
        self,
        account_id: str,
        balance: int,
        request: Request | None = None,
        epoch: str = "",
        fence: Fence | None = None,
        generation: int = 0,
    ) -> int:
        return super().commit(account_id, balance, request, epoch, generation=generation)


if __name__ == "__main__":
    main()
