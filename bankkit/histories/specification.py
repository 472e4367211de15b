"""Sequential specifications: what an object does when its calls come one at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from bankkit.histories.operation import Operation


class _Any:
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "anything"


ANY: Final = _Any()
"""A result that agrees with every response."""


class UnknownOperation(ValueError):
    """A history has an operation that its model does not describe."""


class Model:
    """The sequential specification of an object. Subclasses describe one kind of object.

    class Switch(Model):
        initial = False

        def apply(self, state, operation):
            match operation.name:
                case "flip":
                    return None, not state
                case "is_on":
                    return state, state
            raise self.unknown(operation)
    """

    initial: Any = None
    """The state before the first operation. Every state must be hashable and must never change."""

    def apply(self, state: Any, operation: Operation) -> tuple[Any, Any] | None:
        """The result of this operation in this state, and the next state.

        The result may be `Raised("NAME")` for an exception, or `ANY`. None instead of the two means
        that the operation cannot take effect in this state: it waits for another state, as
        `acquire` does. If the specification allows several results, `operation.result` tells which
        one to return. Raises `unknown` for an operation that the object does not have.
        """
        raise NotImplementedError

    def keys(self, operation: Operation) -> Iterable[Hashable]:
        """The independent parts of the object that the operation uses, such as its account.

        Operations that have no part in common are checked apart, which is much faster. No key means
        that the operation uses the whole object.
        """
        return ()

    def unknown(self, operation: Operation) -> UnknownOperation:
        """The error for an operation that the object does not have, or with other arguments."""
        return UnknownOperation(
            f"{type(self).__name__} does not describe {operation}. Record only the operations of "
            f"the model, under the names that the model has for them, with positional arguments."
        )
