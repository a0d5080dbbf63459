import { createGrpcTransport } from "@connectrpc/connect-node";
import type { SecureClientSessionOptions } from "node:http2";

import { OrderFlow, TIMEOUT_MS, type Options } from "./orderflow.js";

export * from "./index.js";

const KEEPALIVE = { intervalMs: 30_000, timeoutMs: 10_000 };

export interface NodeOptions extends Options {
  /** How often to see whether the other side is still there while a call waits, and how long it may take to answer. */
  keepalive?: { intervalMs: number; timeoutMs: number };
  /** For TLS: `{ ca }` and the like. */
  http2?: SecureClientSessionOptions;
}

/** Speaks gRPC with a gateway: `connect("http://127.0.0.1:8080")`. One connection, which is opened when it is needed. */
export function connect(baseUrl: string, options: NodeOptions = {}): OrderFlow {
  const { keepalive = KEEPALIVE } = options;
  return new OrderFlow(
    (interceptors) =>
      createGrpcTransport({
        baseUrl,
        interceptors,
        defaultTimeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        nodeOptions: options.http2 ?? {},
        pingIntervalMs: keepalive.intervalMs,
        pingTimeoutMs: keepalive.timeoutMs,
      }),
    options,
  );
}
