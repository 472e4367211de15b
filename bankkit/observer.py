"""What a server tells of its calls to an observer, and when.

    class Waits(Observer):
        def asked(self, call, account_id, mode):
            print(call.method, "wants to", mode, account_id)

    with bank.server.observe(Waits()):
        ...

The events of one call, in this order:

    arrived                                 the server knows the method, and waits for the message
    began                                   a worker thread serves the call from here on
      asked → granted | timed_out | failed        the account's lock
      reading → read | failed                     the account, in the store
      committing → committed | failed             a change of it
      released                                    the lock, if it was granted
    replied                                 the answer is made
    ended                                   the server has done with the call

A call that is refused, or whose client goes away before a worker thread is free, ends without
having begun. `reading` and `committing` come again where a commit found that the account had
changed since it was read. Choices without a lock, and calls that create an account, have no events
of a lock.

Production has no observer, and then nothing stands between the teller, its locks and its store.
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
    """Is told of the calls of a server. Each method does nothing: override those you need.

    An observer is told of every call that arrives while it observes, and of no other. It is told
    each event once, in the thread in which it happens, and that thread waits for it: an observer
    that takes long makes the call take long.

    What it raises in `asked`, `granted`, `reading`, `read` or `committing` fails the call, as a
    fault of the server would: nothing is applied, the lock is released, and the client is told the
    status of the `BankError`, or INTERNAL for anything else. That is how a fault is injected. What
    it raises in any other event is logged and changes nothing: the client is told what became of
    its money. Either way the events that follow are told as ever.
    """

    def arrived(self, call: ServedCall) -> None:
        """The server knows the call's method. Told in a thread of gRPC's, which serves them all."""

    def began(self, call: ServedCall, size: int) -> None:
        """A worker thread serves the call. Its message has so many bytes."""

    def asked(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call is about to ask for the account's lock, and may have to wait for it."""

    def granted(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call holds the lock."""

    def timed_out(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call did not get the lock in time."""

    def released(self, call: ServedCall, account_id: str, mode: Mode) -> None:
        """The call is about to release the lock: told before, or the next holder's `granted`
        could come first."""

    def reading(self, call: ServedCall, account_id: str) -> None:
        """The store is about to be asked for the account."""

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        """The store has answered. No rule has been applied yet."""

    def committing(self, call: ServedCall, account_id: str, change: Change) -> None:
        """The store is about to be asked for a change."""

    def committed(self, call: ServedCall, account_id: str, change: Change, balance: int) -> None:
        """The store has made the change, or had made it for the same request before.

        `balance` is the one to answer with, in cents.
        """

    def failed(self, call: ServedCall, account_id: str, error: Exception) -> None:
        """The lock, the read or the change that was asked for last was refused with this error."""

    def replied(self, call: ServedCall, status: str) -> None:
        """The answer is made. `status` is the name of its status code."""

    def ended(self, call: ServedCall) -> None:
        """The server has done with the call, whether it began or not. No event follows.

        It is told of every call that arrived, also after the end of the observation.
        """


@dataclass(eq=False, slots=True)
class ServedCall:
    """One call, as the server has it. Each attempt of a client that retries is one."""

    method: str
    """`Deposit`, for one."""
    metadata: Sequence[tuple[str, str | bytes]]
    """What the client sent along with the request, in gRPC's words."""
    observers: tuple[Observer, ...]
    """Those that observed when the call arrived."""


class Change(NamedTuple):
    """A change of an account that the store is asked for."""

    method: Literal["create", "commit", "compare_and_set", "add"]
    """Of `Store`."""
    value: int
    """The new balance or, for `add`, the difference, in cents."""
    request: Request | None


current_call: ContextVar[ServedCall | None] = ContextVar("current_call", default=None)
"""The call that this thread serves, if anybody observes it."""


def tell(event: Callable[..., None], *what: object) -> None:
    """Tells an observer of an event that must go on whatever the observer raises."""
    try:
        event(*what)
    except BaseException:
        _log.exception("an observer failed: %r", event)
