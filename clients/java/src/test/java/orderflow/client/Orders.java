package orderflow.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import orderflow.order.v1.CreateOrderRequest;
import orderflow.order.v1.CreateOrderResponse;
import orderflow.order.v1.GetOrderRequest;
import orderflow.order.v1.GetOrderResponse;
import orderflow.order.v1.Order;
import orderflow.order.v1.OrderServiceGrpc;
import orderflow.order.v1.WatchOrdersRequest;
import orderflow.order.v1.WatchOrdersResponse;

/** Orders that fail as they are told to. */
final class Orders extends OrderServiceGrpc.OrderServiceImplBase {
  /** The requests for an order, as they came. */
  final List<CreateOrderRequest> requests = new CopyOnWriteArrayList<>();
  private final Deque<StatusRuntimeException> failures = new ArrayDeque<>();

  /** Fails the next call with this, one after the other. */
  Orders fail(Code code, Message... details) {
    failures.add(failure(code, details));
    return this;
  }

  static StatusRuntimeException failure(Code code, Message... details) {
    var status = com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("it is " + code);
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  static ErrorInfo reason(String reason) {
    return ErrorInfo.newBuilder().setReason(reason).setDomain("orderflow").build();
  }

  @Override
  public void createOrder(CreateOrderRequest request, StreamObserver<CreateOrderResponse> answer) {
    requests.add(request);
    if (!failures.isEmpty()) {
      answer.onError(failures.remove());
      return;
    }
    Order order = Order.newBuilder().setId("1").setRequestId(request.getRequestId()).build();
    answer.onNext(CreateOrderResponse.newBuilder().setOrder(order).build());
    answer.onCompleted();
  }

  /** Answers "numbers" with an amount that no double holds, fails where it was told to, and never answers anything else. */
  @Override
  public void getOrder(GetOrderRequest request, StreamObserver<GetOrderResponse> answer) {
    if (!failures.isEmpty()) {
      answer.onError(failures.remove());
    } else if (request.getId().equals("numbers")) {
      var order = Order.newBuilder();
      order.getTotalPriceBuilder().setMinorUnits(9_007_199_254_740_993L);
      answer.onNext(GetOrderResponse.newBuilder().setOrder(order).build());
      answer.onCompleted();
    }
  }

  /** Tells where it begins, and then nothing. */
  @Override
  public void watchOrders(WatchOrdersRequest request, StreamObserver<WatchOrdersResponse> answer) {
    answer.onNext(WatchOrdersResponse.newBuilder().setResumeToken("begin").build());
  }
}
