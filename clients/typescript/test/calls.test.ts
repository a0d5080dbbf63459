import assert from "node:assert/strict";
import type { HandlerContext } from "@connectrpc/connect";

import { Code, type Product } from "../src/index.js";
import { abandoned, deferred, overBoth } from "./counterpart.js";

overBoth("numbers beyond 2^53 are exact in both directions", async (start) => {
  const numbers = [2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), 9_998_999_999_990_001n];
  const echo = ({ stock, price }: Pick<Product, "stock" | "price">) => ({ product: { stock, price } }) as never;
  const shop = await start({ catalog: { createProduct: echo } });
  for (const number of numbers) {
    const price = { currencyCode: "TRY", minorUnits: number };
    const { product } = await shop.catalog.createProduct({ stock: number, price });
    assert.equal(product?.stock, number);
    assert.equal(product?.price?.minorUnits, number);
  }
});

/** A method that answers when its caller has gone. */
function hanging() {
  const begun = deferred();
  const ended = deferred();
  const timeouts: (number | undefined)[] = [];
  const getMe = async (_: unknown, context: HandlerContext) => {
    timeouts.push(context.timeoutMs());
    begun.resolve();
    await abandoned(context);
    ended.resolve();
    return {};
  };
  return { begun, ended, timeouts, services: { users: { getMe } } };
}

overBoth("a deadline ends the call, and the server knows it", async (start) => {
  const { ended, timeouts, services } = hanging();
  const shop = await start(services);
  // It may pass before the call has come to the server.
  do {
    await assert.rejects(shop.users.getMe({}, { timeoutMs: 100 }), { code: Code.DeadlineExceeded });
  } while (timeouts.length === 0);
  await ended.promise;
  assert.ok((timeouts[0] ?? Infinity) <= 100);
});

overBoth("a call that says nothing has the client's deadline", async (start) => {
  const { services } = hanging();
  const shop = await start(services, { timeoutMs: 100 });
  await assert.rejects(shop.users.getMe({}), { code: Code.DeadlineExceeded });
});

overBoth("cancelling a call cancels it at the server", async (start) => {
  const { begun, ended, services } = hanging();
  const shop = await start(services);
  const cancel = new AbortController();
  const call = shop.users.getMe({}, { signal: cancel.signal });
  await begun.promise;
  cancel.abort();
  await assert.rejects(call, { code: Code.Canceled });
  await ended.promise;
});
