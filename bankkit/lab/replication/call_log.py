"""Records every call of some clients, and its status, during a run in which something breaks.

A lesson uses it like this:

    log = CallLog()

    def deposits(account):
        while log.is_open:
            request = bank_pb2.DepositRequest(account_id=account, amount=1, request_id=new_id())
            while log.call(bank.stub.Deposit, request) != "OK":
                time.sleep(0.05)

    with log.clients(deposits, "alice", "bob"):
        log.wait_for_each(10)
        log.mark("node 1 killed")
        ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc

CALL_SECONDS = 5.0
"""The deadline of a call, in seconds."""

WAIT_SECONDS = 30.0
"""How long `wait_for_each` waits for a bank that may just be replacing a node."""

LEAVE_SECONDS = 10.0
"""How long a client may continue after the end of the run, to get its last request answered."""


class LoggedCall(NamedTuple):
    """One attempt of a call. Times are of `time.monotonic_ns`."""

    account: str
    began: int
    ended: int
    code: str
    """The name of the status."""

    @property
    def is_ok(self) -> bool:
        """Whether the call was acknowledged."""
        return self.code == "OK"


class LoggedEvent(NamedTuple):
    """Something that was done to the bank or observed in it, at a time of `time.monotonic_ns`."""

    at: int
    words: str


class CallLog:
    """A log of every attempt of a call and its status. Safe for any number of threads."""

    def __init__(self) -> None:
        self._calls: list[LoggedCall] = []
        self._marks: list[LoggedEvent] = []
        self._accounts: tuple[str, ...] = ()
        self._changed = threading.Condition()
        self._deadline: float | None = None
        """When clients must have given up their last requests; None while the run lasts."""

    @property
    def is_open(self) -> bool:
        """Whether a client should start new work."""
        return self._deadline is None

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts given to `clients`, in that order, and then any others that were called."""
        return tuple(dict.fromkeys((*self._accounts, *(call.account for call in self.calls))))

    @property
    def calls(self) -> tuple[LoggedCall, ...]:
        """The attempts so far, in the order in which they ended."""
        with self._changed:
            return tuple(self._calls)

    @property
    def marks(self) -> tuple[LoggedEvent, ...]:
        """The events so far, in order."""
        with self._changed:
            return tuple(self._marks)

    def call(self, method: Callable[..., Any], request: Any) -> str:
        """Make one call of a stub, record it, and return the name of its status."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise _LogFrozen
        began = time.monotonic_ns()
        code = "OK"
        try:
            method(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            code = error.code().name
        with self._changed:
            self._calls.append(LoggedCall(request.account_id, began, time.monotonic_ns(), code))
            self._changed.notify_all()
        return code

    def mark(self, words: str) -> None:
        """Record that something happens now."""
        with self._changed:
            self._marks.append(LoggedEvent(time.monotonic_ns(), words))

    def acknowledged(self, account: str) -> int:
        """How many calls for this account were answered with OK."""
        return sum(call.is_ok for call in self.calls if call.account == account)

    def failed(self, account: str) -> int:
        """How many calls for this account got an error."""
        return sum(not call.is_ok for call in self.calls if call.account == account)

    @contextmanager
    def clients(self, work: Callable[[str], object], *accounts: str) -> Iterator[None]:
        """Run `work(account)` in a thread for each account during the block.

        `work` should return soon after `is_open` has become false. What it raises is raised here.
        """
        self._accounts += tuple(name for name in accounts if name not in self._accounts)
        errors: list[BaseException] = []

        def run(account: str) -> None:
            try:
                work(account)
            except _LogFrozen:
                pass
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=run, args=(name,), name=f"client of {name}", daemon=True)
            for name in accounts
        ]
        self._deadline = None
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._deadline = time.monotonic() + LEAVE_SECONDS
            for thread in threads:
                thread.join(LEAVE_SECONDS + CALL_SECONDS)
        if errors:
            raise errors[0]

    def wait_for_each(self, number: int) -> None:
        """Wait until each account has `number` more acknowledged calls than it has now.

        Raises TimeoutError after 30 s.
        """
        wanted = {account: self.acknowledged(account) + number for account in self._accounts}

        def is_served() -> bool:
            found = dict.fromkeys(wanted, 0)
            for call in self._calls:
                found[call.account] = found.get(call.account, 0) + call.is_ok
            return all(found[account] >= count for account, count in wanted.items())

        with self._changed:
            if not self._changed.wait_for(is_served, WAIT_SECONDS):
                raise TimeoutError(f"Not every account was served within {WAIT_SECONDS:g} s.")


class _LogFrozen(Exception):
    """Ends a client that still makes calls after the deadline of the run."""
