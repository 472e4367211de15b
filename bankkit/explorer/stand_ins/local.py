"""A stand-in for `threading.local`."""

from __future__ import annotations

from typing import Any, ClassVar

from bankkit.explorer.engine.scheduler import Scheduler


class Local:
    """An object whose attributes are different in each virtual thread."""

    __slots__ = ("__dict__", "__weakref__", "_explorer_parts")
    _explorer: ClassVar[Scheduler]

    def __new__(cls, *args: Any, **kwargs: Any) -> Local:
        """Prepare the present thread's attributes; each other thread gets its own on first use."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        parts = Parts(cls._explorer, args, kwargs)
        parts.of_task[cls._explorer.current.index] = object.__getattribute__(self, "__dict__")
        object.__setattr__(self, "_explorer_parts", parts)
        return self

    def __getattribute__(self, name: str) -> Any:
        _enter(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        _enter(self)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(
                f"{type(self).__name__!r} object attribute '__dict__' is read-only"
            )
        _enter(self)
        object.__delattr__(self, name)


class Parts:
    """The attributes of a `Local` in each thread, and the arguments that it was made with."""

    def __init__(self, scheduler: Scheduler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.scheduler = scheduler
        self.args = args
        self.kwargs = kwargs
        self.schedule = scheduler.schedule
        self.of_task: dict[int, dict[str, Any]] = {}
        """The attributes by the thread's start order."""


def _enter(local: Local) -> None:
    """Give the object the present thread's attributes.

    The `__init__` of a subclass runs once for each thread.
    """
    parts: Parts = object.__getattribute__(local, "_explorer_parts")
    if parts.schedule != parts.scheduler.schedule:
        parts.schedule = parts.scheduler.schedule
        parts.of_task.clear()  # these threads are over
    index = parts.scheduler.current.index
    own = parts.of_task.get(index)
    if own is not None:
        object.__setattr__(local, "__dict__", own)
        return
    own = parts.of_task[index] = {}
    object.__setattr__(local, "__dict__", own)
    local.__init__(*parts.args, **parts.kwargs)  # type: ignore[misc]
