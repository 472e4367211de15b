"""Shared by the tests of a Cluster and of Sentinels: deposits while Redis servers die."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

import bankkit
from bankkit.redis_backend import PrivateNodes, RedisNode
from tests.support.processes import LONG_ENOUGH
from tests.support.waiting import eventually


class Depositors:
    """Threads that deposit one dollar at a time, each into its own account.

    A deposit that was not acknowledged is sent again under its request id, until it is.
    """

    def __init__(self, bank: bankkit.Bank | bankkit.Fleet, accounts: list[str]) -> None:
        self._bank = bank
        self._stop = threading.Event()
        self.acknowledged = dict.fromkeys(accounts, 0)
        self.refused = 0
        """How many calls failed after the client's retries."""
        self.mistakes: list[grpc.RpcError] = []
        """Errors that a failover does not explain."""
        self._threads = [threading.Thread(target=self._work, args=(name,)) for name in accounts]
        for account in accounts:
            bank.client.create_account(account)
        for thread in self._threads:
            thread.start()

    def _work(self, account: str) -> None:
        while not self._stop.is_set():
            request_id = uuid.uuid4().hex
            while True:
                try:
                    self._bank.client.deposit(account, 1, request_id=request_id)
                    self.acknowledged[account] += 1
                    break
                except bankkit.CallError as error:
                    self.refused += 1
                    if error.code() not in (
                        grpc.StatusCode.UNAVAILABLE,
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                    ):
                        self.mistakes.append(error)
                        return

    def wait_for_more(self, *, or_refused: bool = False) -> None:
        """Waits for another deposit on each account, or with `or_refused` for a failed call."""
        before, refused = dict(self.acknowledged), self.refused

        def is_more() -> bool:
            if self.mistakes or (or_refused and self.refused > refused):
                return True
            return all(now > before[name] for name, now in self.acknowledged.items())

        eventually(is_more, LONG_ENOUGH)

    def stop(self) -> None:
        """Ends the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def balances(self) -> dict[str, float]:
        """The balance of each account, in dollars."""
        return {name: self._bank.client.get_balance(name).balance for name in self.acknowledged}


@contextmanager
def depositors(bank: bankkit.Bank | bankkit.Fleet, accounts: list[str]) -> Iterator[Depositors]:
    """Runs depositors during the block; each account has had a deposit at its start."""
    at_work = Depositors(bank, accounts)
    try:
        at_work.wait_for_more()
        yield at_work
    finally:
        at_work.stop()


def cut_off(nodes: PrivateNodes, master: RedisNode) -> list[str]:
    """Pauses all replicas of a master. The master does not notice, but they get no more writes."""
    replicas = [node.name for node in nodes.nodes if node.master == master.name]
    for name in replicas:
        nodes.pause(name)
    nodes.client(master.name).execute_command("CLIENT", "KILL", "TYPE", "replica")
    return replicas


def make_whole(nodes: PrivateNodes) -> None:
    """Restarts or resumes all nodes, and waits until the set-up is healthy."""
    for node in nodes.nodes:
        if node.state == "paused":
            nodes.resume(node.name)
        elif node.state == "gone":
            nodes.restart(node.name)
    nodes.wait_until_healthy()
