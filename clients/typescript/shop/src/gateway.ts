// The one client of the gateway that everything here shares, and where the gateway is: where this page came from, unless
// the build was told otherwise (VITE_GATEWAY).
import { signal } from "@preact/signals";
import { connect, type Options } from "../../src/web.ts";

export * from "../../src/web.ts";

type Interceptor = NonNullable<Options["interceptors"]>[number];

/** Whether changes of orders come in as they happen. */
export const isLive = signal(false);

/** The client mends a broken watch by itself; this sees it happen. */
const liveness: Interceptor = (next) => async (request) => {
  if (!request.stream) return next(request);
  const response = await next(request);
  return response.stream ? { ...response, message: observed(response.message) } : response;
};

async function* observed<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    for await (const message of messages) {
      isLive.value = true;
      yield message;
    }
  } finally {
    isLive.value = false;
  }
}

export const orderflow = connect(import.meta.env.VITE_GATEWAY || location.origin, { interceptors: [liveness] });
