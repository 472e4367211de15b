"""Wrappers around a teller's locks and store that report each call's steps to one observer.

For several observers we nest the wrappers: the observer that was added first has the innermost one,
next to the lock and the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, TypeVar

from bankkit.accounts import Account
from bankkit.locks import Fence, LeaseLost, LockStatistics, LockTable, LockTimeout
from bankkit.observer import Change, Mode, Observer, ServedCall, current_call, tell
from bankkit.store import Request, Snapshot, Store

T = TypeVar("T", int, Account)

Guard = AbstractContextManager[Fence | None]


class ObservedLocks:
    """A `LockTable` that reports to an observer when a call asks for, gets and releases a lock."""

    def __init__(self, table: LockTable | ObservedLocks, observer: Observer) -> None:
        self._table = table
        self._observer = observer

    def read(self, key: str, timeout: float | None = None) -> Guard:
        return self._observed(self._table.read(key, timeout), key, "read")

    def write(self, key: str, timeout: float | None = None) -> Guard:
        return self._observed(self._table.write(key, timeout), key, "write")

    def statistics(self, key: str) -> LockStatistics | None:
        return self._table.statistics(key)

    def __len__(self) -> int:
        return len(self._table)

    def _observed(self, guard: Guard, account_id: str, mode: Mode) -> Guard:
        call = _call_of(self._observer)
        return _ObservedGuard(guard, self._observer, call, account_id, mode) if call else guard


class _ObservedGuard:
    """A lock's context manager that reports each step to an observer."""

    __slots__ = ("_account_id", "_call", "_guard", "_mode", "_observer")

    def __init__(
        self, guard: Guard, observer: Observer, call: ServedCall, account_id: str, mode: Mode
    ) -> None:
        self._guard = guard
        self._observer = observer
        self._call = call
        self._account_id = account_id
        self._mode = mode

    def __enter__(self) -> Fence | None:
        self._observer.asked(self._call, self._account_id, self._mode)
        try:
            fence = self._guard.__enter__()
        except LockTimeout:
            tell(self._observer.timed_out, self._call, self._account_id, self._mode)
            raise
        except Exception as error:
            tell(self._observer.failed, self._call, self._account_id, error)
            raise
        try:
            self._observer.granted(self._call, self._account_id, self._mode)
        except BaseException as error:
            with suppress(LeaseLost):
                self.__exit__(type(error), error, error.__traceback__)
            raise
        return fence

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        tell(self._observer.released, self._call, self._account_id, self._mode)
        return self._guard.__exit__(kind, error, traceback)


class ObservedStore:
    """A `Store` that reports reads and changes; it has only the methods that a teller uses."""

    def __init__(self, store: Store | ObservedStore, observer: Observer) -> None:
        self._store = store
        self._observer = observer

    def read(
        self, account_id: str, request: Request | None = None, generation: int = 0
    ) -> Snapshot:
        call = _call_of(self._observer)
        if call is None:
            return self._store.read(account_id, request, generation)
        self._observer.reading(call, account_id)
        try:
            snapshot = self._store.read(account_id, request, generation)
        except Exception as error:
            tell(self._observer.failed, call, account_id, error)
            raise
        self._observer.read(call, account_id, snapshot)
        return snapshot

    def fence(self, account_id: str) -> None:
        self._store.fence(account_id)

    def create(self, account_id: str, account_type: str) -> Account:
        change = Change("create", 0, None)
        return self._change(account_id, change, self._store.create, account_type)

    def commit(
        self, account_id: str, balance: int, request: Request | None = None, *rest: Any
    ) -> int:
        change = Change("commit", balance, request)
        return self._change(account_id, change, self._store.commit, balance, request, *rest)

    def compare_and_set(
        self,
        account_id: str,
        expected: int,
        balance: int,
        request: Request | None = None,
        *rest: Any,
    ) -> int:
        change, apply = Change("compare_and_set", balance, request), self._store.compare_and_set
        return self._change(account_id, change, apply, expected, balance, request, *rest)

    def add(
        self,
        account_id: str,
        delta: int,
        floor: int,
        cap: int,
        request: Request | None = None,
        *rest: Any,
    ) -> int:
        change = Change("add", delta, request)
        return self._change(account_id, change, self._store.add, delta, floor, cap, request, *rest)

    def _change(
        self, account_id: str, change: Change, apply: Callable[..., T], *arguments: Any
    ) -> T:
        call = _call_of(self._observer)
        if call is None:
            return apply(account_id, *arguments)
        self._observer.committing(call, account_id, change)
        try:
            result = apply(account_id, *arguments)
        except Exception as error:
            tell(self._observer.failed, call, account_id, error)
            raise
        balance = result.balance if isinstance(result, Account) else result
        tell(self._observer.committed, call, account_id, change, balance)
        return result


def _call_of(observer: Observer) -> ServedCall | None:
    """The call that this thread serves, or None if this observer does not observe it."""
    call = current_call.get()
    return call if call is not None and observer in call.observers else None
