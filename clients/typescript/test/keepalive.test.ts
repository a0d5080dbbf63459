import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";

import { connect } from "../src/node.js";
import { abandoned, startHttp2 } from "./counterpart.js";

test("a connection on which the other side has vanished is given up, and a watch goes on over another", async (t) => {
  const server = await startHttp2(t, {
    orders: {
      async *watchOrders({ resumeToken }, context) {
        const id = resumeToken === "" ? "1" : "2";
        yield { order: { id }, resumeToken: `after ${id}` };
        await abandoned(context);
      },
    },
  });

  // A way to the server on which, without anybody being told, nothing comes through any more.
  const sockets: Socket[] = [];
  const way = createServer((client) => {
    const upstream = connectSocket(Number(server.port), server.hostname);
    sockets.push(client, upstream);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.pipe(upstream).pipe(client);
  }).listen(0, "127.0.0.1");
  await once(way, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    way.close();
  });

  const address = `http://127.0.0.1:${(way.address() as AddressInfo).port}`;
  const shop = connect(address, { keepalive: { intervalMs: 50, timeoutMs: 50 } });
  const ids: string[] = [];
  for await (const { order } of shop.orders.watchOrders({})) {
    ids.push(order?.id ?? "");
    if (ids.length === 2) break;
    for (const socket of sockets) socket.unpipe();
  }
  assert.deepEqual(ids, ["1", "2"]);
});
