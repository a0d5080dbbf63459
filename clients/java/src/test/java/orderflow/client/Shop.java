package orderflow.client;

import io.grpc.BindableService;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import orderflow.user.v1.LoginRequest;
import orderflow.user.v1.LoginResponse;
import orderflow.user.v1.UserServiceGrpc;

/** A server on a port of its own, for what a real shop does only when something is wrong with it. */
final class Shop implements AutoCloseable {
  static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** What came in, by the method's full name, with the authorization header ("none" if there was none). */
  final List<Map.Entry<String, String>> calls = new CopyOnWriteArrayList<>();
  /** How long each of them had when it came; nothing where it had for ever. */
  final List<Optional<Deadline>> deadlines = new CopyOnWriteArrayList<>();
  /** Opened by the first call that the client cancels. */
  final CountDownLatch cancelled = new CountDownLatch(1);
  private final Server server;

  Shop(BindableService... services) throws IOException {
    var builder = NettyServerBuilder.forAddress(
        new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), InsecureServerCredentials.create());
    for (BindableService service : services) {
      builder.addService(service);
    }
    server = builder.intercept(new Recorder()).build().start();
  }

  OrderFlow.Builder client() {
    return OrderFlow.at("http://127.0.0.1:" + server.getPort());
  }

  /** The authorization headers that a method was called with. */
  List<String> headers(String method) {
    return calls.stream().filter(call -> call.getKey().endsWith("/" + method)).map(Map.Entry::getValue).toList();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private final class Recorder implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      String token = headers.containsKey(AUTHORIZATION) ? headers.get(AUTHORIZATION) : "none";
      calls.add(Map.entry(call.getMethodDescriptor().getFullMethodName(), token));
      deadlines.add(Optional.ofNullable(Context.current().getDeadline()));
      Context.current().addListener(context -> {
        if (context.cancellationCause() != null) {
          cancelled.countDown();
        }
      }, Runnable::run);
      return next.startCall(call, headers);
    }
  }

  /** Gives the tokens "token-1", "token-2" and so on, each good for so many seconds. */
  static final class Logins extends UserServiceGrpc.UserServiceImplBase {
    private final AtomicInteger logins = new AtomicInteger();
    private final int seconds;

    Logins(int seconds) {
      this.seconds = seconds;
    }

    @Override
    public void login(LoginRequest request, StreamObserver<LoginResponse> answer) {
      answer.onNext(LoginResponse.newBuilder()
          .setAccessToken("token-" + logins.incrementAndGet()).setTokenType("bearer").setExpiresIn(seconds).build());
      answer.onCompleted();
    }
  }
}
