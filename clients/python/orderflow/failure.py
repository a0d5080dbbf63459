from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import aio

Detail = TypeVar("Detail", bound=Message)


@dataclass(frozen=True)
class Failure:
    """What an error says, its `google.rpc` details included."""

    code: grpc.StatusCode
    message: str
    """For people who read logs."""
    reason: str
    """Why, for programs, in UPPER_SNAKE: "INSUFFICIENT_STOCK". Empty when the error came from elsewhere: a broken connection."""
    fields: Sequence[BadRequest.FieldViolation]
    """Each field of the request that is wrong."""
    preconditions: Sequence[PreconditionFailure.Violation]
    """Each thing that stands in the way: of an order, each line that cannot be had, its product and what is so now."""
    retry_delay: timedelta | None
    """The same request may be sent again, so much later."""
    trace_id: str | None
    """Of an INTERNAL error: where its cause is in the server's log."""


def failure(error: aio.AioRpcError) -> Failure:
    """Reads the details of an error."""
    status = Status()
    packed = (error.trailing_metadata() or {}).get("grpc-status-details-bin")
    if isinstance(packed, bytes):
        status.ParseFromString(packed)
    info = _detail(status, ErrorInfo) or ErrorInfo()
    bad = _detail(status, BadRequest) or BadRequest()
    failed = _detail(status, PreconditionFailure) or PreconditionFailure()
    retry = _detail(status, RetryInfo)
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        fields=bad.field_violations,
        preconditions=failed.violations,
        retry_delay=None if retry is None else retry.retry_delay.ToTimedelta(),
        trace_id=info.metadata.get("trace_id"),
    )


def _detail(status: Status, kind: type[Detail]) -> Detail | None:
    detail = kind()
    return detail if any(packed.Unpack(detail) for packed in status.details) else None


_UNKNOWN_OUTCOMES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}


def is_outcome_unknown(error: aio.AioRpcError) -> bool:
    """Whether the call may have done its work in spite of this error.

    Any other error is definite: it has done nothing, in none of its attempts. Of an earlier call under the same `request_id`
    only FAILED_PRECONDITION, ALREADY_EXISTS and INVALID_ARGUMENT say so, too.
    """
    return error.code() in _UNKNOWN_OUTCOMES


_SETTLING = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
}


def settles(error: aio.AioRpcError) -> bool:
    """Whether nothing has been done under the `request_id`, nor will be, whatever became of earlier attempts."""
    return error.code() in _SETTLING
