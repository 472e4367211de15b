"""The threads of a server.

gRPC gives each call a thread as soon as it begins: a stream that stays open, or a call whose
message never comes, keeps that thread until the client ends it. So the pool has a thread for each
call, up to a limit, and `bankkit.rpc.admission` limits how many of them work at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

IDLE_SECONDS = 10.0
"""How long an extra thread waits for a task before it ends."""

_Task = tuple[futures.Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class WorkerPool(futures.Executor):
    """A pool of daemon threads: a fixed number, and extra ones up to `most` while there are tasks.

    The standard `ThreadPoolExecutor` joins its threads when the interpreter exits. A thread that
    waits forever, as in `first-draft`, would keep the process from ending.
    """

    def __init__(self, threads: int, name: str = "bankkit-rpc", *, most: int = 0) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._load = 0
        self._closed = False
        self._name = name
        self._most = max(threads, most)
        self._threads: set[threading.Thread] = set()
        for _ in range(threads):
            self._spawn(None)

    @property
    def load(self) -> int:
        """The number of tasks that run or are queued."""
        return self._load

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Queues the call of `fn`. Raises RuntimeError after `shutdown`."""
        future: futures.Future[Any] = futures.Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._load += 1
            if self._load > len(self._threads) < self._most:
                self._spawn(IDLE_SECONDS)
            self._tasks.put((future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks. Queued tasks still run; it does not wait for them."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Whether all threads have ended within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _spawn(self, patience: float | None) -> None:
        """Starts a thread that ends after `patience` seconds without a task; None for never."""
        thread = threading.Thread(target=self._work, args=(patience,), name=self._name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self, patience: float | None) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=patience)
            except queue.Empty:
                with self._lock:
                    if not self._closed and self._load < len(self._threads):
                        self._threads.discard(threading.current_thread())
                        return
                continue
            if task is None:
                return
            future, fn, args, kwargs = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)
            with self._lock:
                self._load -= 1
            del task, future, fn, args, kwargs  # an idle thread must not keep objects alive
