import unittest
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc import aio

from orderflow import Client
from orderflow.catalog.v1.catalog_service_pb2 import (
    CreateProductRequest,
    CreateProductResponse,
    ListProductsRequest,
    ListProductsResponse,
)
from orderflow.catalog.v1.product_pb2 import Product
from orderflow.order.v1.order_service_pb2 import (
    CreateOrderRequest,
    CreateOrderResponse,
    WatchOrdersRequest,
    WatchOrdersResponse,
)
from orderflow.repeat import Repeat
from orderflow.user.v1.user_service_pb2 import GetMeRequest, GetMeResponse, LoginRequest, LoginResponse

Context: TypeAlias = aio.ServicerContext[Any, Any]


async def refuse(context: Context, code: grpc.StatusCode, *details: Message) -> None:
    """Ends a call with this error."""
    number: int = code.value[0]
    status = Status(code=number, message="no")
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    await context.abort(code, "no", (("grpc-status-details-bin", status.SerializeToString()),))


async def nothing(context: Context) -> None:
    pass


class Server:
    """A gRPC server to test the client with: it does what a test tells it, and notes what comes."""

    def __init__(self) -> None:
        self.logins = 0
        self.sent: list[tuple[str, str | None]] = []
        """Method and authorization of each call."""
        self.login: Callable[[Context], Awaitable[None]] = nothing
        self.get_me: Callable[[Context], Awaitable[None]] = nothing
        self.watch: Callable[[Context], Awaitable[None]] = nothing
        self.create_order: Callable[[Context], Awaitable[None]] = nothing
        self.request_ids: list[str] = []
        """Of each CreateOrder."""
        self._server = aio.server()
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    "orderflow.user.v1.UserService",
                    {"Login": unary(self._login, LoginRequest), "GetMe": unary(self._get_me, GetMeRequest)},
                ),
                grpc.method_handlers_generic_handler(
                    "orderflow.catalog.v1.CatalogService",
                    {
                        "CreateProduct": unary(self._create_product, CreateProductRequest),
                        "ListProducts": unary(self._list_products, ListProductsRequest),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    "orderflow.order.v1.OrderService",
                    {
                        "CreateOrder": unary(self._create_order, CreateOrderRequest),
                        "WatchOrders": grpc.unary_stream_rpc_method_handler(
                            self._watch_orders,
                            request_deserializer=WatchOrdersRequest.FromString,
                            response_serializer=WatchOrdersResponse.SerializeToString,
                        ),
                    },
                ),
            ]
        )
        self.address = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(grace=None)

    def _note(self, method: str, context: Context) -> None:
        authorization = dict(context.invocation_metadata() or ()).get("authorization")
        self.sent.append((method, None if authorization is None else str(authorization)))

    async def _login(self, request: LoginRequest, context: Context) -> LoginResponse:
        self._note("Login", context)
        await self.login(context)
        if request.password != "correct horse":
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED)
        self.logins += 1
        return LoginResponse(access_token=f"token-{self.logins}", expires_in=100)

    async def _get_me(self, request: GetMeRequest, context: Context) -> GetMeResponse:
        self._note("GetMe", context)
        await self.get_me(context)
        return GetMeResponse()

    async def _create_product(self, request: CreateProductRequest, context: Context) -> CreateProductResponse:
        """Returns the price and the stock as they came."""
        return CreateProductResponse(product=Product(price=request.price, stock=request.stock))

    async def _list_products(self, request: ListProductsRequest, context: Context) -> ListProductsResponse:
        self._note("ListProducts", context)
        return ListProductsResponse()

    async def _create_order(self, request: CreateOrderRequest, context: Context) -> CreateOrderResponse:
        self.request_ids.append(request.request_id)
        await self.create_order(context)
        return CreateOrderResponse()

    async def _watch_orders(self, request: WatchOrdersRequest, context: Context) -> AsyncIterator[WatchOrdersResponse]:
        self._note("WatchOrders", context)
        yield WatchOrdersResponse(resume_token="here")
        await self.watch(context)


def unary(handler: Callable[[Any, Context], Awaitable[Message]], request: type[Message]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        handler,
        request_deserializer=request.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


class ServerTest(unittest.IsolatedAsyncioTestCase):
    """Has a server and a client that is signed in."""

    repeat = Repeat()

    async def asyncSetUp(self) -> None:
        self.server = Server()
        await self.server.start()
        self.addAsyncCleanup(self.server.stop)
        self.client = Client(self.server.address, repeat=self.repeat)
        self.addAsyncCleanup(self.client.close)
        await self.client.sign_in("ada@example.com", "correct horse")

    async def get_me(self) -> None:
        await self.client.users.GetMe(GetMeRequest())

    async def watch_to_end(self) -> None:
        async for _ in self.client.orders.WatchOrders(WatchOrdersRequest()):
            pass
