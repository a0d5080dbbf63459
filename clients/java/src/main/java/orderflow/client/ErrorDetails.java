package orderflow.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.PreconditionFailure.Violation;
import com.google.rpc.RetryInfo;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * What an error says beyond its code.
 *
 * @param code what kind of error it is
 * @param message for people
 * @param reason for programs: {@code INSUFFICIENT_STOCK}; empty if there is none
 * @param metadata about the reason: the {@code trace_id} of an INTERNAL error
 * @param fieldViolations every wrong field of the request
 * @param preconditionViolations all that stands in the way, and what is so now
 * @param retryDelay after how long the same request may be sent again, where that helps
 */
public record ErrorDetails(
    Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    List<FieldViolation> fieldViolations,
    List<Violation> preconditionViolations,
    Optional<Duration> retryDelay) {

  /** The details of an error, or, where it has none, of the error that caused it: a login that was refused. */
  public static ErrorDetails of(StatusException error) {
    com.google.rpc.Status status = com.google.rpc.Status.getDefaultInstance();
    for (Throwable cause = error; status.getDetailsCount() == 0 && cause != null; cause = cause.getCause()) {
      status = status(cause);
    }
    ErrorInfo info = first(status, ErrorInfo.class).orElseGet(ErrorInfo::getDefaultInstance);
    return new ErrorDetails(
        error.getStatus().getCode(),
        Objects.requireNonNullElse(error.getStatus().getDescription(), ""),
        info.getReason(),
        info.getMetadataMap(),
        first(status, BadRequest.class).map(BadRequest::getFieldViolationsList).orElse(List.of()),
        first(status, PreconditionFailure.class).map(PreconditionFailure::getViolationsList).orElse(List.of()),
        first(status, RetryInfo.class).map(RetryInfo::getRetryDelay)
            .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())));
  }

  /** What a server said, empty where nobody said anything: a proxy's trailers can be anything. */
  private static com.google.rpc.Status status(Throwable error) {
    try {
      if (error instanceof StatusException e) {
        return StatusProto.fromStatusAndTrailers(e.getStatus(), e.getTrailers());
      }
      if (error instanceof StatusRuntimeException e) {
        return StatusProto.fromStatusAndTrailers(e.getStatus(), e.getTrailers());
      }
    } catch (IllegalArgumentException unreadable) {
      // They contradict the status, or are no message.
    }
    return com.google.rpc.Status.getDefaultInstance();
  }

  private static <T extends Message> Optional<T> first(com.google.rpc.Status status, Class<T> type) {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException unreadable) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
