package orderflow.client;

import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusException;
import io.grpc.TlsChannelCredentials;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import orderflow.catalog.v1.AdjustStockRequest;
import orderflow.catalog.v1.AdjustStockResponse;
import orderflow.catalog.v1.CatalogServiceGrpc;
import orderflow.catalog.v1.CatalogServiceGrpc.CatalogServiceBlockingV2Stub;
import orderflow.catalog.v1.CreateProductRequest;
import orderflow.catalog.v1.Product;
import orderflow.order.v1.CreateOrderRequest;
import orderflow.order.v1.Order;
import orderflow.order.v1.OrderServiceGrpc;
import orderflow.order.v1.OrderServiceGrpc.OrderServiceBlockingV2Stub;
import orderflow.user.v1.LoginRequest;
import orderflow.user.v1.UserServiceGrpc;
import orderflow.user.v1.UserServiceGrpc.UserServiceBlockingV2Stub;

/**
 * A connection to a shop. It is safe for use by many threads and made to be kept: one for a program, or one for each user.
 *
 * <p>The stubs throw {@link StatusException}; {@link ErrorDetails#of} reads what it carries.
 */
public final class OrderFlow implements AutoCloseable {
  private final ManagedChannel channel;
  private final UserServiceBlockingV2Stub users;
  private final CatalogServiceBlockingV2Stub catalog;
  private final OrderServiceBlockingV2Stub orders;
  private final Retry retry;

  private OrderFlow(Builder builder) {
    channel = builder.open();
    List<ClientInterceptor> all = new ArrayList<>(builder.interceptors);
    all.add(new DefaultDeadline(builder.deadline));
    Channel calls = ClientInterceptors.intercept(channel, all);
    retry = builder.retry;
    if (builder.login == null) {
      users = UserServiceGrpc.newBlockingV2Stub(calls);
      catalog = CatalogServiceGrpc.newBlockingV2Stub(calls);
      orders = OrderServiceGrpc.newBlockingV2Stub(calls);
    } else {
      LoginRequest login = builder.login;
      UserServiceBlockingV2Stub nobody = UserServiceGrpc.newBlockingV2Stub(calls);
      AccessToken token = new AccessToken(() -> nobody.login(login), System::nanoTime, AccessToken::onThreadOfItsOwn);
      Channel signed = ClientInterceptors.intercept(calls, token.watchingForRefusals());
      users = UserServiceGrpc.newBlockingV2Stub(signed).withCallCredentials(token);
      catalog = CatalogServiceGrpc.newBlockingV2Stub(signed).withCallCredentials(token);
      orders = OrderServiceGrpc.newBlockingV2Stub(signed).withCallCredentials(token);
    }
  }

  /** A shop's address: {@code https://shop.example}, or {@code http://127.0.0.1:8080} where nothing is encrypted. */
  public static Builder at(String address) {
    return new Builder(URI.create(address));
  }

  /** Registration, login and one's own account. */
  public UserServiceBlockingV2Stub users() {
    return users;
  }

  /** Products. To create one, or to adjust a stock, {@link #createProduct} and {@link #adjustStock} are the safer ways. */
  public CatalogServiceBlockingV2Stub catalog() {
    return catalog;
  }

  /** Orders. To place one, {@link #createOrder} is the safer way. */
  public OrderServiceBlockingV2Stub orders() {
    return orders;
  }

  /**
   * Places an order exactly once. The request gets a request id if it has none, and is sent again, unchanged, while it is not known
   * what became of it, or where the answer asks for that.
   *
   * @throws StatusException with a code that is definite of all attempts, or, when trying was of no use, with the last one after
   *     which the order may exist; then a later call with the same request id finds out
   */
  public Order createOrder(CreateOrderRequest request) throws StatusException {
    var named = request.toBuilder().setRequestId(Retry.requestId(request.getRequestId())).build();
    return retry.call(() -> orders.createOrder(named)).getOrder();
  }

  /** Creates a product exactly once, as {@link #createOrder} does an order. */
  public Product createProduct(CreateProductRequest request) throws StatusException {
    var named = request.toBuilder().setRequestId(Retry.requestId(request.getRequestId())).build();
    return retry.call(() -> catalog.createProduct(named)).getProduct();
  }

  /** Adjusts a stock exactly once, as {@link #createOrder} places an order. */
  public AdjustStockResponse adjustStock(AdjustStockRequest request) throws StatusException {
    var named = request.toBuilder().setRequestId(Retry.requestId(request.getRequestId())).build();
    return retry.call(() -> catalog.adjustStock(named));
  }

  /** Ends all calls that are going on, and the connection. */
  @Override
  public void close() {
    channel.shutdownNow();
    try {
      channel.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** What can be said about a connection before it is opened. */
  public static final class Builder {
    private final URI address;
    private final List<ClientInterceptor> interceptors = new ArrayList<>();
    private LoginRequest login;
    private Duration deadline = Duration.ofSeconds(10);
    private Retry retry = Retry.standard();

    private Builder(URI address) {
      if (address.getHost() == null || !List.of("http", "https").contains(address.getScheme())) {
        throw new IllegalArgumentException("not the URL of a shop: " + address);
      }
      this.address = address;
    }

    /** Signs in as this user, at the first call that needs it, and again before the token expires. */
    public Builder login(String email, String password) {
      login = LoginRequest.newBuilder().setEmail(email).setPassword(password).build();
      return this;
    }

    /** How long calls may take that say nothing about it; 10 s if this is not called. Streams last until one side ends them. */
    public Builder deadline(Duration deadline) {
      this.deadline = Objects.requireNonNull(deadline);
      return this;
    }

    /** How {@link OrderFlow#createOrder} and its like try again. */
    public Builder retry(Retry retry) {
      this.retry = Objects.requireNonNull(retry);
      return this;
    }

    /** Sees every call as it is sent, each attempt of a retry by itself: for metrics, traces and logs. */
    public Builder intercept(ClientInterceptor interceptor) {
      interceptors.add(Objects.requireNonNull(interceptor));
      return this;
    }

    /** Opens the connection, which is made at the first call. */
    public OrderFlow build() {
      return new OrderFlow(this);
    }

    private ManagedChannel open() {
      boolean encrypted = address.getScheme().equals("https");
      int port = address.getPort() != -1 ? address.getPort() : encrypted ? 443 : 80;
      var credentials = encrypted ? TlsChannelCredentials.create() : InsecureChannelCredentials.create();
      // What stands between often forgets connections that are silent for minutes, and tells neither side.
      return Grpc.newChannelBuilderForAddress(address.getHost(), port, credentials)
          .keepAliveTime(30, TimeUnit.SECONDS)
          .keepAliveTimeout(10, TimeUnit.SECONDS)
          .build();
    }
  }
}
