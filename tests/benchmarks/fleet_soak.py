"""Deposits to three servers while one is killed every second: the balance must be exact.

    python -m tests.benchmarks.fleet_soak --runs 10 --deposits 20000

Every deposit has a request id. Half of the clients retry as `bankkit.connect` does. The others take
the first answer, and often do not learn the outcome of a deposit. At the end, each such deposit is
sent again under its request id. Then the balance must be the sum of all deposits, to the cent.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from bankkit import money
from bankkit.client import Client
from bankkit.launch.fleet import Fleet
from bankkit.options import FleetOptions
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.teller import CHOICES, is_alone
from tests.benchmarks.progress import Progress

ACCOUNTS = 8
CLIENTS = 2 * ACCOUNTS
"""Each client has one account. Otherwise all would soon wait for one that a dead server locked."""

LEASE_SECONDS = 1.0
"""The time that an account is blocked when the server that holds its lock is killed."""

CALL_SECONDS = 10.0
UNKNOWN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""Statuses after which the outcome is unknown, or the client knows that it must repeat the call."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """One deposit, sent once or more under one request id."""

    account: str
    cents: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run. Money is in cents, summed over all accounts."""

    seconds: float
    kills: int
    acknowledged: int
    """The number of acknowledged deposits."""
    unknown: int
    """The number of deposits whose outcome their client did not know."""
    acknowledged_cents: int
    unknown_cents: int
    before: int
    """The balance after all clients had ended."""
    after: int
    """The balance after the unknown deposits were sent again."""
    accounts_off: tuple[str, ...]
    """The accounts whose balance is not the sum of their deposits."""

    @property
    def exact(self) -> bool:
        """Whether every balance is the sum of its deposits, to the cent."""
        return (
            not self.accounts_off
            and self.after == self.acknowledged_cents + self.unknown_cents
            and self.acknowledged_cents <= self.before <= self.after
        )

    def __str__(self) -> str:
        deposits = self.acknowledged + self.unknown
        wanted = self.acknowledged_cents + self.unknown_cents
        verdict = "exact"
        if not self.exact:
            verdict = f"OFF, it should be {wanted} (accounts: {', '.join(self.accounts_off)})"
        return (
            f"{deposits:,} deposits in {self.seconds:.1f} s ({deposits / self.seconds:,.0f}/s), "
            f"{self.kills} kills, {self.unknown:,} of unknown outcome, sent again "
            f"({self.before} cents before), balance {self.after} cents: {verdict}"
        )


def run(
    deposits: int,
    seed: int,
    *,
    concurrency: str = FleetOptions.concurrency,
    servers: int = 3,
    kill_every: float = 1.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Result:
    """Run one soak on a new fleet. The seed sets all but the moments at which kills hit calls."""
    chance = random.Random(seed)
    accounts = [f"account-{number}" for number in range(ACCOUNTS)]
    tasks = [
        Deposit(accounts[number % ACCOUNTS], chance.randint(1, 10_000), f"{seed:x}-{number}")
        for number in range(deposits)
    ]
    acknowledged: list[Deposit] = []
    unknown: list[Deposit] = []
    unsafe = is_alone(concurrency)  # such a choice loses money, and the result shows it
    with Fleet(concurrency, servers=servers, lease=LEASE_SECONDS, unsafe=unsafe) as fleet:
        for account in accounts:
            fleet.client.create_account(account)

        def work(client: int) -> None:
            call = _with_retries(fleet.client) if client < ACCOUNTS else _once(fleet.stub)
            for task in tasks[client::CLIENTS]:
                try:
                    call(task)
                except grpc.RpcError as error:
                    if error.code() not in UNKNOWN:
                        raise
                    unknown.append(task)
                else:
                    acknowledged.append(task)
                if client == 0:
                    progress(len(acknowledged) + len(unknown))

        begin = time.monotonic()
        with _killing(fleet, chance, kill_every) as killed, ThreadPoolExecutor(CLIENTS) as pool:
            for worker in [pool.submit(work, client) for client in range(CLIENTS)]:
                worker.result()
        seconds = time.monotonic() - begin
        before = sum(_balances(fleet, accounts).values())
        deposit = _with_retries(fleet.client)
        for task in unknown:
            deposit(task)
        after = _balances(fleet, accounts)
    wanted = dict.fromkeys(accounts, 0)
    for task in (*acknowledged, *unknown):
        wanted[task.account] += task.cents
    return Result(
        seconds,
        len(killed),
        len(acknowledged),
        len(unknown),
        sum(task.cents for task in acknowledged),
        sum(task.cents for task in unknown),
        before,
        sum(after.values()),
        tuple(account for account in accounts if after[account] != wanted[account]),
    )


def _with_retries(client: Client) -> Callable[[Deposit], object]:
    return lambda task: client.deposit(
        task.account,
        money.to_dollars(task.cents),
        request_id=task.request_id,
        timeout=CALL_SECONDS,
    )


def _once(stub: bank_pb2_grpc.BankServiceStub) -> Callable[[Deposit], object]:
    return lambda task: stub.Deposit(
        bank_pb2.DepositRequest(
            account_id=task.account,
            amount=money.to_dollars(task.cents),
            request_id=task.request_id,
        ),
        timeout=CALL_SECONDS,
    )


def _balances(fleet: Fleet, accounts: Sequence[str]) -> dict[str, int]:
    return {account: fleet.store.read(account).account.balance for account in accounts}


@contextmanager
def _killing(fleet: Fleet, chance: random.Random, every: float) -> Iterator[list[str]]:
    """Kill and restart a random server every `every` seconds; yield the names of those killed."""
    killed: list[str] = []
    done = threading.Event()

    def kill() -> None:
        following = time.monotonic() + every
        while not done.wait(max(0.0, following - time.monotonic())):
            following += every
            name = chance.choice(list(fleet.servers))
            fleet.kill(name)
            killed.append(name)
            fleet.restart(name)

    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill)
        try:
            yield killed
        finally:
            done.set()
            killer.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soaks from the command line. Returns exit status 0 if every run was exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fleet_soak")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=10, help="%(default)s")
    parser.add_argument("--deposits", type=int, default=20_000, help="per run (%(default)s)")
    parser.add_argument("--servers", type=int, default=3, help="%(default)s")
    parser.add_argument(
        "--concurrency", choices=CHOICES, default=FleetOptions.concurrency, help="%(default)s"
    )
    parser.add_argument("--seed", type=int, help="seed of the first run (random)")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    exact = 0
    for number in range(options.runs):
        label = f"run {number + 1} of {options.runs}, seed {seed + number}"
        with Progress(label, options.deposits) as progress:
            result = run(
                options.deposits,
                seed + number,
                concurrency=options.concurrency,
                servers=options.servers,
                progress=progress.at,
            )
        print(f"{label}: {result}", flush=True)
        exact += result.exact
    print(f"{exact} of {options.runs} runs exact")
    return 0 if exact == options.runs else 1


if __name__ == "__main__":
    sys.exit(main())
