"""The setup of a crash experiment: two servers of one bank on one Redis, and recorded clients."""

from __future__ import annotations

import itertools
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import cast

import grpc

from bankkit.client import error_info
from bankkit.lab.faults.crash_result import Answer, CrashResult
from bankkit.lab.faults.server_processes import FaultyServer
from bankkit.lab.recording.events import REDIS, EventKind, RecordedEvent
from bankkit.lab.recording.history import History
from bankkit.lab.recording.lost_updates import lost_updates
from bankkit.lab.recording.recorder import Entry, Log, RecordedChannel
from bankkit.locks import RedisLocks, RedisLockStatistics
from bankkit.pb import bank_pb2, bank_pb2_grpc
from bankkit.redis_backend import PRIVATE, connection, own_namespace
from bankkit.runtime.closing import Closing
from bankkit.store import Store
from bankkit.supervisor.supervised import Supervisor

ACCOUNT = "alice"
DOLLARS = 100
"""The amount of every deposit."""

LEASE_SECONDS = 0.5
"""Long enough to be renewed on a busy machine, and short enough to wait for its end."""

CALL_SECONDS = 20.0


class FaultRig(Closing):
    """Two servers, one Redis and their clients; a context manager that ends them all.

    They also end if this process is killed. With a `data_dir`, Redis is a private one that has
    every write on the disk there before it answers. Without `fencing`, a server commits even if it
    no longer holds the lock, which no real server of a bank does.
    """

    def __init__(
        self, concurrency: str, *, fencing: bool = True, data_dir: str | None = None
    ) -> None:
        self._concurrency = concurrency
        self._entries: list[Entry] = []
        self._log = Log(self._entries)
        self._answers: list[Future[Answer]] = []
        self._faults: list[RecordedEvent] = []
        self._leases: list[tuple[int, RecordedEvent]] = []
        """When the lease was noted (ns), and its calculated end."""
        with ExitStack() as stack:
            engine, namespace = stack.enter_context(
                own_namespace(
                    PRIVATE if data_dir else None, data_dir=data_dir, appendfsync="always"
                )
            )
            self.redis = engine
            client = stack.enter_context(closing(connection.connect(engine.url)))
            self._store = Store(client, namespace)
            self._store.create(ACCOUNT, "savings")
            self._pool = stack.enter_context(ThreadPoolExecutor(8, "client"))
            supervisor = stack.enter_context(Supervisor())
            arguments = [namespace, concurrency, str(LEASE_SECONDS)]
            arguments += [] if fencing else ["--without-fencing"]
            self.servers = tuple(
                stack.enter_context(
                    closing(FaultyServer(f"server {n}", supervisor, engine.url, arguments))
                )
                for n in (1, 2)
            )
            self._channels = {
                server: stack.enter_context(grpc.insecure_channel(server.address))
                for server in self.servers
            }
            self._resources = stack.pop_all()

    def deposit(
        self, client: str, server: FaultyServer, request_id: str | None = None
    ) -> Future[Answer]:
        """Deposit $100, once and without retry.

        The future never raises an RpcError: its answer has the status code.
        """
        request_id = request_id or uuid.uuid4().hex
        channel = RecordedChannel(self._channels[server], client, self._log)
        stub = bank_pb2_grpc.BankServiceStub(channel)
        request = bank_pb2.DepositRequest(account_id=ACCOUNT, amount=DOLLARS, request_id=request_id)

        def call() -> Answer:
            try:
                stub.Deposit(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                failed = cast(grpc.Call, error)
                info = error_info(failed)
                return Answer(client, request_id, failed.code().name, info.reason if info else "")
            return Answer(client, request_id, "OK")

        self._answers.append(self._pool.submit(call))
        return self._answers[-1]

    def lock(self) -> RedisLockStatistics:
        """The holders of the account's lock in Redis, and its waiters."""
        locks = RedisLocks(self._store.link, renew=False)
        return locks(self._store.lock_key(ACCOUNT)).statistics()

    def note_redis(self, kind: EventKind) -> None:
        """Record an event of Redis, such as `killed`, at the present time."""
        self._faults.append(RecordedEvent(time.monotonic_ns(), "", kind, server=REDIS))

    def note_lease(self, server: FaultyServer, client: str) -> None:
        """Record when the server's lease for this client will expire.

        Call it once the server can no longer renew the lease.
        """
        now = time.monotonic_ns()
        call = str(server.wait_for("granted", client)["call"])
        for party in self.lock().holders:
            if party.owner == server.name:
                end = now + round(party.seconds_left * 1e9)
                expired = RecordedEvent(
                    end, call, "expired", ACCOUNT, None, party.mode, server.name
                )
                self._leases.append((now, expired))

    def result(self, story: str) -> CrashResult:
        """The result of the experiment; waits until every call is answered."""
        answers = tuple(answer.result() for answer in self._answers)
        history = self._history()
        acknowledged = {answer.request_id for answer in answers if answer.acknowledged}
        return CrashResult(
            story=story,
            concurrency=self._concurrency,
            answers=answers,
            expected=len(acknowledged) * DOLLARS * 100,
            final=self._store.read(ACCOUNT).account.balance,
            lost_updates=lost_updates(history, ACCOUNT),
            history=history,
        )

    def close(self) -> None:
        """End the clients, the servers and Redis."""
        self._resources.close()

    def _history(self) -> History:
        whole = History.merge(
            History(itertools.starmap(RecordedEvent, self._entries), self._log.reasons),
            History(self._faults),
            *(server.history for server in self.servers),
        )
        grants = [event.at for event in whole.events if event.kind == "granted"]
        # The calculated ends are exact to a millisecond only, so a later grant shows that the lease
        # had expired by then.
        leases = (
            replace(end, at=min([end.at, *(at for at in grants if at > noted)]))
            for noted, end in self._leases
        )
        return History.merge(whole, History(leases))
