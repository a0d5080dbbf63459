import { createGrpcTransport } from "@connectrpc/connect-node";
import type { SecureClientSessionOptions } from "node:http2";

import { OrderFlow, TIMEOUT_MS, type Options } from "./orderflow.js";

export * from "./index.js";

export interface NodeOptions extends Options {
  /** For TLS: `{ ca }` and the like. */
  http2?: SecureClientSessionOptions;
}

/** Speaks gRPC with a gateway: `connect("http://127.0.0.1:8080")`. One connection, which is opened when it is needed. */
export function connect(baseUrl: string, options: NodeOptions = {}): OrderFlow {
  return new OrderFlow(
    (interceptors) =>
      createGrpcTransport({
        baseUrl,
        interceptors,
        defaultTimeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        nodeOptions: options.http2 ?? {},
        // Finds out within a minute that the other side is gone, while a watch is silent, say.
        pingIntervalMs: 30_000,
        pingTimeoutMs: 10_000,
      }),
    options,
  );
}
