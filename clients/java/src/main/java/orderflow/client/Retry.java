package orderflow.client;

import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * How a request is sent again that carries a request id.
 *
 * @param attempts how often it is sent, at the most
 * @param first how long to wait before the second attempt, at the most; before each further one twice as long
 * @param longest how long to wait before any attempt, at the most, unless the answer asks for more
 */
public record Retry(int attempts, Duration first, Duration longest) {
  /** After these the attempt may have done its work, or not. All others are definite, of this attempt. */
  private static final Set<Code> UNKNOWN_OUTCOMES = EnumSet.of(
      Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL);
  /** These say what became of the request id, and so of the attempts before, too. */
  private static final Set<Code> SETTLED = EnumSet.of(Code.FAILED_PRECONDITION, Code.ALREADY_EXISTS, Code.INVALID_ARGUMENT);

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
    StatusException unknown = null;
    for (int attempt = 1; ; attempt++) {
      try {
        return call.make();
      } catch (StatusException failure) {
        ErrorDetails details = ErrorDetails.of(failure);
        boolean isUnknown = UNKNOWN_OUTCOMES.contains(details.code());
        if (isUnknown) {
          unknown = failure;
        }
        boolean again = isUnknown || details.retryDelay().isPresent();
        if (!again || attempt == attempts || !pause(details.retryDelay().orElse(Duration.ZERO).plus(jitter(attempt)))) {
          throw outcome(unknown, failure);
        }
      }
    }
  }

  /** An attempt that was refused in the end says nothing about an earlier one that may have done its work. */
  private static StatusException outcome(StatusException unknown, StatusException last) {
    if (unknown == null || unknown == last || SETTLED.contains(last.getStatus().getCode())) {
      return last;
    }
    unknown.addSuppressed(last);
    return unknown;
  }

  /** Waits, unless the caller does not want to go on. Says whether to do so. */
  private static boolean pause(Duration pause) {
    Context context = Context.current();
    var cancelled = new CountDownLatch(1);
    Context.CancellationListener listener = ignored -> cancelled.countDown();
    context.addListener(listener, Runnable::run);
    try {
      return !cancelled.await(TimeUnit.NANOSECONDS.convert(pause), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      return false;
    } finally {
      context.removeListener(listener);
    }
  }

  /** Anything from nothing to twice as much as before: clients that failed together do not come back together. */
  private Duration jitter(int attempt) {
    long most = Math.min(longest.toNanos(), first.toNanos() << Math.min(attempt - 1, 16));
    return Duration.ofNanos(ThreadLocalRandom.current().nextLong(most + 1));
  }

  /** The request id that a request has, or a new one. */
  static String requestId(String given) {
    return given.isEmpty() ? UUID.randomUUID().toString() : given;
  }
}
