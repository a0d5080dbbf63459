package orderflow.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Attributes;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.StatusException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import orderflow.order.v1.OrderServiceGrpc;
import orderflow.user.v1.LoginResponse;
import org.junit.jupiter.api.Test;

/** A token through its life, on a clock that is set by hand, with logins that hang until they are let go on. */
class AccessTokenTest {
  private final AtomicLong seconds = new AtomicLong();
  private final Deque<Runnable> hanging = new ArrayDeque<>();
  private int logins;
  private boolean outage;

  private final AccessToken token = new AccessToken(this::login, () -> TimeUnit.SECONDS.toNanos(seconds.get()), hanging::add);

  @Test
  void itIsRenewedAMinuteBeforeItExpires() {
    signIn();
    seconds.set(3539);
    assertEquals("Bearer token-1", header());
    assertEquals(0, hanging.size());
    seconds.set(3540);
    header();
    answerLogin();
    assertEquals("Bearer token-2", header());
  }

  @Test
  void callsThatCameWhileALoginHungShareIt() {
    var first = new Header();
    var second = new Header();
    assertEquals(1, hanging.size());
    assertEquals("", first.value + second.value);
    answerLogin();
    assertEquals("Bearer token-1", first.value);
    assertEquals("Bearer token-1", second.value);
    assertEquals(0, hanging.size());
  }

  @Test
  void theyShareItsFailureToo() {
    outage = true;
    var first = new Header();
    var second = new Header();
    answerLogin();
    assertEquals("UNAVAILABLE", first.value);
    assertEquals("UNAVAILABLE", second.value);
    assertEquals(1, logins);
    // And who comes later asks anew.
    new Header();
    assertEquals(1, hanging.size());
  }

  @Test
  void nobodyWaitsForARenewal() {
    signIn();
    seconds.set(3540);
    assertEquals("Bearer token-1", header());
    assertEquals("Bearer token-1", header());
    assertEquals(1, hanging.size());
  }

  @Test
  void aFailedRenewalIsLeftForAWhile() {
    signIn();
    outage = true;
    seconds.set(3540);
    assertEquals("Bearer token-1", header());
    answerLogin();
    for (int second = 3540; second < 3545; second++) {
      seconds.set(second);
      assertEquals("Bearer token-1", header());
      assertEquals(0, hanging.size());
    }
    seconds.set(3545);
    assertEquals("Bearer token-1", header());
    answerLogin();
    assertEquals(3, logins);
  }

  @Test
  void anExpiredTokenIsRenewedAtOnceThoughARenewalHasJustFailed() {
    signIn();
    outage = true;
    seconds.set(3599);
    assertEquals("Bearer token-1", header());
    answerLogin();
    seconds.set(3600);
    var call = new Header();
    assertEquals("", call.value);
    outage = false;
    answerLogin();
    assertEquals("Bearer token-3", call.value);
  }

  @Test
  void whatBreaksInALoginIsNotLost() {
    var broken = new AccessToken(() -> {
      throw new IllegalStateException("broken");
    }, System::nanoTime, Runnable::run);
    assertEquals("INTERNAL", new Header(broken).value);
  }

  private LoginResponse login() throws StatusException {
    assertFalse(Thread.holdsLock(token), "nobody else gets at the token during a login");
    logins++;
    if (outage) {
      throw new StatusException(Status.UNAVAILABLE);
    }
    return LoginResponse.newBuilder().setAccessToken("token-" + logins).setExpiresIn(3600).build();
  }

  private void signIn() {
    var call = new Header();
    answerLogin();
    assertEquals("Bearer token-1", call.value);
  }

  private void answerLogin() {
    hanging.remove().run();
  }

  private String header() {
    return new Header().value;
  }

  /** The header that a call gets, or the code that it fails with; empty before that. */
  private final class Header extends CallCredentials.MetadataApplier {
    private String value = "";

    Header() {
      this(token);
    }

    Header(AccessToken token) {
      token.applyRequestMetadata(new Call(), Runnable::run, this);
    }

    @Override
    public void apply(Metadata headers) {
      value = headers.get(Shop.AUTHORIZATION);
    }

    @Override
    public void fail(Status status) {
      value = status.getCode().toString();
    }
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
