"""Starts a bank for a notebook, in which cells may be run again or interrupted."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, cast, overload

from bankkit import namespace_lease, teller
from bankkit.launch.bank import Bank
from bankkit.launch.fleet import Fleet
from bankkit.namespace_lease import LEASE_SECONDS, ConflictingServers
from bankkit.options import BankOptions, FleetOptions, StartOptions
from bankkit.redis_backend import SETUPS, UserRedis, choose, find_binary
from bankkit.redis_backend.connection import check_replicas, connect
from bankkit.redis_backend.namespaces import fresh_namespace
from bankkit.redis_backend.private import check_unlocked
from bankkit.runtime.option_fields import build, describe, like
from bankkit.runtime.signals import interrupt_later
from bankkit.server import check_free
from bankkit.store import Store
from bankkit.supervisor.supervised import socket_directory
from bankkit.tls import PathLike

_current: Bank | Fleet | None = None
_starting = threading.Lock()
_starter: int | None = None
"""The thread that entered `start` last."""


@overload
@like(BankOptions)
def start(*arguments: Any, **options: Any) -> Bank: ...


@overload
def start(concurrency: str = ..., *, servers: Literal[1], **options: Any) -> Bank: ...


@overload
def start(concurrency: str = ..., *, servers: int, **options: Any) -> Fleet: ...


def start(*arguments: str, servers: int = 1, **options: Any) -> Bank | Fleet:
    """Starts a bank for a notebook and returns it. Takes the options of `Bank`, or for several
    servers those of `Fleet`, whose default `concurrency` is `redis-read-write`.

    If the cell is run again, the earlier bank is stopped first. If the new start is bound to fail
    and `start` can foresee that, the earlier bank keeps running.
    """
    global _current, _starter
    given: BankOptions | FleetOptions
    if servers == 1 and not isinstance(servers, bool):
        given = build(BankOptions, "start()", arguments, options)
    else:
        options["servers"] = servers
        given = build(FleetOptions, f"start(servers={servers!r})", arguments, options)
    if _starting.locked() and _starter == threading.get_ident():  # such as in a signal handler
        raise RuntimeError("This thread is in start() already: call it again after that returns.")
    with _starting:
        _starter = threading.get_ident()
        if _current is not None:
            _check_next_start(given, _current)
        with interrupt_later():
            if _current is not None:
                _current.stop()
                _current = None
            # Their constructors take such an object in place of the options that it holds.
            make: Any = Bank if isinstance(given, BankOptions) else Fleet
            _current = make(given)
            return cast("Bank | Fleet", _current)


describe(start, StartOptions)


def _forget() -> None:
    """Resets the state in a forked child, which has no bank and no other thread in `start`."""
    global _current, _starting
    _current, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _check_next_start(given: BankOptions | FleetOptions, running: Bank | Fleet) -> None:
    """Raises the errors of the new start that can be known while `running` still runs."""
    if isinstance(given, BankOptions):
        own = [address.rpartition(":")[::2] for address in running.address.split(",")]
        but_for = [(host.strip("[]"), int(port)) for host, port in own]
        check_free(given.host, given.port, but_for=but_for)
    user = choose(given.redis, data_dir=given.data_dir, appendfsync=given.appendfsync)
    if user is None:
        find_binary()
        if given.redis not in SETUPS:
            socket_directory()
        if given.data_dir is not None and not _has_data_dir(running, given.data_dir):
            check_unlocked(Path(given.data_dir).expanduser().absolute())
        return
    if running._engine.private and running._engine.url == user[0]:
        raise ValueError(
            "The Redis at that URL belongs to the running bank, and ends with it: "
            "leave redis out, or start your own Redis."
        )
    namespace = given.namespace or fresh_namespace()
    with closing(UserRedis(*user, namespace)) as engine, connect(engine.url) as client:
        check_replicas(client, given.wait_replicas)
        if given.namespace is not None and not given.unsafe:
            _check_rivals(Store(client, given.namespace), given.concurrency, running)


def _has_data_dir(running: Bank | Fleet, data_dir: PathLike) -> bool:
    held = getattr(running._engine, "data_dir", None)
    try:
        return held is not None and Path(data_dir).expanduser().samefile(held)
    except OSError:
        return False


def _check_rivals(store: Store, concurrency: str, running: Bank | Fleet) -> None:
    """Raises `ConflictingServers`; first waits, as a server does, for leases of killed servers to
    expire."""
    if isinstance(running, Bank):
        own = [running.server.lease.server_id]
    else:
        host = socket.gethostname()
        own = [f"{host}-{server.pid}-" for server in running.servers.values()]
    deadline = time.monotonic() + LEASE_SECONDS + 0.5
    while rivals := [
        choice
        for server_id, (choice, alone) in store.servers(
            int(namespace_lease.LEASE_SECONDS * 1000)
        ).items()
        if not server_id.startswith(tuple(own))
        and (alone or teller.is_alone(concurrency) or choice != concurrency)
    ]:
        if time.monotonic() >= deadline:
            raise ConflictingServers(
                f"Another server ({', '.join(sorted(rivals))}) works on the accounts in namespace "
                f"{store.namespace}, and {concurrency} is not safe beside it. Your earlier bank "
                f"still runs. Stop the other server, or choose another namespace."
            )
        time.sleep(0.1)
