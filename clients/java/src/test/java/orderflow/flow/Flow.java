package orderflow.flow;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import orderflow.catalog.v1.CreateProductRequest;
import orderflow.catalog.v1.ListProductsRequest;
import orderflow.catalog.v1.Product;
import orderflow.client.ErrorDetails;
import orderflow.client.OrderFlow;
import orderflow.order.v1.CancelOrderRequest;
import orderflow.order.v1.CreateOrderRequest;
import orderflow.order.v1.DayStats;
import orderflow.order.v1.GetOrderStatsRequest;
import orderflow.order.v1.ListOrdersRequest;
import orderflow.order.v1.Order;
import orderflow.order.v1.OrderStatus;
import orderflow.order.v1.UpdateOrderStatusRequest;
import orderflow.order.v1.WatchOrdersRequest;
import orderflow.order.v1.WatchOrdersResponse;
import orderflow.user.v1.GetMeRequest;
import orderflow.user.v1.LoginRequest;
import orderflow.user.v1.RegisterRequest;
import orderflow.user.v1.User;

/** The flow that every client runs: clients/FLOW.md tells what it does, and flow.json what it sends and gets. */
public final class Flow {
  private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().serializeNulls().create();
  private static final JsonFormat.Printer PROTO_JSON =
      JsonFormat.printer().alwaysPrintFieldsWithNoPresence().preservingProtoFieldNames();

  private final Map<String, String> variables = new LinkedHashMap<>();
  private final LostAnswer lostAnswer = new LostAnswer();
  private final OrderFlow nobody;
  private final OrderFlow seller;
  private final OrderFlow buyer;
  private BlockingClientCall<?, WatchOrdersResponse> watch;

  private Flow(String address, JsonArray steps) throws InvalidProtocolBufferException {
    variables.put("$run", "%016x".formatted(ThreadLocalRandom.current().nextLong()));
    RegisterRequest seller = read(step(steps, "register-seller"), RegisterRequest.newBuilder()).build();
    RegisterRequest buyer = read(step(steps, "register-buyer"), RegisterRequest.newBuilder()).build();
    this.nobody = OrderFlow.at(address).build();
    this.seller = OrderFlow.at(address).login(seller.getEmail(), seller.getPassword()).build();
    this.buyer = OrderFlow.at(address).login(buyer.getEmail(), buyer.getPassword()).intercept(lostAnswer).build();
  }

  /** Takes the gateway's URL (or ORDERFLOW_ADDRESS) and the path of flow.json. */
  public static void main(String[] arguments) throws Exception {
    String address = arguments.length > 1 ? arguments[1] : System.getenv("ORDERFLOW_ADDRESS");
    JsonArray steps = JsonParser.parseString(Files.readString(Path.of(arguments[0]))).getAsJsonObject().getAsJsonArray("steps");
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    Flow flow = new Flow(address, steps);
    try (flow.nobody; flow.seller; flow.buyer) {
      for (JsonElement step : steps) {
        out.print(flow.line(step.getAsJsonObject()) + "\n");
      }
    }
  }

  private String line(JsonObject step) throws IOException, InterruptedException {
    String name = step.get("step").getAsString();
    JsonObject line = new JsonObject();
    line.addProperty("step", name);
    try {
      JsonElement result = run(name, step);
      line.addProperty("code", "OK");
      line.add("result", result);
    } catch (StatusException failure) {
      ErrorDetails details = ErrorDetails.of(failure);
      line.addProperty("code", details.code().name());
      if (!name.equals("idle-watch")) {
        line.addProperty("reason", details.reason());
      }
      if (!details.fieldViolations().isEmpty()) {
        JsonArray fields = new JsonArray();
        details.fieldViolations().forEach(violation -> fields.add(violation.getField()));
        line.add("fields", fields);
      }
      if (!details.preconditionViolations().isEmpty()) {
        JsonArray violations = new JsonArray();
        details.preconditionViolations().forEach(violation -> violations.add(object("type", violation.getType(), "subject", violation.getSubject())));
        line.add("violations", violations);
      }
    }
    String text = JSON.toJson(line);
    for (Map.Entry<String, String> variable : variables.entrySet()) {
      text = text.replace(variable.getValue(), variable.getKey());
    }
    return text;
  }

  private JsonElement run(String name, JsonObject step) throws StatusException, IOException, InterruptedException {
    return switch (name) {
      case "register-seller", "register-buyer" -> {
        User user = nobody.users().register(read(step, RegisterRequest.newBuilder()).build()).getUser();
        name(step, user.getId());
        yield show(user, "id", "name", "email");
      }
      case "login" -> show(nobody.users().login(read(step, LoginRequest.newBuilder()).build()), "token_type");
      case "no-token" -> show(nobody.users().getMe(GetMeRequest.getDefaultInstance()).getUser(), "id");
      case "get-me" -> show(buyer.users().getMe(GetMeRequest.getDefaultInstance()).getUser(), "id", "name", "email");
      case "create-glass", "create-samovar", "create-garden" -> {
        Product product = seller.catalog().createProduct(read(step, CreateProductRequest.newBuilder()).build()).getProduct();
        name(step, product.getId());
        yield show(product, "id", "name", "price", "stock", "owner_id");
      }
      case "list-products" -> listProducts(read(step, ListProductsRequest.newBuilder()));
      case "bad-order", "refused-order", "create-large-order" -> createOrder(step);
      case "create-order" -> {
        lostAnswer.loseTheNext();
        yield createOrder(step);
      }
      case "watch-opens" -> {
        watch = buyer.orders().watchOrders(read(step, WatchOrdersRequest.newBuilder()).build());
        WatchOrdersResponse first = watch.read();
        JsonObject result = new JsonObject();
        result.add("order", first.hasOrder() ? show(first.getOrder(), "id", "status") : JsonNull.INSTANCE);
        yield result;
      }
      case "ship-order" -> {
        var request = read(step, UpdateOrderStatusRequest.newBuilder()).build();
        yield show(seller.orders().updateOrderStatus(request).getOrder(), "id", "status");
      }
      case "watch-tells" -> watchTells();
      case "list-orders" -> listOrders(read(step, ListOrdersRequest.newBuilder()));
      case "order-stats" -> orderStats(read(step, GetOrderStatsRequest.newBuilder()).build());
      case "cancel-refused" ->
          show(buyer.orders().cancelOrder(read(step, CancelOrderRequest.newBuilder()).build()).getOrder(), "id", "status");
      case "idle-watch" -> {
        var idle = buyer.orders().withDeadlineAfter(step.get("timeout_ms").getAsLong(), TimeUnit.MILLISECONDS)
            .watchOrders(read(step, WatchOrdersRequest.newBuilder()).build());
        while (idle.read() != null) {
          // Where it begins.
        }
        yield JsonNull.INSTANCE;
      }
      default -> throw new IllegalArgumentException("there is no code for the step " + name);
    };
  }

  private JsonElement createOrder(JsonObject step) throws StatusException, IOException {
    lostAnswer.attempts = 0;
    Order order = buyer.createOrder(read(step, CreateOrderRequest.newBuilder()).build());
    name(step, order.getId());
    if (step.get("step").getAsString().equals("create-order")) {
      variables.put("$request", order.getRequestId());
    }
    JsonObject result = new JsonObject();
    result.addProperty("attempts", lostAnswer.attempts);
    result.add("order", show(order, "id", "user_id", "lines", "total_price", "status", "request_id"));
    return result;
  }

  private JsonElement watchTells() throws StatusException, IOException, InterruptedException {
    JsonArray told = new JsonArray();
    for (WatchOrdersResponse response = watch.read(); response != null; response = watch.read()) {
      if (response.hasOrder()) {
        told.add(show(response.getOrder(), "id", "status"));
      }
      if (response.getOrder().getStatus() == OrderStatus.ORDER_STATUS_SHIPPED) {
        break;
      }
    }
    watch.cancel("seen enough", null);
    return told;
  }

  private JsonElement listProducts(ListProductsRequest.Builder request) throws StatusException, IOException {
    JsonArray pages = new JsonArray();
    do {
      var response = nobody.catalog().listProducts(request.build());
      JsonArray page = new JsonArray();
      for (Product product : response.getProductsList()) {
        page.add(show(product, "id", "name"));
      }
      pages.add(page);
      request.setPageToken(response.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return pages;
  }

  private JsonElement listOrders(ListOrdersRequest.Builder request) throws StatusException, IOException {
    JsonArray pages = new JsonArray();
    do {
      var response = buyer.orders().listOrders(request.build());
      JsonArray page = new JsonArray();
      for (Order order : response.getOrdersList()) {
        page.add(show(order, "id", "total_price", "status"));
      }
      pages.add(page);
      request.setPageToken(response.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return pages;
  }

  private JsonElement orderStats(GetOrderStatsRequest request) throws StatusException, IOException {
    Map<String, DayStats.Builder> sums = new LinkedHashMap<>();
    for (DayStats day : seller.orders().getOrderStats(request).getDaysList()) {
      DayStats.Builder sum = sums.computeIfAbsent(day.getRevenue().getCurrencyCode(), currency -> DayStats.newBuilder());
      sum.setOrders(sum.getOrders() + day.getOrders());
      sum.getRevenueBuilder()
          .setCurrencyCode(day.getRevenue().getCurrencyCode())
          .setMinorUnits(Math.addExact(sum.getRevenue().getMinorUnits(), day.getRevenue().getMinorUnits()));
    }
    JsonArray currencies = new JsonArray();
    for (DayStats.Builder sum : sums.values()) {
      currencies.add(show(sum.build(), "orders", "revenue"));
    }
    return currencies;
  }

  /** The step's request, with what its variables stand for. */
  private <B extends Message.Builder> B read(JsonObject step, B request) throws InvalidProtocolBufferException {
    String text = step.get("request").toString();
    for (Map.Entry<String, String> variable : variables.entrySet()) {
      text = text.replace(variable.getKey(), variable.getValue());
    }
    JsonFormat.parser().merge(text, request);
    return request;
  }

  private void name(JsonObject step, String id) {
    if (step.has("names")) {
      variables.put("$" + step.get("names").getAsString(), id);
    }
  }

  /** These fields of a message, in this order. */
  private static JsonObject show(Message message, String... fields) throws InvalidProtocolBufferException {
    JsonObject all = JsonParser.parseString(PROTO_JSON.print(message)).getAsJsonObject();
    JsonObject shown = new JsonObject();
    for (String field : fields) {
      shown.add(field, all.get(field));
    }
    return shown;
  }

  private static JsonObject object(String first, String firstValue, String second, String secondValue) {
    JsonObject object = new JsonObject();
    object.addProperty(first, firstValue);
    object.addProperty(second, secondValue);
    return object;
  }

  private static JsonObject step(JsonArray steps, String name) {
    for (JsonElement step : steps) {
      if (step.getAsJsonObject().get("step").getAsString().equals(name)) {
        return step.getAsJsonObject();
      }
    }
    throw new IllegalArgumentException("flow.json has no step " + name);
  }
}
