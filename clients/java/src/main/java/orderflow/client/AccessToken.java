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

  /** A token, and when it is to be renewed, and expires, by the clock. */
  private record Token(String text, long stale, long expired) {}

  /** Which token a call went with. */
  private static final CallOptions.Key<AtomicReference<Token>> SENT = CallOptions.Key.create("orderflow-token");

  private final Login login;
  private final LongSupplier nanoClock;
  private Token token;

  AccessToken(Login login, LongSupplier nanoClock) {
    this.login = login;
    this.nanoClock = nanoClock;
  }

  @Override
  public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
    if (isPublic(call.getMethodDescriptor())) {
      applier.apply(new Metadata());
      return;
    }
    // A login may take a while, and this may be the thread of the network.
    executor.execute(() -> {
      try {
        Token token = token();
        AtomicReference<Token> sent = call.getCallOptions().getOption(SENT);
        if (sent != null) {
          sent.set(token);
        }
        Metadata headers = new Metadata();
        headers.put(AUTHORIZATION, "Bearer " + token.text);
        applier.apply(headers);
      } catch (StatusException refused) {
        applier.fail(unauthenticated(refused.getStatus()).withCause(refused));
      } catch (RuntimeException broken) {
        applier.fail(Status.INTERNAL.withDescription("signing in failed").withCause(broken));
      }
    });
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

  /** The token, new if need be. Whoever comes meanwhile waits for the same login. */
  private synchronized Token token() throws StatusException {
    long now = nanoClock.getAsLong();
    if (token != null && now - token.stale < 0) {
      return token;
    }
    try {
      LoginResponse response = login.call();
      // The last fifth of its life, a minute at the most, is for renewing it.
      long life = TimeUnit.SECONDS.toNanos(response.getExpiresIn());
      long margin = Math.min(life / 5, TimeUnit.MINUTES.toNanos(1));
      token = new Token(response.getAccessToken(), now + life - margin, now + life);
    } catch (StatusException refused) {
      if (token == null || now - token.expired >= 0) {
        throw refused;
      }
    }
    return token;
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
