import asyncio
from collections.abc import Sequence

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from grpc import aio

from orderflow import is_outcome_unknown
from orderflow.order.v1.order_service_pb2 import CreateOrderRequest
from orderflow.repeat import Repeat

from .server import Context, ServerTest, refuse


class RepeatTest(ServerTest):
    # Waits hardly.
    repeat = Repeat(timeout=60, attempt_timeout=60, first_delay=0.001, last_delay=0.002)

    def refuse(self, *refusals: tuple[grpc.StatusCode, Sequence[Message]]) -> None:
        """Answers the attempts with these errors, one after the other, then with an order."""
        left = list(refusals)

        async def answer(context: Context) -> None:
            if left:
                code, details = left.pop(0)
                await refuse(context, code, *details)

        self.server.create_order = answer
        self.server.request_ids.clear()

    async def create_order(self, request_id: str = "") -> None:
        request = CreateOrderRequest(request_id=request_id)
        await self.client.orders.CreateOrder(request)
        self.assertEqual(request.request_id, request_id, "the caller's message was changed")

    async def test_unknown_outcomes_are_repeated_under_one_request_id(self) -> None:
        codes = [
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.INTERNAL,
        ]
        for given in ("", "mine"):
            self.refuse(*((code, []) for code in codes))
            await self.create_order(given)
            ids = self.server.request_ids
            self.assertEqual(ids, [given or ids[0]] * (len(codes) + 1))
            self.assertTrue(ids[0])

    async def test_two_orders_have_two_request_ids(self) -> None:
        await self.create_order()
        await self.create_order()
        first, second = self.server.request_ids
        self.assertNotEqual(first, second)

    async def test_definite_errors_are_not_repeated(self) -> None:
        for code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.OUT_OF_RANGE,
            grpc.StatusCode.UNIMPLEMENTED,
            grpc.StatusCode.DATA_LOSS,
            grpc.StatusCode.UNAUTHENTICATED,
        ):
            with self.subTest(code):
                self.refuse((code, []))
                with self.assertRaises(aio.AioRpcError) as raised:
                    await self.create_order()
                self.assertIs(raised.exception.code(), code)
                self.assertEqual(len(self.server.request_ids), 1)

    async def test_what_the_server_asks_for_is_repeated(self) -> None:
        soon = RetryInfo(retry_delay=Duration(nanos=1_000_000))
        self.refuse(*[(grpc.StatusCode.RESOURCE_EXHAUSTED, [soon])] * 2)
        await self.create_order()
        self.assertEqual(len(self.server.request_ids), 3)

        # Not beyond the time that the caller has.
        late = RetryInfo(retry_delay=Duration(seconds=3600))
        self.refuse((grpc.StatusCode.RESOURCE_EXHAUSTED, [late]))
        with self.assertRaises(aio.AioRpcError) as raised:
            await self.create_order()
        self.assertIs(raised.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(len(self.server.request_ids), 1)

    async def test_what_an_earlier_attempt_may_have_done_is_not_forgotten(self) -> None:
        lost: tuple[grpc.StatusCode, Sequence[Message]] = (grpc.StatusCode.UNAVAILABLE, [])
        late = RetryInfo(retry_delay=Duration(seconds=3600))
        refusals: list[tuple[grpc.StatusCode, Sequence[Message]]] = [
            (grpc.StatusCode.UNAUTHENTICATED, []),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, [late]),
        ]
        for last in refusals:
            with self.subTest(last):
                self.refuse(lost, last)
                with self.assertRaises(aio.AioRpcError) as raised:
                    await self.create_order()
                self.assertTrue(is_outcome_unknown(raised.exception))
                self.assertEqual(len(self.server.request_ids), 2)

        for code in (
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.INVALID_ARGUMENT,
        ):
            with self.subTest(code):
                self.refuse(lost, (code, []))
                with self.assertRaises(aio.AioRpcError) as raised:
                    await self.create_order()
                self.assertIs(raised.exception.code(), code)


class ImpatientRepeatTest(ServerTest):
    repeat = Repeat(timeout=60, attempt_timeout=0.05, first_delay=0.001, last_delay=0.002)

    async def test_attempts_that_hang_are_given_up(self) -> None:
        async def hang_once(context: Context) -> None:
            if len(self.server.request_ids) == 1:
                await asyncio.Event().wait()

        self.server.create_order = hang_once
        await self.client.orders.CreateOrder(CreateOrderRequest())
        ids = self.server.request_ids
        self.assertGreater(len(ids), 1)
        self.assertEqual(len(set(ids)), 1)
