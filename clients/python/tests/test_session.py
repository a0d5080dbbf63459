import asyncio

import grpc
from grpc import aio

from orderflow.catalog.v1.catalog_service_pb2 import ListProductsRequest
from orderflow.user.v1.user_service_pb2 import GetMeRequest

from .server import Context, ServerTest, nothing, refuse


class SessionTest(ServerTest):
    async def test_the_token_goes_with_the_calls_that_need_one(self) -> None:
        await self.get_me()
        await self.watch_to_end()
        await self.client.catalog.ListProducts(ListProductsRequest())
        self.client.sign_out()
        await self.get_me()
        self.assertEqual(
            self.server.sent,
            [
                ("Login", None),
                ("GetMe", "Bearer token-1"),
                ("WatchOrders", "Bearer token-1"),
                ("ListProducts", None),
                ("GetMe", None),
            ],
        )

    async def test_the_token_is_renewed_before_it_expires(self) -> None:
        session = self.client._session
        now = 0.0
        session._now = lambda: now
        await self.client.sign_in("ada@example.com", "correct horse")  # token-2, by this clock

        now = 79
        await self.get_me()
        self.assertEqual(self.server.sent[-1], ("GetMe", "Bearer token-2"))
        # The old one is good enough for the call that has the new one fetched.
        now = 81
        token = await session.token()
        self.assertEqual(token and token.value, "token-2")
        assert session._renewal is not None
        await session._renewal
        await self.get_me()
        self.assertEqual(self.server.sent[-1], ("GetMe", "Bearer token-3"))
        # Once it has expired, calls wait for the new one, and share it.
        now = 200
        await asyncio.gather(self.get_me(), self.get_me())
        self.assertEqual(self.server.sent[-2:], [("GetMe", "Bearer token-4")] * 2)
        self.assertEqual(self.server.logins, 4)

    async def test_a_token_that_is_not_taken_is_not_sent_again(self) -> None:
        async def no(context: Context) -> None:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED)

        for login, call in enumerate((self.get_me, self.watch_to_end), start=1):
            with self.subTest(call.__name__):
                self.server.get_me = self.server.watch = no
                with self.assertRaises(aio.AioRpcError) as raised:
                    await call()
                self.assertIs(raised.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
                self.server.get_me = nothing
                await self.get_me()
                self.assertEqual(self.server.sent[-1], ("GetMe", f"Bearer token-{login + 1}"))

    async def test_calls_that_wait_for_a_token_survive_signing_out(self) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def wait(context: Context) -> None:
            asked.set()
            await answer.wait()

        self.server.login = wait
        self.client._session._token = None
        call = asyncio.create_task(self.get_me())
        await asked.wait()
        self.client.sign_out()
        answer.set()
        await call
        self.assertEqual(self.server.sent[-1], ("GetMe", "Bearer token-2"))
        await self.get_me()
        self.assertEqual(self.server.sent[-1], ("GetMe", None))

    async def test_a_timeout_is_for_the_wait_for_a_token_too(self) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def wait(context: Context) -> None:
            asked.set()
            await answer.wait()

        self.server.login = wait
        session = self.client._session
        session._token = None
        with self.assertRaises(aio.AioRpcError) as raised:
            await asyncio.wait_for(self.client.users.GetMe(GetMeRequest(), timeout=0.05), timeout=20)
        self.assertIs(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        # The login goes on, and the next call waits for it.
        await asked.wait()
        details = aio.ClientCallDetails("/orderflow.user.v1.UserService/GetMe", 60, None, None, None)
        waiting = asyncio.create_task(session.authorize(details))
        answer.set()
        authorized, token = await waiting
        self.assertEqual(token and token.value, "token-2")
        # What is left of its time is the call's.
        assert authorized.timeout is not None
        self.assertLess(authorized.timeout, 60)
        self.assertGreater(authorized.timeout, 0)

    async def test_signing_in_says_what_is_wrong(self) -> None:
        with self.assertRaises(aio.AioRpcError) as raised:
            await self.client.sign_in("ada@example.com", "wrong")
        self.assertIs(raised.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
        # Who was signed in before still is.
        await self.get_me()
        self.assertEqual(self.server.sent[-1], ("GetMe", "Bearer token-1"))
