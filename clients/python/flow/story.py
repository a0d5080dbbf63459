import json
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from grpc import aio

from orderflow import Client
from orderflow.catalog.v1.catalog_service_pb2 import CreateProductRequest, ListProductsRequest
from orderflow.order.v1.order_pb2 import ORDER_STATUS_SHIPPED
from orderflow.order.v1.order_service_pb2 import (
    CancelOrderRequest,
    CreateOrderRequest,
    GetOrderStatsRequest,
    ListOrdersRequest,
    UpdateOrderStatusRequest,
    WatchOrdersRequest,
    WatchOrdersResponse,
)
from orderflow.user.v1.user_service_pb2 import GetMeRequest, LoginRequest, RegisterRequest

from . import line
from .network import Network

Request = TypeVar("Request", bound=Message)


class Step(TypedDict):
    """What flow.json says of one; what it expects is for others to compare."""

    step: str
    request: NotRequired[dict[str, Any]]
    names: NotRequired[str]
    timeout_ms: NotRequired[int]


class Story:
    """What the steps have in common."""

    def __init__(self, address: str) -> None:
        self.variables = {"run": secrets.token_hex(8)}
        self.network = Network()
        self.nobody = Client(address)
        self.seller = Client(address)
        self.buyer = Client(address, interceptors=[self.network])
        self.watch: aio.UnaryStreamCall[WatchOrdersRequest, WatchOrdersResponse] | None = None
        self.steps: dict[str, Callable[[Step], Awaitable[object]]] = {
            "register-seller": lambda step: self.register(step, self.seller),
            "register-buyer": lambda step: self.register(step, self.buyer),
            "login": self.login,
            "no-token": lambda step: self.get_me(step, self.nobody),
            "get-me": lambda step: self.get_me(step, self.buyer),
            "create-glass": self.create_product,
            "create-samovar": self.create_product,
            "create-garden": self.create_product,
            "list-products": self.list_products,
            "bad-order": self.create_order,
            "refused-order": self.create_order,
            "watch-opens": self.watch_opens,
            "create-order": self.create_order_twice,
            "create-large-order": self.create_order,
            "ship-order": self.ship_order,
            "watch-tells": self.watch_tells,
            "list-orders": self.list_orders,
            "order-stats": self.order_stats,
            "cancel-refused": self.cancel_order,
            "idle-watch": self.idle_watch,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in (self.nobody, self.seller, self.buyer):
            await client.close()

    async def tell(self, step: Step) -> object:
        return await self.steps[step["step"]](step)

    def masked(self, text: str) -> str:
        """The names of variables in place of their values."""
        for name, value in self.variables.items():
            text = text.replace(value, f"${name}")
        return text

    def read(self, step: Step, request: Request) -> Request:
        """Makes the step's request from its JSON."""
        text = json.dumps(step.get("request", {}))
        for name, value in self.variables.items():
            text = text.replace(f"${name}", value)
        return json_format.Parse(text, request)

    async def register(self, step: Step, client: Client) -> object:
        request = self.read(step, RegisterRequest())
        reply = await self.nobody.users.Register(request)
        self.variables[step["names"]] = reply.user.id
        await client.sign_in(request.email, request.password)
        return line.user(reply.user)

    async def login(self, step: Step) -> object:
        reply = await self.nobody.users.Login(self.read(step, LoginRequest()))
        return {"token_type": reply.token_type}

    async def get_me(self, step: Step, client: Client) -> object:
        reply = await client.users.GetMe(self.read(step, GetMeRequest()))
        return line.user(reply.user)

    async def create_product(self, step: Step) -> object:
        reply = await self.seller.catalog.CreateProduct(self.read(step, CreateProductRequest()))
        self.variables[step["names"]] = reply.product.id
        return line.product(reply.product)

    async def list_products(self, step: Step) -> object:
        request = self.read(step, ListProductsRequest())
        pages = []
        while True:
            reply = await self.nobody.catalog.ListProducts(request)
            pages.append([{"id": product.id, "name": product.name} for product in reply.products])
            request.page_token = reply.next_page_token
            if not request.page_token:
                return pages

    async def create_order(self, step: Step) -> dict[str, Any]:
        self.network.attempts = 0
        reply = await self.buyer.orders.CreateOrder(self.read(step, CreateOrderRequest()))
        self.variables[step["names"]] = reply.order.id
        return {"attempts": self.network.attempts, "order": line.order(reply.order)}

    async def create_order_twice(self, step: Step) -> object:
        self.network.lose_reply = True
        result = await self.create_order(step)
        self.variables["request"] = result["order"]["request_id"]
        return result

    async def ship_order(self, step: Step) -> object:
        reply = await self.seller.orders.UpdateOrderStatus(self.read(step, UpdateOrderStatusRequest()))
        return line.progress(reply.order)

    async def watch_opens(self, step: Step) -> object:
        self.watch = self.buyer.orders.WatchOrders(self.read(step, WatchOrdersRequest()))
        first = await anext(aiter(self.watch))
        return {"order": line.progress(first.order) if first.HasField("order") else None}

    async def watch_tells(self, step: Step) -> object:
        assert self.watch is not None, "the watch was not opened"
        told = []
        async for reply in self.watch:
            if reply.HasField("order"):
                told.append(line.progress(reply.order))
                if reply.order.status == ORDER_STATUS_SHIPPED:
                    break
        self.watch.cancel()
        return told

    async def list_orders(self, step: Step) -> object:
        request = self.read(step, ListOrdersRequest())
        pages = []
        while True:
            reply = await self.buyer.orders.ListOrders(request)
            pages.append([line.listed(order) for order in reply.orders])
            request.page_token = reply.next_page_token
            if not request.page_token:
                return pages

    async def order_stats(self, step: Step) -> object:
        reply = await self.seller.orders.GetOrderStats(self.read(step, GetOrderStatsRequest()))
        sums: dict[str, tuple[int, int]] = {}
        for day in reply.days:
            orders, revenue = sums.get(day.revenue.currency_code, (0, 0))
            sums[day.revenue.currency_code] = (orders + day.orders, revenue + day.revenue.minor_units)
        return [
            {"orders": str(orders), "revenue": {"currency_code": currency, "minor_units": str(revenue)}}
            for currency, (orders, revenue) in sums.items()
        ]

    async def cancel_order(self, step: Step) -> object:
        reply = await self.buyer.orders.CancelOrder(self.read(step, CancelOrderRequest()))
        return line.progress(reply.order)

    async def idle_watch(self, step: Step) -> object:
        request = self.read(step, WatchOrdersRequest())
        async for _ in self.buyer.orders.WatchOrders(request, timeout=step["timeout_ms"] / 1000):
            pass
        return []
