package orderflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import orderflow.catalog.v1.AdjustStockRequest;
import orderflow.catalog.v1.AdjustStockResponse;
import orderflow.catalog.v1.CatalogServiceGrpc;
import orderflow.catalog.v1.CreateProductRequest;
import orderflow.catalog.v1.CreateProductResponse;
import orderflow.catalog.v1.GetProductRequest;
import orderflow.catalog.v1.GetProductResponse;
import orderflow.order.v1.CreateOrderRequest;
import orderflow.order.v1.GetOrderRequest;
import orderflow.order.v1.WatchOrdersRequest;
import orderflow.user.v1.LoginRequest;
import orderflow.user.v1.LoginResponse;
import orderflow.user.v1.UserServiceGrpc;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(30)
class OrderFlowTest {
  private static final GetOrderRequest NUMBERS = GetOrderRequest.newBuilder().setId("numbers").build();
  private static final GetOrderRequest SILENCE = GetOrderRequest.newBuilder().setId("silence").build();
  private static final Retry AT_ONCE = new Retry(3, java.time.Duration.ZERO, java.time.Duration.ZERO);

  @Test
  void aTokenGoesWithCallsThatNeedOne() throws Exception {
    try (var shop = new Shop(new Shop.Logins(3600), new Orders(), new Products());
        var client = shop.client().login("ada@example.com", "correct horse").build()) {
      client.catalog().getProduct(GetProductRequest.getDefaultInstance());
      client.orders().getOrder(NUMBERS);
      var watch = client.orders().watchOrders(WatchOrdersRequest.getDefaultInstance());
      assertEquals("begin", watch.read().getResumeToken());
      watch.cancel("seen enough", null);

      assertEquals(List.of("none"), shop.headers("GetProduct"));
      assertEquals(List.of("none"), shop.headers("Login"));
      assertEquals(List.of("Bearer token-1"), shop.headers("GetOrder"));
      assertEquals(List.of("Bearer token-1"), shop.headers("WatchOrders"));
    }
  }

  @Test
  void whoComesAtTheSameTimeSharesALogin() throws Exception {
    try (var shop = new Shop(new Shop.Logins(3600), new Orders());
        var client = shop.client().login("ada@example.com", "correct horse").build()) {
      var together = new CountDownLatch(8);
      var threads = Executors.newFixedThreadPool(8);
      var calls = IntStream.range(0, 8).mapToObj(i -> CompletableFuture.runAsync(() -> {
        together.countDown();
        try {
          together.await();
          client.orders().getOrder(NUMBERS);
        } catch (StatusException | InterruptedException failure) {
          throw new AssertionError(failure);
        }
      }, threads)).toList();
      calls.forEach(CompletableFuture::join);
      threads.shutdown();
      assertEquals(1, shop.headers("Login").size());
    }
  }

  @Test
  void aCallEndsInTimeThoughTheLoginHangs() throws Exception {
    var silent = new UserServiceGrpc.UserServiceImplBase() {
      @Override
      public void login(LoginRequest request, StreamObserver<LoginResponse> answer) {
        // It never answers.
      }
    };
    try (var shop = new Shop(silent, new Orders());
        var client = shop.client().login("ada@example.com", "correct horse").deadline(java.time.Duration.ofDays(1)).build()) {
      for (int i = 0; i < 2; i++) {
        var late = assertThrows(StatusException.class,
            () -> client.orders().withDeadlineAfter(300, TimeUnit.MILLISECONDS).getOrder(NUMBERS));
        assertEquals(Code.DEADLINE_EXCEEDED, late.getStatus().getCode());
      }
      while (shop.headers("Login").isEmpty()) {
        Thread.onSpinWait();
      }
      assertEquals(List.of("none"), shop.headers("Login"));
      assertEquals(List.of(), shop.headers("GetOrder"));
    }
  }

  @Test
  void aTokenThatWasRefusedIsNotUsedAgain() throws Exception {
    var orders = new Orders().fail(Code.UNAUTHENTICATED, Orders.reason("TOKEN_INVALID"));
    try (var shop = new Shop(new Shop.Logins(3600), orders);
        var client = shop.client().login("ada@example.com", "correct horse").build()) {
      var refused = assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS));
      assertEquals("TOKEN_INVALID", ErrorDetails.of(refused).reason());
      client.orders().getOrder(NUMBERS);
      assertEquals(List.of("Bearer token-1", "Bearer token-2"), shop.headers("GetOrder"));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"UNAUTHENTICATED", "INVALID_ARGUMENT"})
  void aRefusedLoginIsTheErrorOfTheCall(Code code) throws Exception {
    var users = new UserServiceGrpc.UserServiceImplBase() {
      @Override
      public void login(LoginRequest request, StreamObserver<LoginResponse> answer) {
        answer.onError(Orders.failure(code, Orders.reason("WRONG_CREDENTIALS")));
      }
    };
    try (var shop = new Shop(users, new Orders());
        var client = shop.client().login("ada@example.com", "wrong").build()) {
      var refused = assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS));
      assertEquals(Code.UNAUTHENTICATED, refused.getStatus().getCode());
      assertEquals("WRONG_CREDENTIALS", ErrorDetails.of(refused).reason());
      assertEquals("it is " + code, ErrorDetails.of(refused).message());
      assertEquals(List.of(), shop.headers("GetOrder"));
    }
  }

  @Test
  void detailsAreRead() throws Exception {
    var field = BadRequest.FieldViolation.newBuilder().setField("lines[0].quantity").setDescription("must be 1 to 10,000");
    var line = PreconditionFailure.Violation.newBuilder()
        .setType("INSUFFICIENT_STOCK").setSubject("products/1").setDescription("3 left");
    var orders = new Orders()
        .fail(Code.INVALID_ARGUMENT, Orders.reason("INVALID_REQUEST"), BadRequest.newBuilder().addFieldViolations(field).build())
        .fail(Code.FAILED_PRECONDITION, Orders.reason("INSUFFICIENT_STOCK"),
            PreconditionFailure.newBuilder().addViolations(line).build())
        .fail(Code.INTERNAL, Orders.reason("INTERNAL").toBuilder().putMetadata("trace_id", "7").build())
        .fail(Code.NOT_FOUND);
    try (var shop = new Shop(orders); var client = shop.client().build()) {
      var invalid = ErrorDetails.of(assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS)));
      assertEquals(Code.INVALID_ARGUMENT, invalid.code());
      assertEquals("it is INVALID_ARGUMENT", invalid.message());
      assertEquals(List.of(field.build()), invalid.fieldViolations());
      assertEquals(List.of(), invalid.preconditionViolations());

      var refused = ErrorDetails.of(assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS)));
      assertEquals("INSUFFICIENT_STOCK", refused.reason());
      assertEquals(List.of(line.build()), refused.preconditionViolations());

      var internal = ErrorDetails.of(assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS)));
      assertEquals("7", internal.metadata().get("trace_id"));

      var bare = ErrorDetails.of(assertThrows(StatusException.class, () -> client.orders().getOrder(NUMBERS)));
      assertEquals(Code.NOT_FOUND, bare.code());
      assertEquals("", bare.reason());
      assertTrue(bare.retryDelay().isEmpty());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNKNOWN", "INTERNAL"})
  void anOrderWhoseOutcomeIsUnknownIsSentAgainWithItsRequestId(Code code) throws Exception {
    var orders = new Orders().fail(code).fail(code);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var order = client.createOrder(CreateOrderRequest.getDefaultInstance());
      assertEquals(3, orders.requests.size());
      assertEquals(36, order.getRequestId().length());
      for (CreateOrderRequest request : orders.requests) {
        assertEquals(order.getRequestId(), request.getRequestId());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED", "DATA_LOSS", "UNAUTHENTICATED"})
  void whatIsDefiniteIsNotSentAgain(Code code) throws Exception {
    var orders = new Orders().fail(code);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var request = CreateOrderRequest.newBuilder().setRequestId("mine").build();
      var failure = assertThrows(StatusException.class, () -> client.createOrder(request));
      assertEquals(code, failure.getStatus().getCode());
      assertEquals(List.of(request), orders.requests);
    }
  }

  @Test
  void whatAsksForItIsSentAgainAsLateAsItAsks() throws Exception {
    var delay = Duration.newBuilder().setNanos(30_000_000);
    var orders = new Orders()
        .fail(Code.RESOURCE_EXHAUSTED, Orders.reason("BUSY"), RetryInfo.newBuilder().setRetryDelay(delay).build());
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      long began = System.nanoTime();
      client.createOrder(CreateOrderRequest.getDefaultInstance());
      assertEquals(2, orders.requests.size());
      assertTrue(System.nanoTime() - began >= 30_000_000);
    }
  }

  @Test
  void itGivesUpInTheEndAndSaysWhy() throws Exception {
    var orders = new Orders().fail(Code.UNAVAILABLE).fail(Code.UNAVAILABLE).fail(Code.ABORTED).fail(Code.INTERNAL);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var failure = assertThrows(StatusException.class, () -> client.createOrder(CreateOrderRequest.getDefaultInstance()));
      assertEquals(Code.ABORTED, failure.getStatus().getCode());
      assertEquals(3, orders.requests.size());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "NOT_FOUND"})
  void aRefusalDoesNotHideAnEarlierOutcomeThatIsUnknown(Code refusal) throws Exception {
    var orders = new Orders().fail(Code.UNAVAILABLE).fail(refusal);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var failure = assertThrows(StatusException.class, () -> client.createOrder(CreateOrderRequest.getDefaultInstance()));
      assertEquals(Code.UNAVAILABLE, failure.getStatus().getCode());
      assertEquals(refusal, ((StatusException) failure.getSuppressed()[0]).getStatus().getCode());
      assertEquals(2, orders.requests.size());
    }
  }

  @Test
  void norDoesOneThatLastsToTheEnd() throws Exception {
    var busy = new Message[] {Orders.reason("BUSY"), RetryInfo.getDefaultInstance()};
    var orders = new Orders().fail(Code.DEADLINE_EXCEEDED).fail(Code.RESOURCE_EXHAUSTED, busy).fail(Code.RESOURCE_EXHAUSTED, busy);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var failure = assertThrows(StatusException.class, () -> client.createOrder(CreateOrderRequest.getDefaultInstance()));
      assertEquals(Code.DEADLINE_EXCEEDED, failure.getStatus().getCode());
      assertEquals(3, orders.requests.size());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FAILED_PRECONDITION", "ALREADY_EXISTS", "INVALID_ARGUMENT"})
  void whatIsSaidOfTheRequestIdSettlesIt(Code code) throws Exception {
    var orders = new Orders().fail(Code.UNAVAILABLE).fail(code);
    try (var shop = new Shop(orders); var client = shop.client().retry(AT_ONCE).build()) {
      var failure = assertThrows(StatusException.class, () -> client.createOrder(CreateOrderRequest.getDefaultInstance()));
      assertEquals(code, failure.getStatus().getCode());
    }
  }

  @Test
  void productsAndStocksAreSentAgainToo() throws Exception {
    var products = new Products();
    try (var shop = new Shop(products); var client = shop.client().retry(AT_ONCE).build()) {
      client.createProduct(CreateProductRequest.getDefaultInstance());
      client.adjustStock(AdjustStockRequest.getDefaultInstance());
      for (List<String> ids : List.of(products.created, products.adjusted)) {
        assertEquals(2, ids.size());
        assertEquals(36, ids.get(0).length());
        assertEquals(ids.get(0), ids.get(1));
      }
    }
  }

  @Test
  void whoIsInterruptedIsNotAskedAgain() throws Exception {
    theCallerGivesUp((caller, context) -> caller.interrupt());
  }

  @Test
  void whoCancelsIsNotAskedAgain() throws Exception {
    theCallerGivesUp((caller, context) -> context.cancel(null));
  }

  /** While it waits, for a day, to be asked again. */
  private static void theCallerGivesUp(BiConsumer<Thread, Context.CancellableContext> givingUp) throws Exception {
    var orders = new Orders().fail(Code.UNAVAILABLE).fail(Code.UNAVAILABLE);
    var slow = new Retry(3, java.time.Duration.ofDays(1), java.time.Duration.ofDays(1));
    try (var shop = new Shop(orders); var client = shop.client().retry(slow).build()) {
      var ended = new CompletableFuture<StatusException>();
      Context.CancellableContext context = Context.current().withCancellation();
      var caller = new Thread(context.wrap(() -> {
        ended.complete(assertThrows(StatusException.class, () -> client.createOrder(CreateOrderRequest.getDefaultInstance())));
      }));
      caller.start();
      while (caller.getState() != Thread.State.TIMED_WAITING || orders.requests.isEmpty()) {
        Thread.onSpinWait();
      }
      givingUp.accept(caller, context);
      assertEquals(Code.UNAVAILABLE, ended.get().getStatus().getCode());
      assertEquals(1, orders.requests.size());
    }
  }

  @Test
  void everyCallHasADeadlineOfItsOwn() throws Exception {
    try (var shop = new Shop(new Orders()); var client = shop.client().deadline(java.time.Duration.ofMillis(50)).build()) {
      // A call's own comes first; and from now on there is a connection, so that the time of the others is their own.
      client.orders().withDeadlineAfter(1, TimeUnit.HOURS).getOrder(NUMBERS);
      assertTrue(shop.deadlines.get(0).orElseThrow().timeRemaining(TimeUnit.MINUTES) > 50);
      var stub = client.orders();
      for (int i = 0; i < 2; i++) {
        var late = assertThrows(StatusException.class, () -> stub.getOrder(SILENCE));
        assertEquals(Code.DEADLINE_EXCEEDED, late.getStatus().getCode());
      }
      // What lasts has none.
      var watch = stub.watchOrders(WatchOrdersRequest.getDefaultInstance());
      assertEquals("begin", watch.read().getResumeToken());
      assertThrows(java.util.concurrent.TimeoutException.class, () -> watch.read(200, TimeUnit.MILLISECONDS));
      assertEquals(1, shop.deadlines.stream().filter(java.util.Optional::isEmpty).count());
      assertTrue(shop.deadlines.get(shop.deadlines.size() - 1).isEmpty());
      watch.cancel("seen enough", null);
    }
  }

  @Test
  void aWatchThatIsCancelledEndsAtTheServer() throws Exception {
    try (var shop = new Shop(new Orders()); var client = shop.client().build()) {
      var watch = client.orders().watchOrders(WatchOrdersRequest.getDefaultInstance());
      watch.read();
      watch.cancel("seen enough", null);
      assertTrue(shop.cancelled.await(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void aCallWhoseContextIsCancelledEndsAtTheServer() throws Exception {
    try (var shop = new Shop(new Orders()); var client = shop.client().build()) {
      Context.CancellableContext context = Context.current().withCancellation();
      var ended = new CompletableFuture<StatusException>();
      Runnable call = () -> ended.complete(assertThrows(StatusException.class, () -> client.orders().getOrder(SILENCE)));
      new Thread(context.wrap(call)).start();
      while (shop.headers("GetOrder").isEmpty()) {
        Thread.onSpinWait();
      }
      context.cancel(null);
      assertEquals(Code.CANCELLED, ended.get().getStatus().getCode());
      assertTrue(shop.cancelled.await(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void largeNumbersStayWhatTheyAre() throws Exception {
    try (var shop = new Shop(new Orders()); var client = shop.client().build()) {
      var order = client.orders().getOrder(NUMBERS).getOrder();
      assertEquals(9_007_199_254_740_993L, order.getTotalPrice().getMinorUnits());
    }
  }

  @Test
  void anAddressIsAUrl() {
    for (String wrong : List.of("127.0.0.1:8080", "shop.example", "ftp://shop.example", "http:///x")) {
      assertThrows(IllegalArgumentException.class, () -> OrderFlow.at(wrong), wrong);
    }
    OrderFlow.at("https://shop.example").build().close();
  }

  /** Products for everybody; each of the first attempts to write fails. */
  private static final class Products extends CatalogServiceGrpc.CatalogServiceImplBase {
    /** The request ids, as they came. */
    final List<String> created = new CopyOnWriteArrayList<>();
    final List<String> adjusted = new CopyOnWriteArrayList<>();

    @Override
    public void getProduct(GetProductRequest request, StreamObserver<GetProductResponse> answer) {
      answer.onNext(GetProductResponse.getDefaultInstance());
      answer.onCompleted();
    }

    @Override
    public void createProduct(CreateProductRequest request, StreamObserver<CreateProductResponse> answer) {
      write(created, request.getRequestId(), CreateProductResponse.getDefaultInstance(), answer);
    }

    @Override
    public void adjustStock(AdjustStockRequest request, StreamObserver<AdjustStockResponse> answer) {
      write(adjusted, request.getRequestId(), AdjustStockResponse.getDefaultInstance(), answer);
    }

    private static <A> void write(List<String> ids, String id, A response, StreamObserver<A> answer) {
      ids.add(id);
      if (ids.size() == 1) {
        answer.onError(Orders.failure(Code.UNAVAILABLE));
        return;
      }
      answer.onNext(response);
      answer.onCompleted();
    }
  }
}
