"""The speed of each concurrency choice, compared with a bare gRPC server.

The measure is the ratio to a server that answers Deposit with a constant, on the same kind of
thread pool and in the same round: a machine's speed drifts, but hardly within a round. Each server
runs in its own process, and so do the two clients, with eight threads each.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain

import grpc

from bankkit import teller
from bankkit.options import BankOptions
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.rpc.worker_pool import WorkerPool
from bankkit.server import make_grpc_server

CLIENTS = 2
CLIENT_THREADS = 8
WARM_UP_SECONDS = 0.3
NO_OP = "no-op"


@dataclass(frozen=True)
class Workload:
    """The calls that the clients make."""

    title: str
    accounts: int
    reads: float
    """The share of GetBalance among the calls; the others are deposits."""


WORKLOADS = {
    "one": Workload("Deposit, 1 account", 1, 0.0),
    "many": Workload("Deposit, 100 accounts", 100, 0.0),
    "mix": Workload("90 % GetBalance, 10 % Deposit, 100 accounts", 100, 0.9),
}


@dataclass(frozen=True)
class Round:
    """The rate and latencies of one round."""

    rate: float
    """Calls per second, of all clients together."""
    p50: float
    """Milliseconds."""
    p99: float
    """Milliseconds."""


class NoOp(bank_pb2_grpc.BankServiceServicer):
    """A service that answers with constants, to measure the cost of gRPC alone."""

    def CreateAccount(
        self, request: bank_pb2.AccountRequest, context: grpc.ServicerContext
    ) -> bank_pb2.AccountResponse:
        """Answer as if the account had been created."""
        return bank_pb2.AccountResponse(
            account_id=request.account_id, message="Account created successfully."
        )

    def GetBalance(
        self, request: bank_pb2.AccountRequest, context: grpc.ServicerContext
    ) -> bank_pb2.BalanceResponse:
        """Answer with a balance of $1."""
        return bank_pb2.BalanceResponse(
            account_id=request.account_id, message="Balance retrieved.", balance=1.0
        )

    def Deposit(
        self, request: bank_pb2.DepositRequest, context: grpc.ServicerContext
    ) -> bank_pb2.TransactionResponse:
        """Answer as if the deposit had been made."""
        return bank_pb2.TransactionResponse(
            account_id=request.account_id, message="Deposit successful.", balance=1.0
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bank", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="rounds per choice (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="per round (%(default)s)")
    parser.add_argument("--choices", nargs="+", choices=teller.CHOICES, default=teller.CHOICES)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--serve-no-op", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve_no_op:
        _serve_no_op()
    elif options.client:
        address, workload, seconds = options.client
        _client(address, WORKLOADS[workload], float(seconds))
    else:
        _compare(options.choices, options.workloads, options.repeats, options.seconds)


def _compare(
    choices: Sequence[str], workloads: Sequence[str], repeats: int, seconds: float
) -> None:
    commands = {NO_OP: ["tests.benchmarks.bank", "--serve-no-op"]} | {
        choice: ["bankkit", "serve", "--port", "0", "--concurrency", choice] for choice in choices
    }
    with ExitStack() as stack:
        addresses = {
            name: stack.enter_context(_process(command)) for name, command in commands.items()
        }
        for address in addresses.values():
            _open_accounts(address)
        for workload in workloads:
            print(f"\n{WORKLOADS[workload].title}", flush=True)
            print(
                f"{'':12} {'calls/s':>8} {'p50 ms':>7} {'p99 ms':>7}   "
                f"ratio to no-op, median (of each round)"
            )
            baseline: list[Round] = []
            for choice in choices:
                pairs = []
                for turn in range(repeats):
                    order = [NO_OP, choice] if turn % 2 else [choice, NO_OP]
                    found = {name: _round(addresses[name], workload, seconds) for name in order}
                    pairs.append((found[choice], found[NO_OP]))
                baseline += [noop for _, noop in pairs]
                _row(choice, [mine for mine, _ in pairs], [a.rate / b.rate for a, b in pairs])
            _row(NO_OP, baseline, [1.0])


def _row(name: str, rounds: Sequence[Round], ratios: Sequence[float]) -> None:
    rate, p50, p99 = (
        statistics.median(getattr(one, figure) for one in rounds)
        for figure in ("rate", "p50", "p99")
    )
    each = " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    print(
        f"{name:12} {rate:8.0f} {p50:7.2f} {p99:7.2f}   {statistics.median(ratios):.2f}  ({each})",
        flush=True,
    )


def _round(address: str, workload: str, seconds: float) -> Round:
    command = [sys.executable, "-m", "tests.benchmarks.bank", "--client"]
    clients = [
        subprocess.Popen(
            [*command, address, workload, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(CLIENTS)
    ]
    outputs = []
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(b"go\n")
        client.stdin.flush()
    for client in clients:
        outputs.append(json.loads(client.communicate()[0]))
        assert client.returncode == 0
    latencies = sorted(latency for output in outputs for latency in output["latencies"])
    rate = sum(len(output["latencies"]) / output["seconds"] for output in outputs)
    cut = statistics.quantiles(latencies, n=100)
    return Round(rate, cut[49] * 1000, cut[98] * 1000)


def _client(address: str, workload: Workload, seconds: float) -> None:
    """Call from eight threads for `seconds`, and print the latencies (seconds) as JSON."""
    with grpc.insecure_channel(address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        grpc.channel_ready_future(channel).result(10)
        latencies: list[list[float]] = [[] for _ in range(CLIENT_THREADS)]
        begin = threading.Barrier(CLIENT_THREADS + 1)

        def work(mine: list[float], seed: int) -> None:
            choose = random.Random(seed)
            begin.wait()
            now = time.perf_counter()
            measured_from = now + WARM_UP_SECONDS
            until = measured_from + seconds
            while now < until:
                account_id = f"account-{choose.randrange(workload.accounts)}"
                if workload.reads and choose.random() < workload.reads:
                    stub.GetBalance(bank_pb2.AccountRequest(account_id=account_id), timeout=10)
                else:
                    request = bank_pb2.DepositRequest(account_id=account_id, amount=0.01)
                    stub.Deposit(request, timeout=10)
                before, now = now, time.perf_counter()
                if before >= measured_from:
                    mine.append(now - before)

        threads = [
            threading.Thread(target=work, args=(mine, seed)) for seed, mine in enumerate(latencies)
        ]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        sys.stdin.readline()
        begin.wait()
        for thread in threads:
            thread.join()
        json.dump({"latencies": [*chain(*latencies)], "seconds": seconds}, sys.stdout)


def _open_accounts(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        for n in range(max(workload.accounts for workload in WORKLOADS.values())):
            stub.CreateAccount(
                bank_pb2.AccountRequest(account_id=f"account-{n}", account_type="savings")
            )


@contextmanager
def _process(module: Sequence[str]) -> Iterator[str]:
    """Start `python -m MODULE…`, which prints `listening on ADDRESS`, and yield the address."""
    with subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(b"listening on "):
                    yield line.split()[-1].decode()
                    break
            else:
                raise RuntimeError(f"{' '.join(module)} ended before it listened")
        finally:
            process.terminate()


def _serve_no_op() -> None:
    server = make_grpc_server(WorkerPool(BankOptions.threads))
    bank_pb2_grpc.add_BankServiceServicer_to_server(NoOp(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
