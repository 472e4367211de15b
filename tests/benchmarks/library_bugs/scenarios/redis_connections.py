"""What both scenarios of redis-py need."""

from __future__ import annotations

import os
from typing import Any


class Connection:
    """A connection to no server."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.pid = os.getpid()

    def connect(self) -> None:
        """Do nothing."""

    def disconnect(self) -> None:
        """Do nothing."""

    def can_read(self, timeout: float = 0) -> bool:
        """Return False: the server never says anything."""
        return False
