"""The common base of a bank with one server and a bank with several."""

from __future__ import annotations

import atexit
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
import redis as redis_py

from bankkit import accounts
from bankkit.client import Client
from bankkit.options import CommonOptions
from bankkit.pb import bank_pb2_grpc
from bankkit.redis_backend import PrivateNodes, connection, own_namespace
from bankkit.rpc.channels import Gate, check_grpc, open_channel
from bankkit.runtime.arguments import check_grace
from bankkit.runtime.pickling import Unique
from bankkit.runtime.signals import interrupt_later
from bankkit.store import Store

GRACE_SECONDS = 5.0
"""How long `stop` waits for calls in flight."""

STOPPED = "This bank is stopped: run the start cell again."
"""The text of the RuntimeError that every use of a stopped bank raises.

It is not a `CallError`: no call was made, and code that retries after a `CallError` would do so
forever.
"""


class RunningBank(Unique, ABC):
    """A Redis, one or more servers, and clients for them. A context manager that stops them all.

    After `stop`, and in a forked child, every use raises RuntimeError that says why. In a forked
    child, `stop` does nothing.
    """

    concurrency: str
    """How operations on one account are kept apart: see `bankkit.teller`."""
    redis: redis_py.Redis
    """A client of the bank's Redis, for looking around."""
    store: Store
    client: Client
    """A client with request ids, deadlines and retries."""
    channel: grpc.Channel
    stub: bank_pb2_grpc.BankServiceStub
    """The generated stub, without deadlines and retries."""

    @property
    @abstractmethod
    def address(self) -> str:
        """`HOST:PORT`, or several, separated by commas."""

    @property
    def _own_address(self) -> str:
        """The address for clients in this process."""
        return self.address

    @abstractmethod
    def _stop_serving(self, grace: float) -> None:
        """Lets calls in flight end, and stops the servers. Safe to call again."""

    @contextmanager
    def _opening(self, options: CommonOptions) -> Iterator[ExitStack]:
        """Wraps the start of the servers: opens Redis before it, and the clients after it. `stop`
        closes everything on the stack."""
        self._lock = threading.RLock()
        self._is_stopping = False
        self._gates: list[Gate] = []
        self._gate = self._new_gate()
        check_grpc()
        with ExitStack() as stack:
            self._engine, namespace = stack.enter_context(
                own_namespace(
                    options.redis,
                    options.namespace,
                    data_dir=options.data_dir,
                    appendfsync=options.appendfsync,
                )
            )
            self.redis = connection.connect(self._engine.url)
            stack.callback(self.redis.close)
            connection.check_replicas(self.redis, options.wait_replicas)
            self.store = Store(self.redis, namespace, wait_replicas=options.wait_replicas)
            stack.callback(self.store.link.close)
            connection.put_behind(self._gate, self.redis)
            yield stack
            self.client = Client(self._own_address, gate=self._new_gate())
            stack.callback(self.client.close)
            self.channel = open_channel(self._own_address, gate=self._new_gate())
            stack.callback(self.channel.close)
            self.stub = bank_pb2_grpc.BankServiceStub(self.channel)
            self._resources = stack.pop_all()
        atexit.register(self.stop)

    @property
    def engine(self) -> str:
        """The Redis that the bank uses, described in one line."""
        return self._engine.description

    @property
    def redis_nodes(self) -> PrivateNodes:
        """The nodes of `private-cluster` or `private-sentinel`, to inspect, kill and restart."""
        self._gate.check()
        if not isinstance(self._engine, PrivateNodes):
            raise RuntimeError(
                "This bank has no Redis nodes: start it with redis='private-cluster' or "
                "redis='private-sentinel'."
            )
        return self._engine

    def peek(self, account_id: str) -> dict[str, Any]:
        """Everything that Redis holds for an account, by key; the same in every namespace."""
        accounts.check_account_id(account_id)
        self._gate.check()
        return self.store.peek(account_id)

    def pause_redis(self) -> None:
        """Pauses the private Redis (SIGSTOP); commands sent to it wait."""
        self._gate.check()
        self._engine.pause()

    def resume_redis(self) -> None:
        """Lets a paused Redis go on (SIGCONT); it then runs the commands that waited."""
        self._gate.check()
        self._engine.resume()

    def restart_redis(self) -> None:
        """Restarts the private Redis, also after a crash. Without `data_dir` it is empty then."""
        self._gate.check()
        self._engine.restart()

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Gives calls in flight at most `grace` seconds to end, and leaves nothing running.

        An Interrupt is delayed until `stop` is done. Safe to call again, from several threads, and
        from a signal handler during `stop`; does nothing in a forked child.
        """
        check_grace(grace)
        if not self._gate.is_here:
            return
        with interrupt_later(deadly=False), self._lock:
            if self._is_stopping:  # a signal handler has interrupted `stop` in this thread
                return
            self._is_stopping = True
            try:
                for gate in self._gates:
                    gate.close(STOPPED)
                self.store.link.close(STOPPED)
                self._stop_serving(grace)  # first, so that calls on our own channels can end
                self._resources.close()
            finally:
                self._is_stopping = False
        atexit.unregister(self.stop)

    def _new_gate(self) -> Gate:
        """A gate that is closed when the bank stops."""
        self._gates.append(Gate("bank"))
        return self._gates[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
