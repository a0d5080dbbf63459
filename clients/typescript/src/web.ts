import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { OrderFlow, TIMEOUT_MS, type Options } from "./orderflow.js";

export * from "./index.js";

/** Speaks gRPC-Web with a gateway, from a browser: `connect("https://api.shop.example")`. */
export function connect(baseUrl: string, options: Options = {}): OrderFlow {
  return new OrderFlow(
    (interceptors) =>
      createGrpcWebTransport({
        baseUrl,
        interceptors,
        defaultTimeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      }),
    options,
  );
}
