"""Threads that run one call at a time for a test, so that the test determines the schedule."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

PATIENCE = 10.0
"""Seconds after which a call that has not returned counts as a hang."""


class Worker:
    """One thread. ``ask`` hands it a call and returns at once; ``do`` waits for the outcome."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._calls = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int:
        """The identifier of the thread."""
        assert self._thread.ident is not None
        return self._thread.ident

    def ask(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Hands the thread a call, and returns a future of its result."""
        future: Future[Any] = Future()
        self._calls.put((future, lambda: call(*args)))
        return future

    def do(self, call: Callable[..., Any], *args: Any) -> Any:
        """Hands the thread a call, and waits for its result."""
        return self.ask(call, *args).result(PATIENCE)

    def dismiss(self) -> None:
        """Ends the thread. Fails if it hangs in its last call."""
        self._calls.put(None)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a worker hangs in its last call"

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


@contextmanager
def workers(count: int) -> Iterator[list[Worker]]:
    """Starts `count` workers, and ends them at the end of the block."""
    team = [Worker() for _ in range(count)]
    try:
        yield team
    finally:
        for worker in team:
            worker.dismiss()
