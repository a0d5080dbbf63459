import { Code, ConnectError, type CallOptions, type Client } from "@connectrpc/connect";

import { failure, isOutcomeUnknown } from "./failure.js";
import type { OrderService, WatchOrdersResponse } from "./gen/orderflow/order/v1/order_service_pb.js";
import { pause } from "./pause.js";

type Watch = Client<typeof OrderService>["watchOrders"];

const SILENCE_MS = 60_000;
const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 5_000;

/**
 * Makes a watch that goes on by itself where it was, when the connection breaks, the service stops, or the token expires:
 * nothing is missed and nothing told twice. It ends when the loop over it is left, which the server learns; when its signal or
 * deadline, if it has one, says so; or with an error after which there is no going on.
 */
export function resumed(watch: Watch, silenceMs = SILENCE_MS): Watch {
  return async function* (request, { timeoutMs = 0, ...options } = {}) {
    const deadline = timeoutMs > 0 ? Date.now() + timeoutMs : Infinity;
    let resumeToken = request.resumeToken ?? "";
    let delayMs = FIRST_DELAY_MS;
    for (;;) {
      let heard = false;
      let waitMs = 0;
      try {
        const left = deadline === Infinity ? 0 : Math.max(deadline - Date.now(), 1);
        const one = watched(watch, silenceMs, { ...request, resumeToken }, { ...options, timeoutMs: left });
        for await (const response of one) {
          heard = true;
          delayMs = FIRST_DELAY_MS;
          resumeToken = response.resumeToken;
          yield response;
        }
      } catch (error) {
        if (Date.now() >= deadline || !goesOn(error, heard)) throw error;
        waitMs = failure(error).retryDelayMs ?? 0;
      }
      await pause(waitMs, delayMs, options.signal);
      delayMs = Math.min(delayMs * 2, LAST_DELAY_MS);
    }
  };
}

/** Whether the next watch may fare better than the one that ended so. */
function goesOn(error: unknown, heard: boolean): boolean {
  const { code, reason, retryDelayMs } = failure(error);
  // It was good in the beginning, so it has expired; the next call brings a new one.
  if (code === Code.Unauthenticated) return heard;
  return reason === "SLOW_READER" || retryDelayMs !== undefined || isOutcomeUnknown(error);
}

/** One watch, which ends at the server, too, when the loop over it is left, and is given up when it has fallen silent. */
async function* watched(
  watch: Watch,
  silenceMs: number,
  request: Parameters<Watch>[0],
  options: CallOptions,
): AsyncGenerator<WatchOrdersResponse> {
  const end = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, end.signal]) : end.signal;
  const responses = watch(request, { ...options, signal })[Symbol.asyncIterator]();
  const silent = () => end.abort(new ConnectError(`silent for ${silenceMs} ms`, Code.Unavailable));
  try {
    for (;;) {
      const timer = setTimeout(silent, silenceMs);
      const next = await responses.next().finally(() => clearTimeout(timer));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    end.abort();
  }
}
