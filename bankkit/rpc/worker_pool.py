"""The threads of a server, and the calls that wait for their peer without keeping one from others.

gRPC runs each call on a thread from its first byte on: a stream that stays open, or a call whose
message never comes, holds that thread for as long as the client likes. So there are as many threads
as calls, up to a limit, and what is limited to `threads` is the bank's work itself.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from bankkit.accounts import Overloaded, TooLate
from bankkit.service import InvalidMessage, abort

IDLE_SECONDS = 10.0
"""After which a thread that is one more than usual ends."""

_Task = tuple[futures.Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class WorkerPool(futures.Executor):
    """Daemon threads: a fixed number, and up to `most` while there are tasks for them.

    The standard `ThreadPoolExecutor` joins its threads when the interpreter exits; one that waits
    forever, as `first-draft` can make it, would keep the process from ending.
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
        """Tasks that run or wait to."""
        return self._load

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
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
        """Tasks queued already still run. Does not wait for threads that are stuck."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Whether all threads ended within that many seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _spawn(self, patience: float | None) -> None:
        """A thread that ends when it has had nothing to do for so many seconds."""
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
            del task, future, fn, args, kwargs  # keep nothing alive while idle


class Door(grpc.GenericRpcHandler):
    """Waits for the message of each call, so that the handlers behind it never wait for a client.

    handlers  each call goes to the first that knows its method
    slots     how many unary calls the handlers work on at once; None for any number
    most      how many calls may wait for their clients at once; one more is refused

    Bytes that are no message are refused with INVALID_ARGUMENT, where grpcio says INTERNAL.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        slots: int | None = None,
        most: float = math.inf,
    ) -> None:
        self._handlers = handlers
        self._most = most
        self._slots: queue.SimpleQueue[None] | None = None
        if slots is not None:
            self._slots = queue.SimpleQueue()  # of permits: quicker than a semaphore
            for _ in range(slots):
                self._slots.put(None)
        self._waiting: set[Any] = set()
        self._closing = False

    def __len__(self) -> int:
        """How many calls wait for their clients: for a message, or with a stream that is open."""
        return len(self._waiting)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        found = (handler.service(handler_call_details) for handler in self._handlers)
        handler: Any = next(filter(None, found), None)
        if handler is None or (handler.request_streaming and not handler.response_streaming):
            return handler  # unknown, or the refusal of a call too many, which waits for nobody
        if len(self._waiting) >= self._most:
            return grpc.stream_unary_rpc_method_handler(_refuse)
        if not handler.response_streaming:
            answer = partial(self._answer, handler)
            return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)
        return grpc.stream_stream_rpc_method_handler(
            partial(self._converse, handler), None, handler.response_serializer
        )

    def close(self, grace: float) -> None:
        """Ends the calls that wait for their clients, after so many seconds at most.

        Call it when no new ones come in.
        """
        deadline = time.monotonic() + grace
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing = True
        for context in list(self._waiting):
            context.cancel()

    def _answer(self, handler: Any, messages: Iterator[bytes], context: Any) -> Any:
        self._waiting.add(context)  # by hand: `_waited_for` would cost every call a microsecond
        try:
            if self._closing:
                context.cancel()
            data = next(messages, None)
        finally:
            self._waiting.discard(context)
        request = _parse(handler, data, context)
        if self._slots is None:
            return handler.unary_unary(request, context)
        left = context.time_remaining()
        longest = threading.TIMEOUT_MAX if left is None else min(left, threading.TIMEOUT_MAX)
        try:
            self._slots.get(timeout=max(0.0, longest))
        except queue.Empty:
            abort(context, TooLate())
        try:
            return handler.unary_unary(request, context)
        finally:
            self._slots.put(None)

    def _converse(self, handler: Any, messages: Iterator[bytes], context: Any) -> Iterator[Any]:
        with self._waited_for(context):
            if handler.request_streaming:
                requests = (_parse(handler, data, context) for data in messages)
                yield from handler.stream_stream(requests, context)
            else:
                request = _parse(handler, next(messages, None), context)
                yield from handler.unary_stream(request, context)

    @contextmanager
    def _waited_for(self, context: Any) -> Iterator[None]:
        self._waiting.add(context)
        try:
            if self._closing:
                context.cancel()
            yield
        finally:
            self._waiting.discard(context)


def _parse(handler: Any, data: bytes | None, context: grpc.ServicerContext) -> Any:
    if data is None:  # the client has ended the call without a message
        abort(context, InvalidMessage())
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        abort(context, InvalidMessage())


def _refuse(messages: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
    abort(context, Overloaded())
