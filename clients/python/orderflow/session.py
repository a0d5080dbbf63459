import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import grpc
from google.protobuf import descriptor_pool
from grpc import aio

from orderflow.options.v1 import options_pb2
from orderflow.user.v1.user_service_pb2 import LoginResponse

from .call_details import changed

Request = TypeVar("Request")
Response = TypeVar("Response")

RENEW_AFTER = 0.8
"""How much of a token's life passes before it is renewed."""
RENEW_AGAIN = 5.0
"""Seconds to leave it after a renewal that failed, while the old token is still good."""


@dataclass
class Token:
    """A token and its times, in seconds since 1970."""

    value: str
    renew_at: float
    expires_at: float


class Session:
    """Who is signed in."""

    def __init__(self, login: Callable[[str, str], Awaitable[LoginResponse]], now: Callable[[], float] = time.time) -> None:
        self._login = login
        self._now = now
        self._credentials: tuple[str, str] | None = None
        self._token: Token | None = None
        self._renewal: asyncio.Task[Token] | None = None

    async def sign_in(self, email: str, password: str) -> None:
        token = await self._fetch(email, password)
        self.sign_out()
        self._credentials = (email, password)
        self._token = token

    def sign_out(self) -> None:
        # A login that is under way goes on: calls wait for it.
        self._credentials = self._token = self._renewal = None

    async def token(self) -> Token | None:
        """The token to send now; none when nobody is signed in."""
        token = self._token
        if self._credentials is None or token is not None and self._now() < token.renew_at:
            return token
        renewal = self._renew(self._credentials)
        # As long as the old one is good nobody waits, and nobody is bothered when there is no new one yet.
        if token is not None and self._now() < token.expires_at:
            return token
        # Others wait for it, too: it goes on when this call is cancelled.
        return await asyncio.shield(renewal)

    def heed(self, token: Token | None, error: aio.AioRpcError) -> None:
        """Looks at how a call failed: a token that the server does not take, whatever the clock says, is not sent again."""
        if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._token is token:
            self._token = None

    def _renew(self, credentials: tuple[str, str]) -> "asyncio.Task[Token]":
        """One login, however many calls ask for it."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._fetch(*credentials))
            self._renewal.add_done_callback(self._renewed)
        return self._renewal

    def _renewed(self, renewal: "asyncio.Task[Token]") -> None:
        if renewal.cancelled():
            return
        error = renewal.exception()
        if self._renewal is not renewal:
            return  # Somebody has signed in or out.
        self._renewal = None
        if error is None:
            self._token = renewal.result()
        elif self._token is not None:
            self._token.renew_at = self._now() + RENEW_AGAIN

    async def _fetch(self, email: str, password: str) -> Token:
        # Its life is counted from before the question: it can only be longer.
        asked = self._now()
        reply = await self._login(email, password)
        return Token(
            reply.access_token,
            renew_at=asked + reply.expires_in * RENEW_AFTER,
            expires_at=asked + reply.expires_in,
        )

    async def authorize(self, details: aio.ClientCallDetails) -> tuple[aio.ClientCallDetails, Token | None]:
        """Puts the token on a call that needs one. Waiting for it is part of the call's time."""
        if not needs_token(details.method):
            return details, None
        now = asyncio.get_running_loop().time
        begun = now()
        try:
            async with asyncio.timeout(details.timeout):
                token = await self.token()
        except TimeoutError as error:
            said = "no token in time"
            raise aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, aio.Metadata(), aio.Metadata(), said) from error
        if token is None:
            return details, None
        left = None if details.timeout is None else details.timeout - (now() - begun)
        return changed(details, timeout=left, metadata=("authorization", f"Bearer {token.value}")), token


# Two classes: an interceptor that implements both kinds of call is taken by a channel for one of them alone.
class UnaryBearer(aio.UnaryUnaryClientInterceptor):
    def __init__(self, session: Session) -> None:
        self._session = session

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Request], Awaitable[aio.UnaryUnaryCall[Request, Response]]],
        client_call_details: aio.ClientCallDetails,
        request: Request,
    ) -> Response | aio.UnaryUnaryCall[Request, Response]:
        details, token = await self._session.authorize(client_call_details)
        call = await continuation(details, request)
        try:
            await call
        except aio.AioRpcError as error:
            self._session.heed(token, error)
            raise
        return call


class StreamBearer(aio.UnaryStreamClientInterceptor):
    def __init__(self, session: Session) -> None:
        self._session = session

    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Request], Awaitable[aio.UnaryStreamCall[Request, Response]]],
        client_call_details: aio.ClientCallDetails,
        request: Request,
    ) -> AsyncIterator[Response] | aio.UnaryStreamCall[Request, Response]:
        details, token = await self._session.authorize(client_call_details)
        return self._responses(await continuation(details, request), token)

    async def _responses(
        self, call: aio.UnaryStreamCall[Request, Response], token: Token | None
    ) -> AsyncIterator[Response]:
        try:
            async for response in call:
                yield response
        except aio.AioRpcError as error:
            self._session.heed(token, error)
            raise
        finally:
            # When the reader is cancelled while the request is still on its way, gRPC lets the call go on.
            call.cancel()


@cache
def needs_token(method: str | bytes) -> bool:
    """Whether a method wants to know who calls, as the contract says of each."""
    path = method.decode() if isinstance(method, bytes) else method
    service, name = path.strip("/").split("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    auth = descriptor.GetOptions().Extensions[options_pb2.auth]
    return auth.access in (options_pb2.ACCESS_USER, options_pb2.ACCESS_ROLE)
