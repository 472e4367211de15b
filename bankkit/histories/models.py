"""Sequential specifications of common objects."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from bankkit.histories.operation import Operation, Raised
from bankkit.histories.specification import ANY, Model


class RegisterModel(Model):
    """A variable: `read()`, `write(value)` and `compare_and_set(expected, new)`.

    `compare_and_set` returns whether the value was the expected one and is now the new one.
    """

    def __init__(self, initial: Hashable = 0) -> None:
        self.initial = initial

    def apply(self, state: Any, operation: Operation) -> tuple[Any, Any] | None:
        """The result and the next value."""
        match operation.name, *operation.arguments:
            case ["read"]:
                return state, state
            case ["write", value]:
                return None, value
            case ["compare_and_set", expected, new]:
                return (True, new) if state == expected else (False, state)
        raise self.unknown(operation)


class CounterModel(Model):
    """A number: `add(amount)` or `increment()`, and `value()`.

    An addition may return the new number or None.
    """

    def __init__(self, initial: int = 0) -> None:
        self.initial = initial

    def apply(self, state: int, operation: Operation) -> tuple[Any, Any] | None:
        """The result and the next number."""
        match operation.name, *operation.arguments:
            case ["value"]:
                return state, state
            case ["increment"]:
                return _if_told(operation, state + 1), state + 1
            case ["add", amount]:
                return _if_told(operation, state + amount), state + amount
        raise self.unknown(operation)


_EMPTY, _FULL = Raised("Empty"), Raised("Full")


class QueueModel(Model):
    """A first-in-first-out queue: `put(item)`, `get()`, `empty()`, `full()` and `qsize()`.

    `empty` and `full` are what `get` gives if there is no item, and what `put` gives at `capacity`
    items: by default the exceptions of the module `queue`. None as `capacity` means no limit.
    `put_nowait` and `get_nowait` mean the same as `put` and `get`.
    """

    def __init__(
        self,
        capacity: int | None = None,
        *,
        empty: Any = _EMPTY,
        full: Any = _FULL,
    ) -> None:
        self.initial: tuple[Any, ...] = ()
        self._capacity = capacity
        self._empty = empty
        self._full = full

    def apply(self, state: tuple[Any, ...], operation: Operation) -> tuple[Any, Any] | None:
        """The result and the items that the queue then has, the next one to get first."""
        is_full = self._capacity is not None and len(state) >= self._capacity
        match operation.name, *operation.arguments:
            case ["put" | "put_nowait", item]:
                return (self._full, state) if is_full else (None, (*state, item))
            case ["get" | "get_nowait"]:
                return (state[0], state[1:]) if state else (self._empty, state)
            case ["empty"]:
                return not state, state
            case ["full"]:
                return is_full, state
            case ["qsize"]:
                return len(state), state
        raise self.unknown(operation)


class BankModel(Model):
    """Accounts, each with a balance.

    The operations are `create(account)`, `create(account, balance)`, `balance(account)`,
    `deposit(account, amount)`, `withdraw(account, amount)` and `transfer(source, target, amount)`.
    A change may return the new balance or None; a transfer returns None. An operation that the bank
    refuses changes nothing, and raises an exception with the bank's reason: `ACCOUNT_EXISTS`,
    `ACCOUNT_NOT_FOUND`, `INSUFFICIENT_FUNDS` or `INVALID_AMOUNT`.
    """

    def __init__(self, balances: Mapping[str, int] | None = None) -> None:
        self.initial = frozenset((balances or {}).items())

    def apply(
        self, state: frozenset[tuple[str, int]], operation: Operation
    ) -> tuple[Any, Any] | None:
        """The result, and the balances of all accounts."""
        balances = dict(state)
        name, (account, *rest) = operation.name, operation.arguments or (None,)
        amount = rest[-1] if rest else 0
        match name, *rest:
            case ["create"] | ["create", _]:
                if account in balances:
                    return Raised("ACCOUNT_EXISTS"), state
                return _if_told(operation, amount), state | {(account, amount)}
            case ["balance"]:
                if account not in balances:
                    return Raised("ACCOUNT_NOT_FOUND"), state
                return balances[account], state
            case ["deposit" | "withdraw", _] | ["transfer", _, _]:
                pass
            case _:
                raise self.unknown(operation)
        if amount <= 0:
            return Raised("INVALID_AMOUNT"), state
        if not {account, *rest[:-1]} <= balances.keys():
            return Raised("ACCOUNT_NOT_FOUND"), state
        if name != "deposit" and balances[account] < amount:
            return Raised("INSUFFICIENT_FUNDS"), state
        balances[account] += amount if name == "deposit" else -amount
        if name == "transfer":
            balances[rest[0]] += amount
            return None, frozenset(balances.items())
        return _if_told(operation, balances[account]), frozenset(balances.items())

    def keys(self, operation: Operation) -> tuple[Hashable, ...]:
        """The accounts that the operation names."""
        return operation.arguments[: 2 if operation.name == "transfer" else 1]


class ReadWriteLockModel(Model):
    """A lock that many readers or one writer may hold.

    The operations are `acquire_read()`, `release_read()`, `acquire_write()` and `release_write()`.
    An `acquire` that returns False or raises has not taken the lock, which is allowed at any time.
    A `release` waits until there is something to release.
    """

    initial = (0, False)

    def apply(self, state: tuple[int, bool], operation: Operation) -> tuple[Any, Any] | None:
        """The result, the number of readers, and whether there is a writer."""
        readers, is_written = state
        result = operation.result
        if operation.name.startswith("acquire_") and (result is False or type(result) is Raised):
            return result, state
        match operation.name:
            case "acquire_read":
                return None if is_written else (ANY, (readers + 1, False))
            case "acquire_write":
                return None if is_written or readers else (ANY, (0, True))
            case "release_read":
                return (None, (readers - 1, False)) if readers else None
            case "release_write":
                return (None, (0, False)) if is_written else None
        raise self.unknown(operation)


def _if_told(operation: Operation, result: Any) -> Any:
    """The result of an operation that may also return None."""
    return None if operation.result is None else result
