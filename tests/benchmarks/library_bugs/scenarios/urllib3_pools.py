"""Two threads ask for the same host, and both make a pool; the first pool is then closed."""

from __future__ import annotations

import collections
import collections.abc
import sys
import threading
from importlib import import_module
from typing import Any

from tests.explorer.specimens import together

vars(collections)["MutableMapping"] = collections.abc.MutableMapping  # gone since Python 3.10
library: Any = import_module("urllib3")


def scenario(_: Any) -> None:
    """Both threads must get the same pool."""
    manager = library.PoolManager()
    pools: list[Any] = []
    together(threading, *[lambda: pools.append(manager.connection_from_host("localhost"))] * 2)
    assert pools[0] is pools[1], "two pools for one host"


SETTINGS = {"patch": [sys.modules[__name__], library], "preemptions": 2}
