"""A stand-in for the module `_thread`, on which `threading` is built."""

from __future__ import annotations

import _thread as real
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from bankkit.explorer.stand_ins.stand_in import Threading


class LowLevel:
    """Stands in for the module `_thread`."""

    NAMES: ClassVar = (
        "LockType", "RLock", "_local", "allocate_lock", "get_ident", "get_native_id", "lock",
        "stack_size", "start_new", "start_new_thread",
    )  # fmt: skip
    error = real.error
    TIMEOUT_MAX = real.TIMEOUT_MAX

    def __init__(self, threading: Threading) -> None:
        self._threading = threading
        self.LockType = self.lock = self.allocate_lock = threading.Lock
        self.RLock = threading.RLock
        self._local = threading.local
        self.get_ident = self.get_native_id = threading.get_ident
        self.stack_size = threading.stack_size

    def start_new_thread(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
    ) -> int:
        """Call the function in a new virtual thread, and return the thread's ident."""
        thread = self._threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return int(thread.ident)

    start_new = start_new_thread

    def exit(self) -> None:
        """End the present thread."""
        raise SystemExit

    def __getattr__(self, name: str) -> Any:
        if hasattr(real, name) and self._threading._scheduler.is_running:
            self._threading._scheduler.refuse(
                f"The scenario uses `_thread.{name}`, for which the explorer has no stand-in."
            )
        raise AttributeError(f"The explorer's `_thread` has no attribute {name!r}.")
