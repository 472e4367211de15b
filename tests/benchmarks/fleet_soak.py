"""Deposits over three servers, one of which is killed every second: not one cent more or less.

    python -m tests.benchmarks.fleet_soak --runs 10 --deposits 20000

Every deposit has a request id. Half of the clients retry as `bankkit.connect` does; the others take
the first answer, and are often not told what became of a deposit. In the end each of those is sent
again under its request id, and then the balance must be the sum of the deposits, to the cent.
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
"""Each has one account: else all would soon wait for the one that a dead server has locked."""

LEASE_SECONDS = 1.0
"""For so long an account stands still when the server that had locked it is killed."""

CALL_SECONDS = 10.0
UNKNOWN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""The answers after which a client cannot be sure, or knows that it must ask again."""


@dataclass(frozen=True, slots=True)
class Deposit:
    account: str
    cents: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Result:
    """Of one run. Cents, over all accounts."""

    seconds: float
    kills: int
    acknowledged: int
    """Deposits."""
    never_told: int
    """Deposits whose outcome their client did not know."""
    acknowledged_cents: int
    never_told_cents: int
    before: int
    """The balance when all clients were done."""
    after: int
    """The balance when what they did not know was settled."""
    accounts_off: tuple[str, ...]
    """Those whose balance is not the sum of their deposits."""

    @property
    def exact(self) -> bool:
        return (
            not self.accounts_off
            and self.after == self.acknowledged_cents + self.never_told_cents
            and self.acknowledged_cents <= self.before <= self.after
        )

    def __str__(self) -> str:
        deposits = self.acknowledged + self.never_told
        wanted = self.acknowledged_cents + self.never_told_cents
        verdict = "exact"
        if not self.exact:
            verdict = f"OFF, it should be {wanted} (accounts: {', '.join(self.accounts_off)})"
        return (
            f"{deposits:,} deposits in {self.seconds:.1f} s ({deposits / self.seconds:,.0f}/s), "
            f"{self.kills} kills, {self.never_told:,} never told and settled "
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
    """One soak, on a fleet of its own. Kills fall where they fall; the rest follows the seed."""
    chance = random.Random(seed)
    accounts = [f"account-{number}" for number in range(ACCOUNTS)]
    tasks = [
        Deposit(accounts[number % ACCOUNTS], chance.randint(1, 10_000), f"{seed:x}-{number}")
        for number in range(deposits)
    ]
    acknowledged: list[Deposit] = []
    never_told: list[Deposit] = []
    unsafe = is_alone(concurrency)  # then money gets lost, and this sees it
    with Fleet(concurrency, servers=servers, lease=LEASE_SECONDS, unsafe=unsafe) as fleet:
        for account in accounts:
            fleet.client.create_account(account)

        def work(client: int) -> None:
            call = _with_retries(fleet.client) if client < ACCOUNTS else _without(fleet.stub)
            for task in tasks[client::CLIENTS]:
                try:
                    call(task)
                except grpc.RpcError as error:
                    if error.code() not in UNKNOWN:
                        raise
                    never_told.append(task)
                else:
                    acknowledged.append(task)
                if client == 0:
                    progress(len(acknowledged) + len(never_told))

        begin = time.monotonic()
        with _killing(fleet, chance, kill_every) as killed, ThreadPoolExecutor(CLIENTS) as pool:
            for worker in [pool.submit(work, client) for client in range(CLIENTS)]:
                worker.result()
        seconds = time.monotonic() - begin
        before = sum(_balances(fleet, accounts).values())
        settle = _with_retries(fleet.client)
        for task in never_told:
            settle(task)
        after = _balances(fleet, accounts)
    wanted = dict.fromkeys(accounts, 0)
    for task in (*acknowledged, *never_told):
        wanted[task.account] += task.cents
    return Result(
        seconds,
        len(killed),
        len(acknowledged),
        len(never_told),
        sum(task.cents for task in acknowledged),
        sum(task.cents for task in never_told),
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


def _without(stub: bank_pb2_grpc.BankServiceStub) -> Callable[[Deposit], object]:
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
    """Kills a random server and starts it again, once each `every` seconds; gives their names."""
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
    """Exit status 0 if every run was exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fleet_soak")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=10, help="%(default)s")
    parser.add_argument("--deposits", type=int, default=20_000, help="of each run (%(default)s)")
    parser.add_argument("--servers", type=int, default=3, help="%(default)s")
    parser.add_argument(
        "--concurrency", choices=CHOICES, default=FleetOptions.concurrency, help="%(default)s"
    )
    parser.add_argument("--seed", type=int, help="of the first run; by default a random one")
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
