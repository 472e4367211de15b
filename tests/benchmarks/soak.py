"""The memory that a million calls leave in use: `make soak`, about twenty minutes.

Reads of unknown accounts must leave nothing: a server that kept a lock for each would grow without
end. Each request id leaves its reply in Redis for 24 hours; the output says how many bytes each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc

from bankkit import store
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.redis_backend import connection, open_redis
from tests.benchmarks.progress import Progress

CLIENTS = 2
CLIENT_THREADS = 8
LIMIT_MB = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both parts. The exit status is 1 if the server grew by more than `LIMIT_MB`."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--calls", type=int, default=1_000_000, help="calls of each kind (%(default)s)"
    )
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.client:
        address, first, count, label = options.client
        _read_unknown(address, int(first), int(count), label)
        return
    with closing(open_redis()) as engine:
        print(engine.description)
        client = connection.connect(engine.url)

        def used_memory() -> int:
            return int(client.info("memory")["used_memory"])

        grown = _soak_reads(engine.url, options.calls, used_memory)
        _soak_request_ids(store.Store(client), options.calls, used_memory)
        client.close()
    if grown > LIMIT_MB:
        sys.exit(f"The server grew by more than {LIMIT_MB} MB.")


def _soak_reads(url: str, calls: int, used_memory: Callable[[], int]) -> float:
    """The MB by which a server grows over `calls` reads of accounts that do not exist."""
    with _serve(url) as (address, pid):
        warm_up = calls // 20
        _read_in_processes(address, 0, warm_up)
        server, redis = _resident_mb(pid), used_memory()
        begin = time.monotonic()
        _read_in_processes(address, warm_up, calls)
        rate = calls / (time.monotonic() - begin)
        grown = _resident_mb(pid) - server
        print(
            f"{calls:,} reads of unknown accounts ({rate:,.0f}/s): server {server:.1f} MB "
            f"{grown:+.1f} MB, Redis {(used_memory() - redis) / 1e6:+.1f} MB"
        )
    return grown


def _soak_request_ids(accounts: store.Store, calls: int, used_memory: Callable[[], int]) -> None:
    accounts.create("rich", "savings")
    before = used_memory()

    with (
        Progress("request ids", calls) as progress,
        ThreadPoolExecutor(CLIENT_THREADS) as pool,
    ):

        def deposit(worker: int) -> None:
            for n in range(worker, calls, CLIENT_THREADS):
                request = store.Request.of(f"{n:032x}", "Deposit", 1)  # the length of a UUID in hex
                accounts.add("rich", 1, 0, 10**15, request)
                if worker == 0:
                    progress.at(n)

        list(pool.map(deposit, range(CLIENT_THREADS)))
    assert accounts.read("rich").account.balance == calls
    cost = used_memory() - before
    print(f"{calls:,} request ids: Redis {cost / 1e6:+.1f} MB, {cost / calls:.0f} bytes each")


def _read_in_processes(address: str, first: int, calls: int) -> None:
    share = calls // CLIENTS
    command = [sys.executable, "-m", "tests.benchmarks.soak", "--client"]
    clients = [
        subprocess.Popen(
            [*command, address, str(first + n * share), str(share), "" if n else "reads"]
        )
        for n in range(CLIENTS)
    ]
    statuses = [client.wait() for client in clients]
    if any(statuses):
        sys.exit("A client failed.")


def _read_unknown(address: str, first: int, count: int, label: str) -> None:
    """Read `count` unknown accounts.

    With a label, show the progress of all clients, as if each were as far as this one.
    """
    with (
        grpc.insecure_channel(address) as channel,
        Progress(label, count * CLIENTS) as progress,
        ThreadPoolExecutor(CLIENT_THREADS) as pool,
    ):
        stub = bank_pb2_grpc.BankServiceStub(channel)

        def read(worker: int) -> None:
            for n in range(first + worker, first + count, CLIENT_THREADS):
                try:
                    stub.GetBalance(bank_pb2.AccountRequest(account_id=f"unknown-{n}"), timeout=30)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                if label and worker == 0:
                    progress.at((n - first) * CLIENTS)

        list(pool.map(read, range(CLIENT_THREADS)))


@contextmanager
def _serve(url: str) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "bankkit", "serve", "--port", "0", "--redis", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("listening on "):
                    yield line.split()[-1], process.pid
                    break
            else:
                raise RuntimeError("the server ended before it listened")
        finally:
            process.terminate()


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError(f"process {pid} has no resident memory")


if __name__ == "__main__":
    main()
