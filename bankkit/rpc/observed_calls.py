"""Handlers that tell the observers of a call when it arrives, begins, is answered and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast

import grpc

from bankkit.observer import Observer, ServedCall, current_call, tell


def arrive(details: Any, observers: Sequence[Observer]) -> ServedCall:
    """The call that gRPC tells of with these details; its observers know now that it is there."""
    name = details.method.rpartition("/")[2]
    call = ServedCall(name, details.invocation_metadata, tuple(observers))
    for observer in call.observers:
        tell(observer.arrived, call)
    return call


def told_of_service(handler: Any, call: ServedCall) -> Any:
    """The same handler, which also tells when it begins to serve the call and has its answer.

    The refusal of a call too many serves nothing, and comes back as it is.
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
            code = cast(Any, context).code()  # its type stubs forgot it
            status = "UNKNOWN" if code is None else code.name
            raise
        finally:
            for observer in call.observers:
                tell(observer.replied, call, status)
            current_call.reset(before)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=parse, response_serializer=handler.response_serializer
    )


def told_of_end(handler: Any, call: ServedCall) -> Any:
    """The handler of a stream of requests with one response, which also tells when it is done."""
    behavior: Callable[[Any, Any], Any] = handler.stream_unary

    @wraps(behavior)  # and its attributes: the refusal of a call too many has a thread of its own
    def answer(messages: Any, context: grpc.ServicerContext) -> Any:
        try:
            return behavior(messages, context)
        finally:
            for observer in call.observers:
                tell(observer.ended, call)

    return grpc.stream_unary_rpc_method_handler(
        answer, handler.request_deserializer, handler.response_serializer
    )
