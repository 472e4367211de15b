"""Admits calls to their handlers: a call waits for its message first, and then for a free slot.

A client that opens a call and sends nothing occupies a thread of the server, but no slot.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from bankkit.accounts import Overloaded, TooLate
from bankkit.observer import Observer, ServedCall
from bankkit.rpc.observed_calls import observe_arrival, observe_end, observe_service
from bankkit.rpc.status import InvalidMessage, abort

LOOK_SECONDS = 0.01
"""How often `close` checks whether calls still wait for their messages."""


class Admission(grpc.GenericRpcHandler):
    """Waits for the message of each call, so that the handlers behind it never wait for a client.

    handlers   each call goes to the first handler that knows its method
    slots      how many unary calls the handlers work on at once; None for any number
    most       how many calls may wait for their clients at once; further ones are refused
    observers  they are told of each unary call that arrives

    Bytes that are not a valid message are refused with INVALID_ARGUMENT; grpcio would answer
    INTERNAL.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        slots: int | None = None,
        most: float = math.inf,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._handlers = handlers
        self._most = most
        self._observers = observers
        self._slots: queue.SimpleQueue[None] | None = None
        if slots is not None:
            self._slots = queue.SimpleQueue()  # a queue of permits is faster than a semaphore
            for _ in range(slots):
                self._slots.put(None)
        self._waiting: set[Any] = set()
        self._closing = False
        self._grace = 0.0

    def __len__(self) -> int:
        """How many calls wait for their clients: for a message, or with an open stream."""
        return len(self._waiting)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler for a call, wrapped so that the wait for its message happens here."""
        found = (handler.service(handler_call_details) for handler in self._handlers)
        handler: Any = next(filter(None, found), None)
        call: ServedCall | None = None
        if self._observers and handler is not None and not handler.response_streaming:
            call = observe_arrival(handler_call_details, self._observers)
            handler = observe_service(handler, call)
        if handler is None or (handler.request_streaming and not handler.response_streaming):
            # Either the method is unknown, or the handler refuses the call without waiting.
            behind = handler
        elif len(self._waiting) >= self._most:
            behind = grpc.stream_unary_rpc_method_handler(_refuse)
        elif not handler.response_streaming:
            answer = partial(self._answer, handler)
            behind = grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)
        else:
            behind = grpc.stream_stream_rpc_method_handler(
                partial(self._converse, handler), None, handler.response_serializer
            )
        return behind if call is None else observe_end(behind, call)

    def close(self, grace: float) -> None:
        """Waits up to `grace` seconds for the calls that wait for their clients, then cancels them.

        Call it when no new calls come in. A call that was accepted earlier, but whose thread starts
        only now, gets the same time for its message.
        """
        # We count checks, not seconds: if the machine is so busy that this thread does not run, the
        # threads that read the messages do not run either.
        for _ in range(math.ceil(grace / LOOK_SECONDS)):
            if not self._waiting:
                break
            time.sleep(LOOK_SECONDS)
        self._grace = grace
        self._closing = True
        for context in list(self._waiting):
            context.cancel()

    def _answer(self, handler: Any, messages: Iterator[bytes], context: Any) -> Any:
        # Not `with self._waited_for(context)`, which would cost every call a microsecond.
        self._waiting.add(context)
        late = self._cancel_later(context) if self._closing else None
        try:
            data = next(messages, None)
        finally:
            self._waiting.discard(context)
            if late is not None:
                late.cancel()
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
        late = self._cancel_later(context) if self._closing else None
        try:
            yield
        finally:
            self._waiting.discard(context)
            if late is not None:
                late.cancel()

    def _cancel_later(self, context: Any) -> threading.Timer:
        timer = threading.Timer(self._grace, context.cancel)
        timer.daemon = True
        timer.start()
        return timer


def _parse(handler: Any, data: bytes | None, context: grpc.ServicerContext) -> Any:
    if data is None:  # the client ended the call without a message
        abort(context, InvalidMessage())
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        abort(context, InvalidMessage())


def _refuse(messages: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
    abort(context, Overloaded())
