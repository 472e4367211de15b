"""A proxy that loses messages on purpose, and a witness that counts the calls of a client."""

from collections.abc import Callable
from typing import Any, Literal

import grpc

from bankkit.rpc.worker_pool import WorkerPool
from bankkit.runtime.closing import Closing
from bankkit.server import make_grpc_server

Kind = Literal["request", "reply"]


class LossyProxy(Closing, grpc.GenericRpcHandler):
    """A proxy between a client and a bank; it loses the messages that `lose` names.

        with LossyProxy(bank.address) as proxy:
            client = bankkit.connect(proxy.address)
            proxy.lose("reply")
            client.deposit("alice", 10)  # arrives and is applied; the reply is lost

    The client that waits for the message gets UNAVAILABLE, as from any proxy whose connection
    breaks. It cannot tell which of the two was lost. Everything else passes unchanged.
    """

    def __init__(self, address: str) -> None:
        self._doomed: list[Kind] = []
        self._bank = grpc.insecure_channel(address)
        self._pool = WorkerPool(4, "bankkit-proxy")
        self._server = make_grpc_server(self._pool, [self])
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def address(self) -> str:
        """The address to which clients connect, as `HOST:PORT`."""
        return f"127.0.0.1:{self._port}"

    def lose(self, kind: Kind, times: int = 1) -> None:
        """Lose the next `times` requests, or the replies to them."""
        self._doomed += [kind] * times

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return a handler that passes the call on to the bank, or loses one of its messages."""
        passed_on: Any = self._bank.unary_unary(handler_call_details.method)  # bytes, not parsed

        def carry(request: bytes, context: grpc.ServicerContext) -> bytes:
            doomed = self._doomed.pop(0) if self._doomed else None
            if doomed == "request":
                context.abort(grpc.StatusCode.UNAVAILABLE, "The connection broke.")
            try:
                reply: bytes = passed_on(request)
            except grpc.RpcError as refusal:
                error: Any = refusal
                context.set_trailing_metadata(error.trailing_metadata())  # it has the ErrorInfo
                context.abort(error.code(), error.details())
            if doomed == "reply":
                context.abort(grpc.StatusCode.UNAVAILABLE, "The connection broke.")
            return reply

        return grpc.unary_unary_rpc_method_handler(carry)

    def close(self) -> None:
        """Close the proxy and its connections. Safe to call twice."""
        self._server.stop(0).wait()
        self._pool.shutdown()
        self._bank.close()


class Enough(BaseException):
    """Raised to stop code that sends requests without end.

    It is not an Exception, so that a learner's `except Exception` does not catch it.
    """


class Witness(grpc.UnaryUnaryClientInterceptor):
    """An interceptor that keeps every request of a stub; raises `Enough` after `limit` requests."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.requests: list[Any] = []

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        """Keep the request and send it."""
        if len(self.requests) == self.limit:
            raise Enough
        self.requests.append(request)
        return continuation(details, request)
