import assert from "node:assert/strict";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { type OrderFlow, type WatchOrdersRequest, type WatchOrdersResponseSchema } from "../src/index.js";
import { abandoned, deferred, logins, overBoth } from "./counterpart.js";

type Response = MessageInitShape<typeof WatchOrdersResponseSchema>;

const BEGIN: Response = { resumeToken: "0" };
const order = (id: string): Response => ({ order: { id }, resumeToken: `after ${id}` });
const slow = { desc: ErrorInfoSchema, value: { reason: "SLOW_READER", domain: "orderflow" } };

/** A service whose watches are these, one after the other, and that keeps what it is asked and who asks. */
function watches(...scripts: ((context: HandlerContext) => AsyncIterable<Response>)[]) {
  const asked: { from: string; side: number; token: string | null }[] = [];
  async function* watchOrders(request: WatchOrdersRequest, context: HandlerContext) {
    asked.push({ from: request.resumeToken, side: request.side, token: context.requestHeader.get("authorization") });
    const script = scripts.shift();
    if (!script) throw new ConnectError("not asked for", Code.InvalidArgument);
    yield* script(context);
  }
  return { asked, services: { users: { login: logins().login }, orders: { watchOrders } } };
}

/** Sends these, and then ends in this way. */
function sends(responses: Response[], end?: ConnectError) {
  return async function* () {
    yield* responses;
    if (end) throw end;
  };
}

/** Sends these, and nothing more until the other side ends it. */
function stays(responses: Response[], ended?: { resolve: () => void }) {
  return async function* (context: HandlerContext) {
    yield* responses;
    await abandoned(context);
    ended?.resolve();
  };
}

/** What a watch tells, up to the order with this id. */
async function told(shop: OrderFlow, last: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { order } of shop.orders.watchOrders({ side: 1 })) {
    if (order) ids.push(order.id);
    if (order?.id === last) break;
  }
  return ids;
}

overBoth("leaving the loop ends the watch at the server", async (start) => {
  const ended = deferred();
  const { asked, services } = watches(stays([BEGIN, order("1")], ended));
  const shop = await start(services);
  assert.deepEqual(await told(shop, "1"), ["1"]);
  await ended.promise;
  assert.equal(asked.length, 1);
});

overBoth("it goes on where it was", async (start) => {
  const { asked, services } = watches(
    sends([BEGIN, order("1"), order("2")], new ConnectError("stopping", Code.Unavailable)),
    sends([], new ConnectError("starting", Code.Unavailable)),
    sends([{ resumeToken: "later" }], new ConnectError("too slow", Code.ResourceExhausted, undefined, [slow])),
    sends([order("3")]),
    stays([order("4")]),
  );
  const shop = await start(services);
  assert.deepEqual(await told(shop, "4"), ["1", "2", "3", "4"]);
  assert.deepEqual(
    asked.map(({ from }) => from),
    ["", "after 2", "after 2", "later", "after 3"],
  );
  assert.ok(asked.every(({ side }) => side === 1));
});

overBoth("when the token has expired, it goes on with a new one", async (start) => {
  const { asked, services } = watches(
    sends([BEGIN], new ConnectError("the token has expired", Code.Unauthenticated)),
    stays([order("1")]),
  );
  const shop = await start(services);
  await shop.signIn({ email: "ada@example.com", password: "correct horse" });
  assert.deepEqual(await told(shop, "1"), ["1"]);
  assert.deepEqual(
    asked.map(({ token }) => token),
    ["Bearer token-1", "Bearer token-2"],
  );
});

overBoth("an error after which there is no going on ends it", async (start) => {
  for (const code of [Code.OutOfRange, Code.InvalidArgument, Code.PermissionDenied, Code.ResourceExhausted]) {
    const { asked, services } = watches(sends([BEGIN], new ConnectError("no", code)));
    await assert.rejects(told(await start(services), "1"), { code });
    assert.equal(asked.length, 1, Code[code]);
  }
  const { asked, services } = watches(sends([], new ConnectError("who are you?", Code.Unauthenticated)));
  await assert.rejects(told(await start(services), "1"), { code: Code.Unauthenticated });
  assert.equal(asked.length, 1);
});

overBoth("one that has fallen silent is given up, and goes on", async (start) => {
  const ended = deferred();
  async function* watchOrders({ resumeToken }: WatchOrdersRequest, context: HandlerContext) {
    yield* stays([order(resumeToken === "" ? "1" : "2")], ended)(context);
  }
  const shop = await start({ orders: { watchOrders } }, { watchSilenceMs: 100 });
  assert.deepEqual(await told(shop, "2"), ["1", "2"]);
  await ended.promise;
});

overBoth("its signal ends it for good", async (start) => {
  const ended = deferred();
  const { asked, services } = watches(stays([BEGIN], ended));
  const shop = await start(services);
  const cancel = new AbortController();
  const watch = async () => {
    for await (const _ of shop.orders.watchOrders({}, { signal: cancel.signal })) cancel.abort();
  };
  await assert.rejects(watch, { code: Code.Canceled });
  await ended.promise;
  assert.equal(asked.length, 1);
});

overBoth("its deadline ends it for good", async (start) => {
  const { services } = watches(stays([BEGIN]));
  const shop = await start(services);
  const watch = async () => {
    for await (const _ of shop.orders.watchOrders({}, { timeoutMs: 100 }));
  };
  await assert.rejects(watch, { code: Code.DeadlineExceeded });
});

overBoth("a watch has no deadline of its own", async (start) => {
  const timeouts: (number | undefined)[] = [];
  const watchOrders = async function* (_: unknown, context: HandlerContext) {
    timeouts.push(context.timeoutMs());
    yield order("1");
  };
  const shop = await start({ orders: { watchOrders } }, { timeoutMs: 1_000 });
  await told(shop, "1");
  assert.deepEqual(timeouts, [undefined]);
});
