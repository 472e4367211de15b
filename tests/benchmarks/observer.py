"""What the seam for observers costs a call: `python -m tests.benchmarks.observer --against DIR`.

The server's own part of a Deposit is measured: from gRPC's question who handles it to the reply,
with the accounts in a dictionary, so that neither gRPC nor Redis drowns what is looked for. It is
measured in processor time of its thread, which a busy machine hardly changes. DIR is another
version of the bank, such as one from before the seam (`git archive VERSION | tar -x -C DIR`); each
version runs in a process of its own, and their rounds alternate.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import thread_time_ns
from typing import Any

HERE = Path(__file__).resolve().parents[2]
CALLS = 3_000
ROUNDS = 31


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.observer")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another version of the bank")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each (%(default)s)")
    parser.add_argument("--work", choices=("unobserved", "observed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work(options.work == "observed")
    else:
        _compare(options.against, options.rounds)


def _compare(against: Path | None, rounds: int) -> None:
    with ExitStack() as stack:
        round_of = {"unobserved": stack.enter_context(_worker(HERE, "unobserved"))}
        if against is not None:
            other = _worker(against.resolve(), "unobserved")
            round_of[f"in {against}"] = stack.enter_context(other)
        round_of["observed"] = stack.enter_context(_worker(HERE, "observed"))
        for one in round_of.values():
            one()  # to warm up
        found: dict[str, list[float]] = {name: [] for name in round_of}
        for number in range(rounds):
            for name in list(round_of)[:: 1 if number % 2 else -1]:
                found[name].append(round_of[name]())
    for name, times in found.items():
        ratios = [mine / other for mine, other in zip(found["unobserved"], times, strict=True)]
        print(
            f"{name:20} {statistics.median(times) / 1000:6.2f} µs a call, {min(times) / 1000:6.2f} "
            f"at best; unobserved takes {statistics.median(ratios):.3f} × that, "
            f"{min(found['unobserved']) / min(times):.3f} at best"
        )


@contextmanager
def _worker(tree: Path, how: str) -> Iterator[Callable[[], float]]:
    """A process that runs a tree's bank; yields what runs a round and returns ns per call."""
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, "--work", how],
        env={"PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout

    def run_round() -> float:
        print(CALLS, file=to, flush=True)
        return float(back.readline())

    with process:
        yield run_round


def _work(is_observed: bool) -> None:
    """Runs as many calls as each line of stdin says, and prints nanoseconds per call."""
    from bankkit.locks import LockTable, ReadWriteLock
    from bankkit.pb import bank_pb2
    from bankkit.rpc.admission import Admission
    from bankkit.service import BankService
    from bankkit.teller import Teller

    store: Any = _Dictionary()
    teller = Teller(store, LockTable(lambda _: ReadWriteLock()))
    options: dict[str, Any] = {}
    if is_observed:
        from bankkit.observer import Observer

        teller.set_observers([observer := Observer()])
        options["observers"] = [observer]
    admission = Admission(
        [BankService(teller, is_full=lambda: False, max_wait=30.0)], slots=1, **options
    )
    details: Any = _Details()
    context = _Context()
    data = bank_pb2.DepositRequest(account_id="alice", amount=1).SerializeToString()
    for line in sys.stdin:
        start = thread_time_ns()
        for _ in range(int(line)):
            admission.service(details).stream_unary(iter((data,)), context)
        print((thread_time_ns() - start) / int(line), flush=True)


class _Details:
    method = "/BankService/Deposit"
    invocation_metadata = ()


class _Context:
    def time_remaining(self) -> float:
        return 10.0

    def is_active(self) -> bool:
        return True

    def code(self) -> None:
        return None


class _Dictionary:
    """Stands for a store."""

    def __init__(self) -> None:
        from bankkit.accounts import Account
        from bankkit.store import Snapshot

        self._snapshot = Snapshot(Account("alice", "savings", 0), None, "")

    def read(self, account_id: str, *rest: Any) -> Any:
        return self._snapshot

    def commit(self, account_id: str, balance: int, *rest: Any) -> int:
        return balance


if __name__ == "__main__":
    main()
