package orderflow.client;

import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import orderflow.order.v1.CreateOrderRequest;

/**
 * How a request is sent again that carries a request id.
 *
 * @param attempts how often it is sent, at the most
 * @param first how long to wait before the second attempt, at the most; before each further one twice as long
 * @param longest how long to wait before any attempt, at the most, unless the answer asks for more
 */
public record Retry(int attempts, Duration first, Duration longest) {
  /** After these the order may exist, or not. All others are definite. */
  private static final Set<Code> UNKNOWN_OUTCOMES = EnumSet.of(
      Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL);

  public Retry {
    if (attempts < 1) {
      throw new IllegalArgumentException("at least one attempt");
    }
    Objects.requireNonNull(first);
    Objects.requireNonNull(longest);
  }

  /** Five attempts, within 3 s beside what they take themselves. */
  public static Retry standard() {
    return new Retry(5, Duration.ofMillis(200), Duration.ofSeconds(2));
  }

  /** A call that may be made again. */
  interface Call<A> {
    A make() throws StatusException;
  }

  <A> A call(Call<A> call) throws StatusException {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.make();
      } catch (StatusException failure) {
        ErrorDetails details = ErrorDetails.of(failure);
        boolean again = UNKNOWN_OUTCOMES.contains(details.code()) || details.retryDelay().isPresent();
        if (!again || attempt == attempts || isGivenUp()) {
          throw failure;
        }
        try {
          Thread.sleep(details.retryDelay().orElse(Duration.ZERO).plus(jitter(attempt)).toMillis());
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
          throw failure;
        }
      }
    }
  }

  /** Whether it is the caller who does not want to go on. */
  private static boolean isGivenUp() {
    return Thread.currentThread().isInterrupted() || Context.current().isCancelled();
  }

  /** Anything from nothing to twice as much as before: clients that failed together do not come back together. */
  private Duration jitter(int attempt) {
    long most = Math.min(longest.toNanos(), first.toNanos() << Math.min(attempt - 1, 16));
    return Duration.ofNanos(ThreadLocalRandom.current().nextLong(most + 1));
  }

  /** The request with a request id: its own, or a new one. */
  static CreateOrderRequest named(CreateOrderRequest request) {
    return request.getRequestId().isEmpty()
        ? request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
        : request;
  }
}
