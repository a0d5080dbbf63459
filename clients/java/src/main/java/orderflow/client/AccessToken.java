package orderflow.client;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongSupplier;
import orderflow.options.v1.Access;
import orderflow.options.v1.Options;
import orderflow.user.v1.LoginResponse;

/** Signs calls with a token that it gets by a login, when one is needed, and gets a new one before the old one expires. */
final class AccessToken extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** Asks for a token. */
  interface Login {
    LoginResponse call() throws StatusException;
  }

  /** A token, and when it expires, by the clock. */
  private record Token(String text, long expired) {}

  /** How long to leave it after a renewal that failed, while the old token is still good. */
  private static final long PAUSE = TimeUnit.SECONDS.toNanos(5);

  /** Which token a call went with. */
  private static final CallOptions.Key<AtomicReference<Token>> SENT = CallOptions.Key.create("orderflow-token");

  private final Login login;
  private final LongSupplier nanoClock;
  private final Executor executor;
  private Token token;
  /** When the token is to be renewed, by the clock. */
  private long stale;
  /** The last login, however many calls wait for it. */
  private CompletableFuture<Token> renewal = CompletableFuture.completedFuture(null);

  /** The executor is for logins, which block. */
  AccessToken(Login login, LongSupplier nanoClock, Executor executor) {
    this.login = login;
    this.nanoClock = nanoClock;
    this.executor = executor;
  }

  /** There is one login at a time, and rarely one; it has nothing of the context of the call that came first, since others wait, too. */
  static void onThreadOfItsOwn(Runnable login) {
    var thread = new Thread(login, "orderflow-login");
    thread.setDaemon(true);
    thread.start();
  }

  /** Does not block: until there is a token, the call's own deadline and cancellation hold. */
  @Override
  public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
    if (isPublic(call.getMethodDescriptor())) {
      applier.apply(new Metadata());
      return;
    }
    token().whenComplete((token, failure) -> {
      if (failure != null) {
        applier.fail(refusal(failure.getCause()));
        return;
      }
      AtomicReference<Token> sent = call.getCallOptions().getOption(SENT);
      if (sent != null) {
        sent.set(token);
      }
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + token.text);
      applier.apply(headers);
    });
  }

  private static Status refusal(Throwable failure) {
    return failure instanceof StatusException refused
        ? unauthenticated(refused.getStatus()).withCause(refused)
        : Status.INTERNAL.withDescription("signing in failed").withCause(failure);
  }

  /** Of a password that can be nobody's, gRPC would make INTERNAL: the code is not one that it expects of credentials. */
  private static Status unauthenticated(Status login) {
    return login.getCode() == Status.Code.INVALID_ARGUMENT
        ? Status.UNAUTHENTICATED.withDescription(login.getDescription())
        : login;
  }

  /** What the contract says about who may call a method. */
  private static boolean isPublic(MethodDescriptor<?, ?> method) {
    return method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier contract
        && contract.getMethodDescriptor().getOptions().getExtension(Options.auth).getAccess() == Access.ACCESS_PUBLIC;
  }

  /** The token to send now. As long as the old one is good nobody waits; else everybody waits for the same login. */
  private synchronized CompletableFuture<Token> token() {
    long now = nanoClock.getAsLong();
    if ((!isGood(now) || now - stale >= 0) && renewal.isDone()) {
      renewal = CompletableFuture.supplyAsync(this::renew, executor);
    }
    return isGood(now) ? CompletableFuture.completedFuture(token) : renewal;
  }

  private boolean isGood(long now) {
    return token != null && now - token.expired < 0;
  }

  /** A new token. Nobody is locked out while it waits for the answer. */
  private Token renew() {
    // Its life is counted from before the question: it can only be longer.
    long asked = nanoClock.getAsLong();
    try {
      LoginResponse response = login.call();
      long life = TimeUnit.SECONDS.toNanos(response.getExpiresIn());
      // The last fifth of its life, a minute at the most, is for renewing it.
      long margin = Math.min(life / 5, TimeUnit.MINUTES.toNanos(1));
      synchronized (this) {
        stale = asked + life - margin;
        token = new Token(response.getAccessToken(), asked + life);
        return token;
      }
    } catch (StatusException | RuntimeException failure) {
      synchronized (this) {
        stale = nanoClock.getAsLong() + PAUSE;
      }
      throw new CompletionException(failure);
    }
  }

  /** Forgets a token that a call was refused with: it can be revoked, or the key it was signed with withdrawn. */
  ClientInterceptor watchingForRefusals() {
    return new ClientInterceptor() {
      @Override
      public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
        AtomicReference<Token> sent = new AtomicReference<>();
        return new SimpleForwardingClientCall<>(next.newCall(method, options.withOption(SENT, sent))) {
          @Override
          public void start(Listener<A> listener, Metadata headers) {
            super.start(new SimpleForwardingClientCallListener<>(listener) {
              @Override
              public void onClose(Status status, Metadata trailers) {
                if (status.getCode() == Status.Code.UNAUTHENTICATED) {
                  forget(sent.get());
                }
                super.onClose(status, trailers);
              }
            }, headers);
          }
        };
      }
    };
  }

  /** Unless there is a newer one already. */
  private synchronized void forget(Token refused) {
    if (token == refused) {
      token = null;
    }
  }
}
