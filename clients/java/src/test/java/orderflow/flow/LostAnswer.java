package orderflow.flow;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import orderflow.order.v1.OrderServiceGrpc;

/** Counts how often an order is sent, and, when told to, throws away the next good answer to one, as a broken connection does. */
final class LostAnswer implements ClientInterceptor {
  volatile int attempts;
  private volatile boolean losing;

  void loseTheNext() {
    losing = true;
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    ClientCall<Q, A> call = next.newCall(method, options);
    if (!method.getFullMethodName().equals(OrderServiceGrpc.getCreateOrderMethod().getFullMethodName())) {
      return call;
    }
    attempts++;
    return new SimpleForwardingClientCall<>(call) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        super.start(new Holding<>(listener), headers);
      }
    };
  }

  /** Holds the answer back until it is known whether the call is a good one. */
  private final class Holding<A> extends SimpleForwardingClientCallListener<A> {
    private A answer;

    Holding(ClientCall.Listener<A> listener) {
      super(listener);
    }

    @Override
    public void onMessage(A message) {
      answer = message;
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (status.isOk() && losing) {
        losing = false;
        super.onClose(Status.UNAVAILABLE.withDescription("the answer is lost"), new Metadata());
        return;
      }
      if (answer != null) {
        super.onMessage(answer);
      }
      super.onClose(status, trailers);
    }
  }
}
