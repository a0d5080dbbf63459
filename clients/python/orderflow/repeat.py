import asyncio
import copy
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message
from grpc import aio

from .call_details import changed
from .failure import failure, is_outcome_unknown, settles

Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True)
class Repeat:
    """How a call that takes a `request_id` is sent again. All in seconds."""

    timeout: float = 30
    """For all attempts together, where the call has no timeout of its own."""
    attempt_timeout: float = 5
    first_delay: float = 0.1
    """The longest wait after the first attempt. It doubles after each, up to the last one."""
    last_delay: float = 2


REPEAT = Repeat()


class Repeated(aio.UnaryUnaryClientInterceptor):
    """Makes a call do its work once, however often it must be sent.

    It is sent under one `request_id`, the caller's or a new one, as long as its outcome is unknown or the server asks to try
    again. The call's timeout and cancellation are for all of it. gRPC's own retries know no unknown outcome: they take up only
    errors that came before anything else.
    """

    def __init__(self, repeat: Repeat = REPEAT) -> None:
        self._repeat = repeat

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Request], Awaitable[aio.UnaryUnaryCall[Request, Response]]],
        client_call_details: aio.ClientCallDetails,
        request: Request,
    ) -> Response | aio.UnaryUnaryCall[Request, Response]:
        if not _takes_request_id(request):
            return await continuation(client_call_details, request)
        request = _with_request_id(request)
        now = asyncio.get_running_loop().time
        timeout = client_call_details.timeout
        deadline = now() + (self._repeat.timeout if timeout is None else timeout)
        delay = self._repeat.first_delay
        unknown: aio.AioRpcError | None = None
        """What the last attempt said that may have done its work."""
        while True:
            attempt = min(deadline - now(), self._repeat.attempt_timeout)
            try:
                call = await continuation(changed(client_call_details, timeout=attempt), request)
                await call
                return call
            except aio.AioRpcError as error:
                if is_outcome_unknown(error):
                    unknown = error
                # Not every refusal of this attempt says what became of those before: they may have done it all the same.
                answer = error if unknown is None or settles(error) else unknown
                retry_delay = failure(error).retry_delay
                if retry_delay is None and not is_outcome_unknown(error):
                    raise answer
                # Anything between nothing and the delay, so that clients who failed together do not come back together.
                wait = random.uniform(0, delay) + (retry_delay.total_seconds() if retry_delay else 0)
                if now() + wait >= deadline:
                    raise answer
            await asyncio.sleep(wait)
            delay = min(delay * 2, self._repeat.last_delay)


def _takes_request_id(request: object) -> bool:
    return isinstance(request, Message) and "request_id" in request.DESCRIPTOR.fields_by_name


def _with_request_id(request: Request) -> Request:
    """Gives a request the id that it lacks, in a copy: the caller's message may be used for another call."""
    if getattr(request, "request_id"):
        return request
    request = copy.deepcopy(request)
    setattr(request, "request_id", str(uuid.uuid4()))
    return request
