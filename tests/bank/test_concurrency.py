"""Many clients at once: updates are lost only with concurrency `none`."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest

import bankkit
from bankkit.locks import LockTable, Mutex
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.store import Snapshot
from tests.support.paths import ROOT
from tests.support.waiting import eventually, eventually_idle

CLIENTS = 16
SAFE = ("mutex", "read-write", "redis-read-write", "atomic")

# Arguments: the address, the account, how many deposits each client makes. Runs half of the
# clients, each on its own connection, and prints the balances in the replies.
DEPOSITOR = f"""
import sys, threading
import bankkit, grpc
from bankkit.pb import bank_pb2, bank_pb2_grpc

balances = []

def deposit():
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(sys.argv[1], options=options) as channel:
        call = bank_pb2_grpc.BankServiceStub(channel).Deposit
        for _ in range(int(sys.argv[3])):
            request = bank_pb2.DepositRequest(account_id=sys.argv[2], amount=0.01)
            balances.append(call(request, timeout=60).balance)

threads = [threading.Thread(target=deposit) for _ in range({CLIENTS // 2})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*balances)
"""

# A deposit waits forever, because a reader never releases the lock. The server must still stop.
STUCK = """
import bankkit
from bankkit.pb import bank_pb2
from tests.support.waiting import eventually, eventually_idle

bank = bankkit.Bank("first-draft")
bank.client.create_account("a")
eventually_idle(bank)
bank.server.teller.locks.read("a").__enter__()
stuck = [
    bank.stub.Deposit.future(bank_pb2.DepositRequest(account_id="a", amount=1)) for _ in range(3)
]
eventually(lambda: bank.server.load == 3, 20)
bank.stop(grace=0.2)
print(*(call.code().name for call in stuck), flush=True)
"""


@pytest.fixture(scope="module", params=SAFE)
def bank(request: pytest.FixtureRequest) -> Iterator[bankkit.Bank]:
    """A bank with one of the concurrency choices."""
    with bankkit.Bank(request.param) as bank:
        yield bank


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a Python process that runs this program."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def outputs(processes: Sequence[subprocess.Popen[str]], seconds: float) -> list[str]:
    """The output of each process, after all have ended without an error."""
    try:
        printed = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


@pytest.mark.one_in(4)
@pytest.mark.parametrize("deposits", [400, pytest.param(8000, marks=pytest.mark.elsewhere)])
def test_the_sum_of_many_deposits(deposits: int, bank: bankkit.Bank) -> None:
    account = f"shared-by-{deposits}"
    bank.client.create_account(account)
    each = str(deposits // CLIENTS)
    depositors = [python(DEPOSITOR, bank.address, account, each) for _ in range(2)]
    cents = [
        round(float(balance) * 100)
        for printed in outputs(depositors, 120)
        for balance in printed.split()
    ]
    # Each deposit got a different balance in its reply: all of 1, 2, 3, … cents.
    assert sorted(cents) == list(range(1, deposits + 1))
    assert bank.client.get_balance(account).balance == deposits / 100


@pytest.mark.one_in(2)
def test_deposits_and_withdrawals_conserve_money(bank: bankkit.Bank) -> None:
    names = ["a", "b"]
    for name in names:
        bank.client.create_account(name)

    def work(seed: int) -> dict[str, int]:
        """The sum of the acknowledged changes, in cents, by account."""
        chance = random.Random(seed)
        acknowledged = dict.fromkeys(names, 0)
        with bankkit.connect(bank.address) as client:
            for _ in range(60):
                name, cents = chance.choice(names), chance.randint(1, 1000)
                if chance.random() < 0.5:
                    client.deposit(name, cents / 100)
                    acknowledged[name] += cents
                    continue
                try:
                    reply = client.withdraw(name, cents / 100)
                except bankkit.CallError as refused:
                    if refused.reason != "INSUFFICIENT_FUNDS":
                        raise
                else:
                    assert reply.balance >= 0
                    acknowledged[name] -= cents
        return acknowledged

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    for name in names:
        total = sum(acknowledged[name] for acknowledged in results)
        assert bank.client.get_balance(name).balance == total / 100


def test_a_balance_is_withdrawn_once(bank: bankkit.Bank) -> None:
    """Check, then act: eight clients withdraw the whole balance, and one of them gets it."""
    copies, rounds = 8, 20
    together = threading.Barrier(copies)
    for number in range(rounds):
        bank.client.create_account(f"once{number}")
        bank.client.deposit(f"once{number}", 10)

    def work(_: int) -> list[bool]:
        got = []
        with bankkit.connect(bank.address) as client:
            for number in range(rounds):
                together.wait(30)
                try:
                    client.withdraw(f"once{number}", 10)
                    got.append(True)
                except bankkit.CallError as refused:
                    got.append(refused.reason != "INSUFFICIENT_FUNDS")
        return got

    with ThreadPoolExecutor(copies) as threads:
        results = list(threads.map(work, range(copies)))
    assert [sum(got) for got in zip(*results, strict=True)] == [1] * rounds


def deposit_while_another_has_read(
    bank: bankkit.Bank, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> list[float]:
    """The balances in the replies to two deposits of 10.

    Between its read and its commit, each waits at most `seconds` for the other to read.
    """
    bank.client.create_account("a")
    both_have_read = threading.Barrier(2)
    read = bank.server.teller.store.read

    def read_together(*arguments: Any) -> Snapshot:
        seen = read(*arguments)
        with suppress(threading.BrokenBarrierError):
            both_have_read.wait(seconds)
        return seen

    with monkeypatch.context() as forced, ThreadPoolExecutor(2) as threads:
        forced.setattr(bank.server.teller.store, "read", read_together)
        deposits = [threads.submit(bank.client.deposit, "a", 10) for _ in range(2)]
        return sorted(deposit.result().balance for deposit in deposits)


def test_none_loses_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    with bankkit.Bank("none") as bank:
        assert deposit_while_another_has_read(bank, monkeypatch, 20) == [10, 10]
        assert bank.client.get_balance("a").balance == 10


@pytest.mark.parametrize("concurrency", ["mutex", "first-draft", "read-write", "redis-read-write"])
def test_a_lock_keeps_the_other_from_reading(
    monkeypatch: pytest.MonkeyPatch, concurrency: str
) -> None:
    with bankkit.Bank(concurrency) as bank:
        assert deposit_while_another_has_read(bank, monkeypatch, 0.3) == [10, 20]
        assert bank.client.get_balance("a").balance == 20


def test_atomic_interest_is_computed_again_when_the_balance_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bankkit.Bank("atomic") as bank:
        bank.client.create_account("a")
        bank.client.deposit("a", 100)
        read = bank.server.store.read
        reads: list[int] = []

        def read_then_deposit(*arguments: Any) -> Snapshot:
            seen = read(*arguments)
            reads.append(seen.account.balance)
            if len(reads) == 1:
                bank.client.deposit("a", 100)  # a script adds the amount, without a read
            return seen

        monkeypatch.setattr(bank.server.store, "read", read_then_deposit)
        assert bank.client.calculate_interest("a", 10).balance == 220
        assert reads == [100_00, 200_00]


@pytest.mark.parametrize("concurrency", ["mutex", "read-write", "redis-read-write", "first-draft"])
def test_no_lock_is_kept_after_use(concurrency: str) -> None:
    with bankkit.Bank(concurrency) as bank:
        with ThreadPoolExecutor(8) as threads:
            names = [f"acc{number}" for number in range(50)]
            list(threads.map(bank.client.create_account, names))
            list(threads.map(bank.client.deposit, names, [1.0] * 50))
            list(threads.map(bank.client.get_balance, names))
        eventually(lambda: bank.server.load == 0)
        assert len(bank.server.teller.locks) == 0
        assert not list(bank.redis.scan_iter(f"{bank.store.namespace}:*:lock*"))


def test_one_account_does_not_wait_for_another(bank: bankkit.Bank) -> None:
    for name in ("busy", "free"):
        bank.client.create_account(name)
    with bank.server.teller.locks.write("busy"):
        assert bank.client.deposit("free", 1).balance == 1


def test_readers_share_and_a_writer_does_not() -> None:
    with bankkit.Bank("read-write") as bank:
        bank.client.create_account("a")
        with bank.server.teller.locks.read("a"):
            assert bank.client.get_balance("a").balance == 0
            eventually_idle(bank)
            with grpc.insecure_channel(bank.address) as channel:
                deposit = bank_pb2_grpc.BankServiceStub(channel).Deposit
                call = deposit.future(bank_pb2.DepositRequest(account_id="a", amount=1))
                eventually(lambda: bank.server.load == 1)
                assert not call.done()
                balance_then = bank.redis.hget("bank:{a}:account", "balance")
                call.cancel()
        assert balance_then == "0"


def test_a_bank_keeps_calls_apart_with_locks_of_your_own() -> None:
    locks = LockTable(lambda account_id: Mutex())
    with bankkit.Bank("none", locks=locks) as bank:
        bank.client.create_account("a")
        with locks.write("a"), pytest.raises(bankkit.CallError) as refused:
            bank.client.get_balance("a", timeout=0.2)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_server_with_calls_stuck_for_ever_stops() -> None:
    """The interpreter ends, too: otherwise `communicate` would time out."""
    (printed,) = outputs([python(STUCK)], 60)
    codes = printed.split()
    assert len(codes) == 3
    assert "OK" not in codes
