"""A thread closes the connection, while another waits in recv."""

from __future__ import annotations

import contextlib
import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

connection: Any = import_module("websockets.sync.connection")
client: Any = import_module("websockets.client")
protocol: Any = import_module("websockets.protocol")
exceptions: Any = import_module("websockets.exceptions")


class Socket:
    """A socket whose other side never answers."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def recv(self, size: int) -> bytes:
        """Wait until the socket is closed."""
        self._closed.wait()
        return b""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: whoever closes the connection does not wait for long."""

    def sendall(self, data: bytes) -> None:
        """Do nothing."""

    def shutdown(self, how: int) -> None:
        """End the other thread's recv."""
        self._closed.set()

    def close(self) -> None:
        """End the other thread's recv."""
        self._closed.set()


def scenario(_: Any) -> None:
    """The closing handshake times out."""
    side = protocol.Protocol(protocol.Side.CLIENT, state=protocol.State.OPEN)
    open_one = connection.Connection(Socket(), side)

    def receive() -> None:
        with contextlib.suppress(exceptions.ConnectionClosed):
            open_one.recv()

    together(threading, receive, open_one.close)


SETTINGS = {
    "patch": [sys.modules[__name__], import_module("websockets")],
    "preemptions": 1,
    "timeouts": 1,
}
