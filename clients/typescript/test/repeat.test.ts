import assert from "node:assert/strict";
import { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import { mock, test } from "node:test";
import type { CallOptions, Interceptor } from "@connectrpc/connect";

import { RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import {
  Code,
  ConnectError,
  CreateOrderRequestSchema,
  isOutcomeUnknown,
  type CreateOrderRequest,
  type CreateOrderResponse,
} from "../src/index.js";
import { REPEAT, repeated } from "../src/repeat.js";
import { abandoned, deferred, overBoth, type Services } from "./counterpart.js";

type CreateOrder = NonNullable<NonNullable<Services["orders"]>["createOrder"]>;

const FAST = { repeat: { firstDelayMs: 1, lastDelayMs: 5 } };
const FOR_HOURS = { repeat: { attemptTimeoutMs: 7_200_000, timeoutMs: 7_200_000, firstDelayMs: 3_600_000 } };
const LINES = [{ productId: "0123456789abcdef0123456789abcdef", quantity: 2 }];
const UNKNOWN = [Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Canceled, Code.Unknown, Code.Internal];
const DEFINITE = Object.values(Code).filter((code): code is Code => typeof code === "number" && !UNKNOWN.includes(code));

/** A service whose first answers to CreateOrder are these errors, and that keeps what it is sent. */
function failing(...errors: ConnectError[]) {
  const sent: CreateOrderRequest[] = [];
  const createOrder = (request: CreateOrderRequest) => {
    sent.push(request);
    const error = errors.shift();
    if (error) throw error;
    return { order: { id: "1", requestId: request.requestId } };
  };
  return { sent, services: { orders: { createOrder } } satisfies Services };
}

overBoth("an order whose outcome is unknown is sent again under the same request id", async (start) => {
  const { sent, services } = failing(...UNKNOWN.map((code) => new ConnectError("lost", code)));
  const shop = await start(services, FAST);
  const { order } = await shop.orders.createOrder({ lines: LINES });
  assert.equal(sent.length, UNKNOWN.length + 1);
  const [first] = sent;
  assert.match(first?.requestId ?? "", /^[!-~]{1,128}$/);
  for (const request of sent) assert.deepEqual(request, first);
  assert.equal(order?.requestId, first?.requestId);
});

overBoth("each order has a request id of its own, or its caller's", async (start) => {
  const { sent, services } = failing();
  const shop = await start(services);
  await shop.orders.createOrder({ lines: LINES });
  await shop.orders.createOrder({ lines: LINES });
  await shop.orders.createOrder({ lines: LINES, requestId: "mine" });
  const ids = sent.map(({ requestId }) => requestId);
  assert.equal(new Set(ids).size, 3);
  assert.equal(ids[2], "mine");
});

overBoth("a definite error is the answer", async (start) => {
  for (const code of DEFINITE) {
    const { sent, services } = failing(new ConnectError("no", code));
    const shop = await start(services, FAST);
    await assert.rejects(shop.orders.createOrder({ lines: LINES }), { code });
    assert.equal(sent.length, 1, Code[code]);
  }
});

overBoth("who is asked to try again does", async (start) => {
  const retryInfo = { desc: RetryInfoSchema, value: { retryDelay: { nanos: 1_000_000 } } };
  const { sent, services } = failing(new ConnectError("too many", Code.ResourceExhausted, undefined, [retryInfo]));
  const shop = await start(services, FAST);
  await shop.orders.createOrder({ lines: LINES });
  assert.equal(sent.length, 2);
  assert.equal(sent[0]?.requestId, sent[1]?.requestId);
});

overBoth("what an earlier attempt may have done is not forgotten", async (start) => {
  const lost = () => new ConnectError("lost", Code.Unavailable);
  const retryInfo = { desc: RetryInfoSchema, value: { retryDelay: { seconds: 3_600n } } };
  const refusals = [
    new ConnectError("no", Code.Unauthenticated),
    new ConnectError("too many", Code.ResourceExhausted, undefined, [retryInfo]),
  ];
  for (const last of refusals) {
    const { sent, services } = failing(lost(), last);
    const shop = await start(services, FAST);
    await assert.rejects(shop.orders.createOrder({ lines: LINES }), isOutcomeUnknown);
    assert.equal(sent.length, 2, last.message);
  }
  for (const code of [Code.FailedPrecondition, Code.AlreadyExists, Code.InvalidArgument]) {
    const { services } = failing(lost(), new ConnectError("no", code));
    const shop = await start(services, FAST);
    await assert.rejects(shop.orders.createOrder({ lines: LINES }), { code });
  }
});

overBoth("products and stock are repeated like orders", async (start) => {
  const ids: string[] = [];
  const failingOnce = ({ requestId }: { requestId: string }) => {
    ids.push(requestId);
    if (ids.length % 2 === 1) throw new ConnectError("lost", Code.Unavailable);
    return {};
  };
  const shop = await start({ catalog: { createProduct: failingOnce, adjustStock: failingOnce } }, FAST);
  await shop.catalog.createProduct({ name: "Tea glass" });
  await shop.catalog.adjustStock({ delta: 1n });
  assert.equal(ids.length, 4);
  assert.equal(ids[0], ids[1]);
  assert.equal(ids[2], ids[3]);
  assert.notEqual(ids[0], ids[2]);
});

overBoth("a call without a request id is not repeated", async (start) => {
  let calls = 0;
  const cancelOrder = () => {
    calls += 1;
    throw new ConnectError("lost", Code.Unavailable);
  };
  const shop = await start({ orders: { cancelOrder } }, FAST);
  await assert.rejects(shop.orders.cancelOrder({ id: "1" }), { code: Code.Unavailable });
  assert.equal(calls, 1);
});

/** What can happen to an answer on its way. */
const ACCIDENTS: Record<string, (response: ServerResponse | Http2ServerResponse) => void> = {
  "the connection breaks": (response) => {
    if (response instanceof ServerResponse) response.socket?.destroy();
    else response.stream.session?.destroy();
  },
  "the answer is cut off": (response) => {
    const protocol = response instanceof ServerResponse ? "grpc-web" : "grpc";
    response.setHeader("content-type", `application/${protocol}+proto`);
    response.end(Buffer.from([0, 0, 0, 0, 50, 10, 2]) as never);
  },
  "a proxy answers": (response) => {
    response.statusCode = 503;
    response.end();
  },
  "the stream is reset": (response) => {
    if (response instanceof ServerResponse) response.socket?.resetAndDestroy();
    else response.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  },
};
for (const [accident, happen] of Object.entries(ACCIDENTS)) {
  overBoth(`${accident}: the order is sent again`, async (start) => {
    const { sent, services } = failing();
    let requests = 0;
    const wire: NonNullable<Services["wire"]> = (request, response) => {
      requests += 1;
      if (requests > 1) return false;
      // The request has come whole: the order may exist.
      request.resume().on("end", () => happen(response));
      return true;
    };
    const shop = await start({ ...services, wire }, FAST);
    await shop.orders.createOrder({ lines: LINES });
    assert.equal(requests, 2);
    assert.equal(sent.length, 1);
  });
}

overBoth("an attempt that hangs is given up, and the next one answers", async (start) => {
  const givenUp = deferred();
  const ids: string[] = [];
  const createOrder: CreateOrder = async ({ requestId }, context) => {
    ids.push(requestId);
    if (ids.length > 1) return {};
    await abandoned(context);
    givenUp.resolve();
    throw new ConnectError("nobody waits for this", Code.NotFound);
  };
  const shop = await start({ orders: { createOrder } }, { repeat: { ...FAST.repeat, attemptTimeoutMs: 200 } });
  await shop.orders.createOrder({ lines: LINES });
  await givenUp.promise;
  assert.equal(new Set(ids).size, 1);
});

overBoth("when there is no time for another attempt, the last error is the answer", async (start) => {
  const retryInfo = { desc: RetryInfoSchema, value: { retryDelay: { seconds: 3_600n } } };
  const { sent, services } = failing(new ConnectError("too many", Code.ResourceExhausted, undefined, [retryInfo]));
  const shop = await start(services);
  await assert.rejects(shop.orders.createOrder({ lines: LINES }), { code: Code.ResourceExhausted });
  assert.equal(sent.length, 1);
});

overBoth("the deadline is for all attempts together", async (start) => {
  let attempts = 0;
  const count: Interceptor = (next) => (request) => {
    attempts += 1;
    return next(request);
  };
  const createOrder: CreateOrder = async (_, context) => {
    await abandoned(context);
    return {};
  };
  const repeat = { ...FAST.repeat, attemptTimeoutMs: 50 };
  const shop = await start({ orders: { createOrder } }, { repeat, interceptors: [count] });
  await assert.rejects(shop.orders.createOrder({ lines: LINES }, { timeoutMs: 500 }), { code: Code.DeadlineExceeded });
  assert.ok(attempts > 1);
});

overBoth("who cancels an attempt cancels it at the server, and there is no other", async (start) => {
  const begun = deferred();
  const ended = deferred();
  let attempts = 0;
  const createOrder: CreateOrder = async (_, context) => {
    attempts += 1;
    begun.resolve();
    await abandoned(context);
    ended.resolve();
    return {};
  };
  const cancel = new AbortController();
  const shop = await start({ orders: { createOrder } }, FOR_HOURS);
  const call = shop.orders.createOrder({ lines: LINES }, { signal: cancel.signal });
  await begun.promise;
  cancel.abort();
  await assert.rejects(call, { code: Code.Canceled });
  await ended.promise;
  assert.equal(attempts, 1);
});

overBoth("who cancels waits for no further attempt", async (start) => {
  const { sent, services } = failing(new ConnectError("lost", Code.Unavailable));
  const cancel = new AbortController();
  const shop = await start(services, FOR_HOURS);
  const call = shop.orders.createOrder({ lines: LINES }, { signal: cancel.signal });
  const paused = setInterval(() => sent.length > 0 && cancel.abort(), 10);
  await assert.rejects(call, { code: Code.Canceled });
  clearInterval(paused);
  assert.equal(sent.length, 1);
});

test("the waits double, and chance makes each of them shorter", async (t) => {
  const waits: number[] = [];
  const { setTimeout } = globalThis;
  t.mock.method(globalThis, "setTimeout", (resolve: () => void, ms: number) => {
    waits.push(ms);
    return setTimeout(resolve, 0);
  });
  t.mock.method(Math, "random", () => 0.5);
  let left = 7;
  const call = repeated(CreateOrderRequestSchema, async () => {
    if ((left -= 1) > 0) throw new ConnectError("lost", Code.Unavailable);
    return {} as CreateOrderResponse;
  });
  await call({ lines: LINES });
  assert.deepEqual(waits, [50, 100, 200, 400, 800, 1_000]);
});

test("what is no request is refused here, and not sent again and again", async () => {
  const send = mock.fn(() => Promise.reject(new Error("sent")));
  const call = repeated(CreateOrderRequestSchema, send);
  await assert.rejects(call({ lines: [{ productId: "1", quantity: 2 ** 40 }] }), /int32/);
  assert.equal(send.mock.callCount(), 0);
});

/** The `timeoutMs` of each attempt of an order that is lost so often. */
async function attempts(lost: number, options?: CallOptions): Promise<number[]> {
  const timeouts: number[] = [];
  const call = repeated(CreateOrderRequestSchema, async (_, { timeoutMs } = {}) => {
    timeouts.push(timeoutMs ?? 0);
    if (timeouts.length <= lost) throw new ConnectError("lost", Code.Unavailable);
    return {} as CreateOrderResponse;
  });
  await call({ lines: LINES }, options);
  return timeouts;
}

test("an attempt has no longer than the whole call, and always a deadline", async (t) => {
  let now = 0;
  t.mock.method(Date, "now", () => now);
  assert.deepEqual(await attempts(0), [REPEAT.attemptTimeoutMs]);
  assert.deepEqual(await attempts(0, { timeoutMs: 1_000 }), [1_000]);

  // A timer that is late by an hour.
  t.mock.method(globalThis, "setTimeout", (resolve: () => void) => {
    now += 3_600_000;
    return setImmediate(resolve);
  });
  assert.deepEqual(await attempts(1), [REPEAT.attemptTimeoutMs, 1]);
  assert.deepEqual(await attempts(1, { timeoutMs: 0 }), [REPEAT.attemptTimeoutMs, REPEAT.attemptTimeoutMs]);
});
