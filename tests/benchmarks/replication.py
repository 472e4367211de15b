"""The cost of waiting for replicas to confirm a write, and the loss without it.

    python -m tests.benchmarks.replication [--rounds N]

1. The cost of wait_replicas=1, and of min-replicas-to-write 1, which every master then checks
   before a write. The same deposits take turns, chunk by chunk, on one private Redis Cluster.
   The output has medians, and medians of the ratios within each turn.
2. The loss: eight threads deposit, a master is killed meanwhile, and its replica takes over. A
   deposit is lost if it was acknowledged and is not in the balance. If only the process dies, the
   data that it has sent still arrives. So a second part also cuts the link to the replica just
   before the kill.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial

from redis.crc import key_slot

import bankkit
from bankkit.money import MAX_CENTS
from bankkit.redis_backend import PrivateCluster
from tests.support.failovers import cut_off, depositors, make_whole

DEPOSITS = 200
"""Deposits per turn."""

TURNS = 15
THREADS = 8


def set_min_replicas(cluster: PrivateCluster, number: int) -> None:
    """Set min-replicas-to-write on every node."""
    for node in cluster.nodes:
        cluster.client(node.name).config_set("min-replicas-to-write", number)


def cost(cluster: PrivateCluster) -> None:
    """Print the time of a deposit with each setting."""
    seconds: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        plain = stack.enter_context(bankkit.Bank("atomic", redis=cluster.url))
        waiting = stack.enter_context(bankkit.Bank("atomic", redis=cluster.url, wait_replicas=1))
        ways = {"plain": (plain, 0), "min-replicas-to-write 1": (plain, 1),
                "wait_replicas=1": (waiting, 0)}  # fmt: skip
        for bank in (plain, waiting):
            bank.client.create_account("alice")
        for _ in range(TURNS):
            for way, (bank, min_replicas) in ways.items():
                set_min_replicas(cluster, min_replicas)
                steps: dict[str, Callable[[], object]] = {
                    "in the store": partial(bank.store.add, "alice", 1, 0, MAX_CENTS),
                    "a call": partial(bank.client.deposit, "alice", 1),
                }
                for step, deposit in steps.items():
                    began = time.perf_counter()
                    for _ in range(DEPOSITS):
                        deposit()
                    seconds.setdefault((step, way), []).append(time.perf_counter() - began)
        set_min_replicas(cluster, 0)
    print(f"The time of a deposit, from {TURNS} × {DEPOSITS} sequential deposits")
    for (step, way), turns in seconds.items():
        ratios = [a / b for a, b in zip(turns, seconds[step, "plain"], strict=True)]
        each = statistics.median(turns) / DEPOSITS * 1e3
        print(f"  {step:13} {way:24} {each:6.3f} ms   {statistics.median(ratios):5.2f} × plain")


def loss(cluster: PrivateCluster, rounds: int, wait_replicas: int, *, cut: bool) -> None:
    """Print the acknowledged deposits that each failover loses."""
    how = "cut off from its replica and killed" if cut else "killed"
    print(f"\nA master {how} while {THREADS} threads deposit, wait_replicas={wait_replicas}")
    total = 0
    for number in range(rounds):
        accounts = [f"a{number}-{thread}" for thread in range(THREADS)]
        with (
            bankkit.Bank("atomic", redis=cluster.url, wait_replicas=wait_replicas) as bank,
            depositors(bank, accounts) as working,
        ):
            slot = key_slot(f"{{{accounts[0]}}}".encode())
            master = next(
                node
                for node in cluster.nodes
                for first, last in node.slots
                if first <= slot <= last
            )
            for _ in range(20):
                working.wait_for_more()
            if cut:
                replicas = cut_off(cluster, master)
                for _ in range(2):  # the first call may have begun before the cut
                    working.wait_for_more(or_refused=True)
            began = time.perf_counter()
            cluster.kill(master.name)
            for name in replicas if cut else ():
                cluster.resume(name)
            cluster.wait_until_healthy()
            seconds = time.perf_counter() - began
            make_whole(cluster)
            working.wait_for_more()
            working.stop()
            assert not working.mistakes, working.mistakes
            balances = working.balances()
        lost = sum(working.acknowledged[name] - round(balances[name]) for name in accounts)
        total += lost
        print(
            f"  round {number + 1}: {sum(working.acknowledged.values()):6} acknowledged, "
            f"{lost:3} lost, {working.refused:3} calls given up, a new master after {seconds:.1f} s"
        )
    print(f"  lost in {rounds} rounds: {total}")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--rounds", type=int, default=5, help="failovers of each kind (%(default)s)"
    )
    options = parser.parse_args()
    with closing(PrivateCluster()) as cluster:
        print(cluster.description)
        cost(cluster)
        for cut in (False, True):
            for wait_replicas in (0, 1):
                loss(cluster, options.rounds, wait_replicas, cut=cut)


if __name__ == "__main__":
    main()
