"""Checks the history of each schedule that ends well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bankkit.explorer.errors import ScenarioError
from bankkit.histories.diagram import diagram
from bankkit.histories.operation import Operation

Check = Callable[[tuple[Operation, ...]], object]
"""Takes the calls of a schedule. It returns None or True if they are right; otherwise it returns an
explanation or False, or raises AssertionError."""


class FailedCheck(AssertionError):
    """The check of a history says that the schedule is wrong."""

    def __init__(self, reason: str, history: tuple[Operation, ...]) -> None:
        self.reason = reason
        self.history = history
        self.diagram = diagram(history)
        super().__init__(f"{reason}\n\n{self.diagram}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.history), self.__dict__


class HistoryCheck:
    """A check, with what it has said about other histories: an equal one is not checked again."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._known: dict[object, str] = {}
        self._has_run = self._has_seen_calls = False

    def failure(self, history: tuple[Operation, ...]) -> FailedCheck | None:
        """What is wrong with the history; None if nothing is."""
        self._has_run = True
        self._has_seen_calls |= bool(history)
        key = history, tuple([type(each.result) for each in history])  # 1 equals True
        try:
            reason = self._known.get(key)
        except TypeError:  # an argument or a result is not hashable
            reason = self._reason(history)
        else:
            if reason is None:
                reason = self._known[key] = self._reason(history)
        return FailedCheck(reason, history) if reason else None

    def _reason(self, history: tuple[Operation, ...]) -> str:
        try:
            answer: Any = self._check(history)
        except AssertionError as error:
            return str(error) or "the check raised AssertionError."
        if answer is None or answer is True:
            return ""
        if answer is False:
            return "the check returned False."
        if not isinstance(answer, str) or not answer:
            raise TypeError(
                f"check= must return None or True, or else an explanation or False, not {answer!r}."
            )
        return answer

    def require_calls(self) -> None:
        """Raise `ScenarioError` if no schedule had a call, so that nothing was checked."""
        if self._has_run and not self._has_seen_calls:
            raise ScenarioError(
                "check= had nothing to check, because the scenario recorded no call. Record the "
                "calls of an object with threading.recorded(thing), or call by call with "
                "threading.history()."
            )
