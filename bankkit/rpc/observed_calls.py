"""Handlers that report to a call's observers when it arrives, begins, gets its reply and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast

import grpc

from bankkit.observer import Observer, ServedCall, current_call, tell


def observe_arrival(details: Any, observers: Sequence[Observer]) -> ServedCall:
    """The call with these gRPC details. Reports to its observers that it has arrived."""
    name = details.method.rpartition("/")[2]
    call = ServedCall(name, details.invocation_metadata, tuple(observers))
    for observer in call.observers:
        tell(observer.arrived, call)
    return call


def observe_service(handler: Any, call: ServedCall) -> Any:
    """Wraps a handler so that it reports when it begins to serve the call and when it has a reply.

    A handler that only refuses excess calls is returned unchanged.
    """
    if handler.request_streaming:
        return handler
    size = 0

    def parse(data: bytes) -> Any:
        nonlocal size
        size = len(data)
        return handler.request_deserializer(data)

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        before = current_call.set(call)
        for observer in call.observers:
            tell(observer.began, call, size)
        status = "OK"
        try:
            return handler.unary_unary(request, context)
        except BaseException:
            code = cast(Any, context).code()  # missing in the type stubs
            status = "UNKNOWN" if code is None else code.name
            raise
        finally:
            for observer in call.observers:
                tell(observer.replied, call, status)
            current_call.reset(before)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=parse, response_serializer=handler.response_serializer
    )


def observe_end(handler: Any, call: ServedCall) -> Any:
    """Wraps a handler (a stream of requests, one response) so that it reports when it has ended."""
    behavior: Callable[[Any, Any], Any] = handler.stream_unary

    @wraps(behavior)  # also copies the attribute that gives a refusal a thread of its own
    def answer(messages: Any, context: grpc.ServicerContext) -> Any:
        try:
            return behavior(messages, context)
        finally:
            for observer in call.observers:
                tell(observer.ended, call)

    return grpc.stream_unary_rpc_method_handler(
        answer, handler.request_deserializer, handler.response_serializer
    )
