package orderflow.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * A deadline for calls without one. A stub's {@code withDeadlineAfter} counts from when it is called, so it is of no use on a stub that
 * is kept; this counts from the beginning of each call.
 */
final class DefaultDeadline implements ClientInterceptor {
  private final long nanos;

  DefaultDeadline(Duration deadline) {
    nanos = deadline.toNanos();
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    boolean bounded = method.getType() != MethodType.UNARY || options.getDeadline() != null;
    return next.newCall(method, bounded ? options : options.withDeadlineAfter(nanos, TimeUnit.NANOSECONDS));
  }
}
