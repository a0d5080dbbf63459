package orderflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Attributes;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import orderflow.order.v1.OrderServiceGrpc;
import orderflow.user.v1.LoginResponse;
import org.junit.jupiter.api.Test;

/** A token through its life, on a clock that is set by hand. */
class AccessTokenTest {
  private final AtomicLong seconds = new AtomicLong();
  private int logins;
  private boolean outage;

  private final AccessToken token = new AccessToken(() -> {
    if (outage) {
      throw new StatusException(Status.UNAVAILABLE);
    }
    return LoginResponse.newBuilder().setAccessToken("token-" + ++logins).setExpiresIn(3600).build();
  }, () -> TimeUnit.SECONDS.toNanos(seconds.get()));

  @Test
  void itIsRenewedAMinuteBeforeItExpires() {
    assertEquals("Bearer token-1", header());
    seconds.set(3539);
    assertEquals("Bearer token-1", header());
    seconds.set(3540);
    assertEquals("Bearer token-2", header());
  }

  @Test
  void itGoesOnWhileItIsGoodThoughItCannotBeRenewed() {
    assertEquals("Bearer token-1", header());
    outage = true;
    seconds.set(3599);
    assertEquals("Bearer token-1", header());
    seconds.set(3600);
    assertEquals(Code.UNAVAILABLE.toString(), header());
    outage = false;
    assertEquals("Bearer token-2", header());
  }

  /** The header that a call gets, or the code that it fails with. */
  private String header() {
    var applied = new String[1];
    token.applyRequestMetadata(new Call(), Runnable::run, new CallCredentials.MetadataApplier() {
      @Override
      public void apply(Metadata headers) {
        applied[0] = headers.get(Shop.AUTHORIZATION);
      }

      @Override
      public void fail(Status status) {
        applied[0] = status.getCode().toString();
      }
    });
    return applied[0];
  }

  private static final class Call extends CallCredentials.RequestInfo {
    @Override
    public MethodDescriptor<?, ?> getMethodDescriptor() {
      return OrderServiceGrpc.getGetOrderMethod();
    }

    @Override
    public CallOptions getCallOptions() {
      return CallOptions.DEFAULT;
    }

    @Override
    public SecurityLevel getSecurityLevel() {
      return SecurityLevel.NONE;
    }

    @Override
    public String getAuthority() {
      return "127.0.0.1";
    }

    @Override
    public Attributes getTransportAttrs() {
      return Attributes.EMPTY;
    }
  }
}
