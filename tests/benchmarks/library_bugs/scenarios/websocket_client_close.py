"""A thread closes the connection; the thread that runs it forgets the socket meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("websocket")
app_module: Any = import_module("websocket._app")


class Socket:
    """A WebSocket whose other side never sends anything."""

    close_frame = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sock = self
        self._closed = threading.Event()

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing."""

    def connect(self, url: str, **settings: Any) -> None:
        """Do nothing."""

    def recv_data_frame(self, control: bool) -> Any:
        """Wait until the connection is closed."""
        self._closed.wait()
        raise library.WebSocketConnectionClosedException("closed")

    def close(self, **settings: Any) -> None:
        """End the other thread's wait."""
        self._closed.set()


class Dispatcher:
    """Calls back when there is something to read. Applications may bring one of their own."""

    def signal(self, number: int, handler: object) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def read(self, sock: Any, callback: Callable[[], bool]) -> None:
        """Call back until the connection is closed."""
        while callback():
            pass


def scenario(_: Any) -> None:
    """One thread runs the application, and the other closes it once it is open."""
    app_module.WebSocket = Socket
    is_open = threading.Event()
    app = library.WebSocketApp("ws://localhost/", on_open=lambda app: is_open.set())

    def close() -> None:
        is_open.wait()
        app.close()

    together(threading, lambda: app.run_forever(dispatcher=Dispatcher()), close)


SETTINGS = {
    "patch": [sys.modules[__name__], library],
    "lines": [library.WebSocketApp.close],
    "preemptions": 1,
}
