import asyncio
import unittest
from collections.abc import Awaitable, Callable
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc import aio

from orderflow import Client, failure
from orderflow.catalog.v1.catalog_service_pb2 import CreateProductRequest
from orderflow.client import TIMEOUT
from orderflow.money.v1.money_pb2 import Money
from orderflow.order.v1.order_service_pb2 import CreateOrderRequest
from orderflow.user.v1.user_service_pb2 import GetMeRequest

from .server import Context, ServerTest, refuse


class AddressTest(unittest.IsolatedAsyncioTestCase):
    async def test_addresses(self) -> None:
        for address in ("http://127.0.0.1:8080", "http://[::1]:8080", "https://shop.example", "http://shop.example/"):
            await Client(address).close()
        for address in ("127.0.0.1:8080", "shop.example", "ftp://shop.example", "http://"):
            with self.subTest(address), self.assertRaises(ValueError):
                Client(address)


class ClientTest(ServerTest):
    async def test_details(self) -> None:
        async def busy(context: Context) -> None:
            await refuse(
                context,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                ErrorInfo(reason="BUSY", domain="orderflow", metadata={"trace_id": "4bf9"}),
                BadRequest(field_violations=[BadRequest.FieldViolation(field="lines[0].quantity")]),
                PreconditionFailure(violations=[PreconditionFailure.Violation(type="INSUFFICIENT_STOCK")]),
                RetryInfo(retry_delay=Duration(nanos=100_000_000)),
            )

        self.server.get_me = busy
        with self.assertRaises(aio.AioRpcError) as raised:
            await self.get_me()
        told = failure(raised.exception)
        self.assertIs(told.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual((told.message, told.reason, told.trace_id), ("no", "BUSY", "4bf9"))
        self.assertEqual([violation.field for violation in told.fields], ["lines[0].quantity"])
        self.assertEqual([violation.type for violation in told.preconditions], ["INSUFFICIENT_STOCK"])
        self.assertEqual(told.retry_delay, timedelta(milliseconds=100))

    async def test_an_error_without_details(self) -> None:
        await self.server.stop()
        with self.assertRaises(aio.AioRpcError) as raised:
            await self.get_me()
        told = failure(raised.exception)
        self.assertIs(told.code, grpc.StatusCode.UNAVAILABLE)
        self.assertEqual((told.reason, list(told.fields), told.retry_delay, told.trace_id), ("", [], None, None))

    async def test_deadlines(self) -> None:
        limits: list[float | None] = []

        async def limit(context: Context) -> None:
            limits.append(context.time_remaining())

        self.server.get_me = self.server.watch = limit
        await self.get_me()
        await self.watch_to_end()
        unary, stream = limits
        assert unary is not None
        self.assertLess(unary, 2 * TIMEOUT)
        self.assertIsNone(stream)

        async def hang(context: Context) -> None:
            await asyncio.Event().wait()

        self.server.get_me = hang
        with self.assertRaises(aio.AioRpcError) as raised:
            await self.client.users.GetMe(GetMeRequest(), timeout=0.05)
        self.assertIs(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    async def test_cancellation_reaches_the_server(self) -> None:
        begun, over = asyncio.Event(), asyncio.Event()

        async def wait(context: Context) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                over.set()
                raise

        async def create_order() -> None:
            await self.client.orders.CreateOrder(CreateOrderRequest())

        self.server.get_me = self.server.watch = self.server.create_order = wait
        calls: tuple[Callable[[], Awaitable[None]], ...] = (self.get_me, create_order, self.watch_to_end)
        for call in calls:
            begun.clear()
            over.clear()
            task = asyncio.ensure_future(call())
            await begun.wait()
            task.cancel()
            await over.wait()
            with self.assertRaises(asyncio.CancelledError):
                await task

    async def test_numbers_beyond_doubles(self) -> None:
        odd = 2**53 + 1
        request = CreateProductRequest(price=Money(minor_units=odd), stock=-odd)
        product = (await self.client.catalog.CreateProduct(request)).product
        self.assertEqual((product.price.minor_units, product.stock), (odd, -odd))
