"""Two requests use one connection that fails, and both remove it from the pool."""

from __future__ import annotations

import contextlib
import ssl
import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

library: Any = import_module("httpcore")
CONTEXT = ssl.create_default_context()  # to make one takes longer than a schedule


class Backend:
    """A network without a server."""

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        """Raise what httpcore raises if nobody listens."""
        raise library.ConnectError("refused")


def scenario(_: Any) -> None:
    """The connection might become HTTP/2, so that it takes both requests."""
    pool = library.ConnectionPool(http2=True, network_backend=Backend(), ssl_context=CONTEXT)

    def get() -> None:
        with contextlib.suppress(library.ConnectError):
            pool.request("GET", "https://localhost/")

    together(threading, get, get)


SETTINGS = {"patch": [sys.modules[__name__], library], "preemptions": 2}
