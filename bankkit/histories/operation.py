"""A call as data: who called what, when, and how the call ended."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The response of a call that raised an exception."""

    name: str
    """The exception's `reason`, such as `INSUFFICIENT_FUNDS`; else the name of its class."""

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """The response that this exception is."""
        reason = getattr(error, "reason", None)
        is_name = isinstance(reason, str) and reason.isidentifier()
        return cls(str(reason) if is_name else type(error).__name__)

    def __str__(self) -> str:
        return f"raised {self.name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of an object that several clients use.

    Two calls overlap if neither ended before the other started; a call that starts at the moment
    at which another ends overlaps it.
    """

    client: str
    """The thread or process that called. Its calls stand in a history in its own order."""
    name: str
    arguments: tuple[Any, ...] = ()
    start: float = 0
    """When it was called, on any clock that all clients share."""
    end: float = inf
    """When it returned; infinite if its response is not known. Such a call may have taken effect
    at any time after `start`, or not at all."""
    result: Any = None
    """What it returned, or `Raised`. Without meaning if `end` is infinite."""
    object: str = ""
    """The name of the object, if the history has several."""
    keywords: tuple[tuple[str, Any], ...] = ()
    """The names and values of its keyword arguments."""

    @property
    def is_pending(self) -> bool:
        """Whether its response is not known."""
        return self.end == inf

    @property
    def response(self) -> str:
        """How it ended, in words: `returned 5`, `raised Empty`."""
        if self.is_pending:
            return "has not returned"
        return str(self.result) if isinstance(self.result, Raised) else f"returned {self.result!r}"

    def __str__(self) -> str:
        arguments = [repr(each) for each in self.arguments]
        arguments += [f"{name}={value!r}" for name, value in self.keywords]
        before = f"{self.object}." if self.object else ""
        return f"{before}{self.name}({', '.join(arguments)})"
