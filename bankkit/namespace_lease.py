"""A server's lease of its namespace: whether it may write there, and under which generation.

Two servers lose money together if the lock of one does not keep out the calls of the other. So each
server takes a lease in Redis, and a server that finds a rival there does not start. A lease can be
lost: a server whose machine slept, that was stopped with Ctrl-Z, or that could not reach Redis may
come back and find another server at work. Then it writes nothing until it holds the namespace
again, and the commits that it had already sent are refused: each lease has a generation, a read for
a write marks the account with it, and the store refuses a commit of an earlier generation.

    t=0.0  server A reads account X for a deposit: X is marked with generation 1
    t=0.1  A is stopped (Ctrl-Z)
    t=3.1  A's lease has expired. Server B starts and gets generation 2
    t=3.2  B reads X for a deposit, which marks it with generation 2, and commits
    t=9.0  A goes on. Its commit arrives: 1 < 2, so Redis refuses it. The caller gets LEASE_LOST

Source: Gray and Cheriton, "Leases", SOSP 1989; the generation is the fencing token (sequencer) of
Burrows, "The Chubby lock service", OSDI 2006.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from bankkit.accounts import BankError, NamespaceLost, StoreUnavailable, StoreUnfit
from bankkit.redis_backend.probe import evicts
from bankkit.store import Registration, Store

LEASE_SECONDS = 3.0
"""How long the lease of a killed server still keeps rivals out."""

_log = logging.getLogger("bankkit")


class ConflictingServers(RuntimeError):
    """Another server works on the same accounts, and the locks of the two do not exclude each
    other."""


class Lease(Protocol):
    """The permission that a teller needs before it writes."""

    def generation(self) -> int:
        """The generation for the write, 0 for none. Raises a `BankError` if it may not write."""

    def lost_to(self, generation: int) -> NamespaceLost:
        """Notes that an account has this later generation, and returns the error to raise."""


class _NoLease:
    """Permits every write, without a generation."""

    def generation(self) -> int:
        return 0

    def lost_to(self, generation: int) -> NamespaceLost:
        return NamespaceLost()


NO_LEASE = _NoLease()


class ServerLease:
    """The lease of one server, from `claim` to `release`; a thread renews it in between.

    alone     whether the server's concurrency choice is safe only without other servers
    unsafe    take the lease despite rivals, and write without a generation
    report    called with False when the server can no longer write, with True when it can again

    Safe for any number of threads.
    """

    def __init__(
        self,
        store: Store,
        concurrency: str,
        *,
        alone: bool,
        unsafe: bool,
        report: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._concurrency = concurrency
        self._alone = alone
        self._unsafe = unsafe
        self._report = report
        self.server_id = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        """The name of this server in Redis."""
        self._generation = 0
        self._seen = 0
        """The latest generation that was found on an account."""
        self._until = 0.0
        """When the lease expires (see `_now`); 0 once it is known to be lost."""
        self._renewing = threading.Lock()
        self._renewals = 0
        self._refusal: BankError | None = None
        """The error of the latest renewal, if it failed; guarded by `_renewing`."""
        self._trouble = ""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="bankkit-lease", daemon=True)

    def generation(self) -> int:
        """The generation for a write now; renews an expired lease first.

        Raises `NamespaceLost` if there is a rival, `StoreUnfit` if Redis may evict keys, and
        `StoreUnavailable` if Redis does not answer.
        """
        if _now() >= self._until:
            if self._stopping.is_set():
                raise NamespaceLost
            renewals = self._renewals
            with self._renewing:
                # Otherwise another thread has renewed it while this one waited.
                if self._renewals == renewals:
                    self._renew()
                if self._refusal is not None:
                    raise type(self._refusal)
        return self._generation

    def lost_to(self, generation: int) -> NamespaceLost:
        """Forbids writes until the lease is renewed; the renewal begins at once."""
        if generation > self._generation:  # otherwise the lease has been renewed since
            self._seen = max(self._seen, generation)
            self._until = 0.0
            self._wake.set()
        return NamespaceLost()

    def claim(self) -> None:
        """Takes the lease; waits until the lease of a rival that was killed has expired.

        Raises `ConflictingServers` or `StoreUnavailable`.
        """
        deadline = time.monotonic() + LEASE_SECONDS + 0.5
        while (rivals := self._register().rivals) and not self._unsafe:
            if time.monotonic() >= deadline:
                raise ConflictingServers(self._about(rivals))
            time.sleep(0.1)  # Redis does not report that a lease has expired

    def keep(self) -> None:
        """Starts the thread that renews the lease."""
        self._keeper.start()

    def release(self) -> None:
        """Ends the thread and gives the lease back. Safe to call again."""
        self._stopping.set()
        self._wake.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        try:
            self._store.unregister(self.server_id)
        except StoreUnavailable:
            _log.info("could not give the lease back; it will expire")

    def _register(self) -> Registration:
        asked = _now()
        found = self._store.register(
            self.server_id,
            self._concurrency,
            alone=self._alone,
            lease_ms=int(LEASE_SECONDS * 1000),
            force=self._unsafe,
            generation=self._generation,
            seen=self._seen,
        )
        self._generation = found.generation or self._generation
        is_granted = self._unsafe or not found.rivals
        self._until = asked + LEASE_SECONDS if is_granted else 0.0
        return found

    def _renew(self) -> str:
        """Renews the lease; returns what is wrong, or ''. The caller holds `_renewing`."""
        trouble = ""
        self._refusal = None
        try:
            found = self._register()
        except StoreUnavailable as error:
            trouble = f"the account store is unavailable: {error.__cause__ or error}"
            self._refusal = error
        except Exception as error:  # no answer of Redis may end the thread
            trouble, self._refusal = f"the lease was not renewed: {error}", StoreUnavailable()
        else:
            if found.rivals and not self._unsafe:
                self._refusal = NamespaceLost()
                trouble = (
                    f"another server ({', '.join(found.rivals)}) works on the same accounts: this "
                    "server writes nothing until the other one has stopped"
                )
            elif unfit := evicts(self._store.client):
                self._until = 0.0
                self._refusal = StoreUnfit()
                trouble = f"this server refuses all writes, because Redis {unfit}"
        self._renewals += 1
        return trouble

    def _keep(self) -> None:
        while True:
            self._wake.wait(LEASE_SECONDS / 3)
            self._wake.clear()
            if self._stopping.is_set():
                return
            with self._renewing:
                trouble = self._renew()
            if trouble != self._trouble:
                _log.warning("%s", trouble or "this server can serve writes again")
                if bool(trouble) != bool(self._trouble):
                    self._report(not trouble)
                self._trouble = trouble

    def _about(self, rivals: tuple[str, ...]) -> str:
        return (
            f"Another server ({', '.join(sorted(rivals))}) works on the same accounts, and "
            f"{self._concurrency} is safe only "
            + (
                "within one process. Stop the other one, or choose redis-read-write or atomic for "
                "both."
                if self._alone
                else f"if the other one uses {self._concurrency}, too. Stop the other one, or "
                "start both with the same choice: redis-read-write or atomic."
            )
        )


if hasattr(time, "CLOCK_BOOTTIME"):

    def _now() -> float:
        """Seconds on a clock that runs on while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
else:
    _now = time.monotonic
