from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from grpc import aio

from orderflow.order.v1.order_service_pb2 import CreateOrderRequest

Request = TypeVar("Request")
Response = TypeVar("Response")


class Network(aio.UnaryUnaryClientInterceptor):
    """Counts what CreateOrder sends, and can lose a reply."""

    def __init__(self) -> None:
        self.attempts = 0
        self.lose_reply = False

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Request], Awaitable[aio.UnaryUnaryCall[Request, Response]]],
        client_call_details: aio.ClientCallDetails,
        request: Request,
    ) -> Response | aio.UnaryUnaryCall[Request, Response]:
        call = await continuation(client_call_details, request)
        if isinstance(request, CreateOrderRequest):
            self.attempts += 1
            if self.lose_reply and await call.code() is grpc.StatusCode.OK:
                self.lose_reply = False
                raise aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, details="the reply was lost")
        return call
