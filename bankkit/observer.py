"""An observer: an object that a server notifies of each step of each call.

    class Waits(Observer):
        def asked(self, call, account_id, mode):
            print(call.method, "wants to", mode, account_id)

    with bank.server.observe(Waits()):
        ...

The events of one call, in this order:

    arrived                                 the server knows the method and waits for the message
    began                                   a worker thread starts to serve the call
      asked → granted | timed_out | failed        the call asks for the account's lock
      reading → read | failed                     the store reads the account
      committing → committed | failed             the store changes the account
      released                                    the call releases the lock, if it was granted
    replied                                 the reply is ready
    ended                                   the server has finished the call

A call ends without `began` if it is refused, or if its client leaves before a worker thread is
free. `reading` and `committing` are repeated if the account changed between the read and the
commit. Calls that create an account have no lock events, nor have concurrency choices without a
lock.

In production there is no observer. Then the teller uses its locks and its store directly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bankkit.store import Request, Snapshot

Mode = Literal["read", "write"]

_log = logging.getLogger("bankkit")


class Observer:
    """The base class of observers. Each method does nothing: override those you need.

    An observer gets the events of every call that arrives while it observes, and of no other call.
    The server calls one method for each event, in the thread in which the event happens. That
    thread waits for the method, so a slow observer slows the call down.

    If `asked`, `granted`, `reading`, `read` or `committing` raises, the call fails as it would
    after a fault of the server: nothing is applied, the lock is released, and the client gets the
    status of the `BankError`, or INTERNAL for any other exception. Use this to inject a fault. If
    another method raises, the exception is logged and the client gets its usual reply. In both
    cases the observer still gets the events that follow.
    """

    def arrived(self, call: ServedCall) -> None:
        """The server knows the call's method. This runs in the one gRPC thread for all calls."""

    def began(self, call: ServedCall, size: int) -> None:
        """A worker thread starts to serve the call, whose message has `size` bytes."""

    def asked(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call is about to ask for the account's lock and may have to wait."""

    def granted(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call holds the lock."""

    def timed_out(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call did not get the lock in time."""

    def released(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call is about to release the lock.

        This comes before the release; otherwise the next holder's `granted` could come first.
        """

    def reading(self, call: ServedCall, account_id: str) -> None:
        """The call is about to read the account from the store."""

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        """The store has returned the account. No rule has been applied yet."""

    def committing(self, call: ServedCall, account_id: str, change: Change) -> None:
        """The call is about to ask the store for a change."""

    def committed(self, call: ServedCall, account_id: str, change: Change, balance: int) -> None:
        """The store has made the change, or made it earlier for the same request.

        `balance` is the balance for the reply, in cents.
        """

    def failed(self, call: ServedCall, account_id: str, error: Exception) -> None:
        """The call's last step (lock, read or change) failed with this error."""

    def replied(self, call: ServedCall, status: str) -> None:
        """The reply is ready. `status` is the name of its status code."""

    def ended(self, call: ServedCall) -> None:
        """The server has finished the call, whether it began or not. No event follows.

        Every call that arrived gets this event, even after the observation has ended.
        """


@dataclass(eq=False, slots=True)
class ServedCall:
    """One call on the server. If a client retries, each attempt is a call."""

    method: str
    """The name of the RPC, such as `Deposit`."""
    metadata: Sequence[tuple[str, str | bytes]]
    """The gRPC metadata that the client sent with the request."""
    observers: tuple[Observer, ...]
    """The observers at the time the call arrived."""


class Change(NamedTuple):
    """A change of an account that a call asks the store to make."""

    method: Literal["create", "commit", "compare_and_set", "add"]
    """The method of `Store`."""
    value: int
    """The new balance or, for `add`, the difference, in cents."""
    request: Request | None


current_call: ContextVar[ServedCall | None] = ContextVar("current_call", default=None)
"""The observed call that this thread serves; None if the call is not observed."""


def tell(event: Callable[..., None], *what: object) -> None:
    """Calls an observer's method; logs what it raises, because the call must continue."""
    try:
        event(*what)
    except BaseException:
        _log.exception("an observer failed: %r", event)
