"""The options of a bank: each is declared here once, and checked here once.

The parameters of `Bank`, `Fleet` and `start`, their docstrings, the arguments of
`python -m bankkit serve`, and the command line of a fleet's servers all come from these classes:

    CommonOptions   banks of one server, banks of several servers, and `serve`
    BankOptions     banks of one server, and `serve` if the option has a flag
    FleetOptions    banks of several servers

An object of such a class holds only allowed values. Its constructor starts nothing, but it reads
the files that the options name, and makes the folder `data_dir`.
"""

from __future__ import annotations

import re
import threading
from dataclasses import KW_ONLY, dataclass, fields
from functools import partial
from typing import Any

from bankkit import teller
from bankkit.locks import POLICIES, LockTable
from bankkit.locks.redis_read_write import check_owner
from bankkit.redis_backend import APPENDFSYNC, SETUPS, choose
from bankkit.redis_backend.namespaces import check_namespace
from bankkit.runtime.arguments import check_flag, check_path, check_whole, is_number
from bankkit.runtime.option_fields import Flag, Options, option, with_default
from bankkit.tls import PathLike, TlsFiles

MAX_SERVERS = 32


def _check_namespace(name: str, value: object) -> None:
    check_namespace(value)


def _check_name(name: str, value: object) -> None:
    check_owner(value)


def _check_locks(name: str, value: object) -> None:
    if not isinstance(value, LockTable):
        raise ValueError(f"{name} must be a bankkit.locks.LockTable, not {value!r}.")


def _check_lease(name: str, value: Any) -> None:
    if not is_number(value) or not 0.1 <= value <= 3600:
        raise ValueError(f"{name} must be 0.1 to 3600 seconds, not {value!r}.")


def _check_max_wait(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value <= threading.TIMEOUT_MAX:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}.")


def _check_host(name: str, value: object) -> None:
    """Checks the syntax only. The server finds out whether the host is this machine."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a name or an address of this machine, not {value!r}.")
    # Python would listen on every address for `*` or an empty host.
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", value):
        raise ValueError(f"{name} {value!r} is not an address of this machine.")


@dataclass(frozen=True, kw_only=True)
class RedisOptions(Options):
    """The options that say which Redis a bank uses."""

    redis: str | None = option(
        None,
        "URL of your Redis, which may be a Cluster or behind Sentinels; "
        "or private, private-cluster, private-sentinel",
        unset="by default BANKKIT_REDIS_URL, else private",
        flag=Flag("URL"),
        secret=True,  # the URL may contain a password
    )
    data_dir: PathLike | None = option(
        None,
        "folder in which a private Redis keeps the accounts",
        check_path,
        unset="without it the accounts are deleted when the bank stops",
        flag=Flag("DIR"),
    )
    appendfsync: str = option(
        "everysec",
        "when a write reaches the disk of that folder",
        choices=APPENDFSYNC,
    )


@dataclass(frozen=True)
class CommonOptions(RedisOptions):
    """The options of every bank, whether it has one server or several."""

    concurrency: str = option(
        "read-write",
        "how operations on one account are kept apart",
        choices=teller.CHOICES,
    )
    _: KW_ONLY
    namespace: str | None = option(
        None,
        "namespace of the accounts in Redis",
        _check_namespace,
        unset="by default a fresh one on your Redis, deleted when the bank stops or this process "
        "dies",
        flag=Flag("NAME", default="bank"),
    )
    wait_replicas: int = option(
        0,
        "how many replicas must have a write before it is acknowledged",
        partial(check_whole, least=0, most=100),
        flag=Flag("N"),
    )
    lease: float = option(
        3.0,
        "seconds that redis-read-write keeps an account locked for a server that died",
        _check_lease,
        flag=Flag("SECONDS"),
    )
    threads: int = option(
        16, "calls that a server serves at once", partial(check_whole, least=1, most=1000)
    )
    unsafe: bool = option(
        False,
        "permit a choice of concurrency that cannot see the other servers of the same accounts",
        check_flag,
    )

    def check_together(self) -> None:
        """Raises ValueError for `redis`, `data_dir` or `wait_replicas` that do not fit together."""
        own = choose(self.redis, data_dir=self.data_dir, appendfsync=self.appendfsync)
        replicas = SETUPS[self.redis].replicas if self.redis in SETUPS else 0
        if own is None and self.wait_replicas > replicas:
            raise ValueError(
                f"wait_replicas is {self.wait_replicas}, but "
                f"{self.redis if self.redis in SETUPS else 'a private Redis'} has {replicas} for a "
                f"master: no write would be acknowledged."
            )


@dataclass(frozen=True, kw_only=True)
class BankOptions(CommonOptions):
    """The options of a bank of one server."""

    policy: str = option(
        "fair",
        "order in which a read–write lock in this process admits threads",
        choices=POLICIES,
        flag=None,
    )
    locks: LockTable | None = option(
        None,
        "locks of your own for the accounts",
        _check_locks,
        unset="without them those that concurrency names",
        flag=None,
    )
    name: str | None = option(
        None,
        "name that a lock of redis-read-write shows for this server",
        _check_name,
    )
    host: str = option("127.0.0.1", "address to listen on", _check_host)
    port: int = option(
        0,
        "port to listen on; 0 for any free one",
        partial(check_whole, least=0, most=65535),
        flag=Flag(default=50051),
    )
    max_calls: int = option(
        1000,
        "calls served or queued at once; further calls are refused",
        partial(check_whole, least=1, most=1_000_000),
        flag=None,
    )
    max_wait: float = option(
        30.0, "seconds that a call without a deadline may wait", _check_max_wait, flag=None
    )
    tls_cert: PathLike | None = option(
        None,
        "file of the server's certificate, in PEM; clients must then use TLS",
        check_path,
        flag=Flag("FILE"),
    )
    tls_key: PathLike | None = option(
        None, "file of the key of that certificate", check_path, flag=Flag("FILE")
    )
    tls_ca: PathLike | None = option(
        None,
        "file of the CA that must have signed a client's certificate",
        check_path,
        unset="without it clients need no certificate",
        flag=Flag("FILE"),
    )

    @property
    def tls(self) -> TlsFiles:
        """The three TLS options together."""
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)

    def check_together(self) -> None:
        """Raises ValueError also for bad TLS files, or a `policy` that the choice does not have."""
        teller.check_choice(self.concurrency, self.policy, self.locks)
        self.tls.server_credentials()
        super().check_together()


@dataclass(frozen=True)
class FleetOptions(CommonOptions):
    """The options of a bank of several servers."""

    concurrency: str = with_default("redis-read-write", CommonOptions, "concurrency")
    _: KW_ONLY
    servers: int = option(
        3,
        f"how many servers, from 1 to {MAX_SERVERS}",
        partial(check_whole, least=1, most=MAX_SERVERS),
        flag=None,
    )

    @property
    def of_each_server(self) -> dict[str, Any]:
        """The options for each server: all except the choice of Redis, which the fleet opens."""
        excluded = {each.name for each in fields(RedisOptions)}
        names = [each.name for each in fields(CommonOptions) if each.name not in excluded]
        return {name: getattr(self, name) for name in names}

    def check_together(self) -> None:
        """Raises ValueError also for a choice that is not safe with so many servers."""
        teller.check_choice(self.concurrency)
        if self.servers > 1 and teller.is_alone(self.concurrency) and not self.unsafe:
            raise ValueError(
                f"{self.concurrency} keeps calls apart within one process only: {self.servers} "
                f"servers would overwrite each other's changes, and money would be lost. Choose "
                f"{' or '.join(teller.ACROSS_SERVERS)}, or pass unsafe=True to see it happen."
            )
        super().check_together()


@dataclass(frozen=True, kw_only=True)
class StartOptions(BankOptions):
    """The options of `start` for a bank of one server; for several it takes `FleetOptions`."""

    servers: int = with_default(1, FleetOptions, "servers")
