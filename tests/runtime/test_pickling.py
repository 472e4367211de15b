"""Every exception of the package can be copied, and sent to another process, without loss."""

import builtins
import copy
import importlib
import multiprocessing
import pickle
import re
from collections.abc import Callable

import grpc
import pytest

import bankkit
from bankkit import accounts
from bankkit.explorer import BrokenSchedule, FailedCheck, Outcome, Schedule
from bankkit.lab.course.exercises import Wrong
from bankkit.locks import LockTable, Mutex, ReadWriteLock, RedisLocks
from bankkit.redis_backend import RedisNotFound
from bankkit.redis_backend.probe import Unreached
from bankkit.store import OutOfBounds
from tests.support.paths import ROOT
from tests.support.processes import free_port


def call_error() -> bankkit.CallError:
    """The error of a call to a server that does not exist."""
    with (
        bankkit.connect(f"127.0.0.1:{free_port()}") as client,
        pytest.raises(bankkit.CallError) as away,
    ):
        client.create_account("alice")
    return away.value


MADE: dict[type[BaseException], Callable[[], BaseException]] = {
    accounts.LimitExceeded: lambda: accounts.LimitExceeded(),
    accounts.InsufficientFunds: lambda: accounts.InsufficientFunds(balance_cents=1, amount_cents=2),
    bankkit.CallError: call_error,
    BrokenSchedule: lambda: BrokenSchedule("It fails.", Outcome("ended", "", Schedule(()))),
    FailedCheck: lambda: FailedCheck("no order explains it", ()),
    OutOfBounds: lambda: OutOfBounds(12),
    RedisNotFound: lambda: RedisNotFound(["here", "there"]),
    Unreached: lambda: Unreached("host:1", OSError(1, "no"), sent_by="the Sentinel"),
    Wrong: lambda: Wrong("It is wrong.", shown="a table"),
}
"""How to make each exception whose constructor takes more than a text."""


def exceptions() -> list[str]:
    """`module:class` of every exception class in the package's source."""
    bases: dict[str, tuple[str, set[str]]] = {}
    for path in (ROOT / "bankkit").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        # Every worker does this when it collects, and to parse each file would take a second.
        for name, its in re.findall(r"^class (\w+)\(([^)]*)\):", path.read_text(), re.MULTILINE):
            bases[f"{module}:{name}"] = name, set(re.findall(r"\w+(?=\s*(?:,|\[|$))", its))
    known = {name for name, kind in vars(builtins).items() if is_exception(kind)} | {"RpcError"}
    while found := {name for name, its in bases.values() if its & known} - known:
        known |= found
    return sorted(place for place, (name, its) in bases.items() if its & known)


def is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


@pytest.mark.parametrize("place", exceptions())
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_complete(place: str, copied: Callable[[BaseException], BaseException]) -> None:
    module, _, name = place.partition(":")
    kind: type[BaseException] = getattr(importlib.import_module(module), name)
    error = MADE[kind]() if kind in MADE else kind("what was wrong")
    error.seen_by = "a subclass, or a debugger"  # type: ignore[attr-defined]
    again = copied(error)
    assert type(again) is kind
    assert str(again) == str(error)
    assert repr(again.args) == repr(error.args)
    assert {name: repr(value) for name, value in vars(again).items()} == {
        name: repr(value) for name, value in vars(error).items()
    }


def withdraw_too_much(address: str) -> None:
    with bankkit.connect(address) as client:
        client.withdraw("poor", 12.5)


def test_a_refusal_in_a_pool_of_processes() -> None:
    with bankkit.Bank() as bank, multiprocessing.get_context("spawn").Pool(1) as pool:
        bank.client.create_account("poor")
        with pytest.raises(bankkit.CallError) as refused:
            pool.apply_async(withdraw_too_much, (bank.address,)).get(60)
        assert refused.value.reason == "INSUFFICIENT_FUNDS"
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.value.metadata == {"amount_cents": "1250", "balance_cents": "0"}


# Objects that cannot be copied


def test_a_lock_or_a_bank_cannot_be_copied() -> None:
    """A copy of a lock would share its mutex but not its holders, and let two writers in."""
    with bankkit.Bank() as bank:
        locks = RedisLocks(bank.store.link)
        for thing in (
            ReadWriteLock(),
            Mutex(),
            LockTable(lambda _: Mutex()),
            locks,
            locks("key"),
            bank,
            bank.client,
            bank.store,
            bank.store.link,
            bank.server,
        ):
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="cannot be copied or pickled: share it"):
                    make(thing)
        locks.close()
