from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import grpc
from grpc import aio

from orderflow.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from orderflow.order.v1.order_service_pb2_grpc import OrderServiceStub
from orderflow.user.v1.user_service_pb2 import LoginRequest
from orderflow.user.v1.user_service_pb2_grpc import UserServiceStub

from .call_details import changed
from .repeat import REPEAT, Repeat, Repeated
from .session import Session, StreamBearer, UnaryBearer

Request = TypeVar("Request")
Response = TypeVar("Response")

TIMEOUT = 10.0
"""Seconds that a unary call may take which does not say it itself. Streams have no limit but their own."""

OPTIONS = [
    # Finds out that the other side is gone, while a watch is silent, say.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]


class Client:
    """The generated stubs behind one gateway, as one user sees them.

    Calls have deadlines and tokens, and what takes a `request_id` is sent again under the same one until its outcome is known.
    To be used in one event loop.
    """

    def __init__(
        self,
        address: str,
        *,
        root_certificates: bytes | None = None,
        interceptors: Sequence[aio.ClientInterceptor] = (),
        repeat: Repeat = REPEAT,
    ) -> None:
        """Takes the gateway's address as http://127.0.0.1:8080 or https://shop.example.

        The connection is made when it is first needed, and again when it broke. Interceptors come behind the client's own,
        nearer to the network.
        """
        self._session = Session(lambda email, password: self.users.Login(LoginRequest(email=email, password=password)))
        own = [Repeated(repeat), Deadline(), UnaryBearer(self._session), StreamBearer(self._session)]
        self._channel = _channel(address, root_certificates, [*own, *interceptors])
        self.users = UserServiceStub(self._channel)
        self.catalog = CatalogServiceStub(self._channel)
        self.orders = OrderServiceStub(self._channel)

    async def sign_in(self, email: str, password: str) -> None:
        """Logs in, and from then on does so again before the token expires.

        There are no refresh tokens, so the password is kept, in memory only.
        """
        await self._session.sign_in(email, password)

    def sign_out(self) -> None:
        """Forgets the token and the password."""
        self._session.sign_out()

    async def close(self) -> None:
        """Ends all calls."""
        self.sign_out()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Deadline(aio.UnaryUnaryClientInterceptor):
    """Sets one where there is none."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Request], Awaitable[aio.UnaryUnaryCall[Request, Response]]],
        client_call_details: aio.ClientCallDetails,
        request: Request,
    ) -> Response | aio.UnaryUnaryCall[Request, Response]:
        if client_call_details.timeout is None:
            client_call_details = changed(client_call_details, timeout=TIMEOUT)
        return await continuation(client_call_details, request)


def _channel(address: str, root_certificates: bytes | None, interceptors: Sequence[aio.ClientInterceptor]) -> aio.Channel:
    url = urlsplit(address)
    port = {"http": 80, "https": 443}.get(url.scheme)
    if port is None or not url.hostname:
        raise ValueError(f"{address!r} is not an address like http://127.0.0.1:8080")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    target = f"dns:///{host}:{url.port or port}"
    if url.scheme == "http":
        return aio.insecure_channel(target, OPTIONS, interceptors=interceptors)
    credentials = grpc.ssl_channel_credentials(root_certificates)
    return aio.secure_channel(target, credentials, OPTIONS, interceptors=interceptors)
