"""`python -m bankkit demo`: runs the bank's scenarios against a new bank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bankkit.client import CallError, Client, connect
from bankkit.launch.bank import Bank


def scenarios(bank: Bank) -> Iterator[str]:
    """Make the calls of all scenarios, and yield one line of text per call."""
    client = bank.client

    def line(account_id: str, call: Callable[..., Any], *values: object) -> str:
        try:
            reply = call(account_id, *values)
        except CallError as error:
            return f"Account {account_id} error: {error.code()}, {error.details()}"
        return f"Account {account_id}: {reply.message}, Balance: {reply.balance}"

    yield line("100", client.create_account)
    yield line("100", client.deposit, 10000)
    yield line("100", client.withdraw, 20)
    yield line("100", client.calculate_interest, 5)
    yield line("100", client.get_balance)

    yield line("101", client.create_account)
    yield line("101", client.create_account)

    yield line("102", client.create_account)
    yield line("102", client.deposit, -100)

    yield line("103", client.create_account)
    yield line("103", client.deposit, 50)
    yield line("103", client.withdraw, 100000)

    yield line("104", client.create_account)
    yield line("104", client.deposit, 500)
    yield line("104", client.calculate_interest, -5)

    yield line("105", client.create_account)
    yield from sorted(_in_parallel(bank.address, lambda one: line("105", one.deposit, 100)))
    yield line("105", client.get_balance)


def _in_parallel(address: str, call: Callable[[Client], str], clients: int = 3) -> list[str]:
    """The line of each of several clients, which call at once, each on its own channel."""

    def one(_: int) -> str:
        with connect(address) as client:
            return call(client)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))
