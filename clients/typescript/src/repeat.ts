import {
  create,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type CallOptions } from "@connectrpc/connect";

import { failure, isOutcomeUnknown } from "./failure.js";

/** How a call is sent again. */
export interface RepeatOptions {
  /** For all attempts together, where the call has no `timeoutMs` of its own. */
  timeoutMs: number;
  /** For one attempt. */
  attemptTimeoutMs: number;
  /** The longest wait after the first attempt. It doubles after each, up to the last one. */
  firstDelayMs: number;
  lastDelayMs: number;
}

export const REPEAT: RepeatOptions = {
  timeoutMs: 30_000,
  attemptTimeoutMs: 5_000,
  firstDelayMs: 100,
  lastDelayMs: 2_000,
};

type Call<I extends DescMessage, O> = (request: MessageInitShape<I>, options?: CallOptions) => Promise<O>;

/**
 * Makes a call that does its work once, however often it must be sent: under one `request_id`, the caller's or a new one,
 * as long as its outcome is unknown or the server asks to try again. `timeoutMs` and `signal` are for all of it.
 */
export function repeated<I extends DescMessage, O>(
  schema: I & (MessageShape<I> extends { requestId: string } ? unknown : never),
  call: Call<I, O>,
  options: RepeatOptions = REPEAT,
): Call<I, O> {
  return async (init, callOptions = {}) => {
    const request = create(schema as DescMessage, {
      ...init,
      requestId: (init as { requestId?: string }).requestId || crypto.randomUUID(),
    }) as MessageShape<I>;
    // What cannot be written down would look like an outcome that is unknown.
    toBinary(schema as DescMessage, request);

    const deadline = Date.now() + (callOptions.timeoutMs ?? options.timeoutMs);
    for (let delayMs = options.firstDelayMs; ; delayMs = Math.min(delayMs * 2, options.lastDelayMs)) {
      const timeoutMs = Math.min(deadline - Date.now(), options.attemptTimeoutMs);
      try {
        return await call(request as MessageInitShape<I>, { ...callOptions, timeoutMs });
      } catch (error) {
        callOptions.signal?.throwIfAborted();
        const { retryDelayMs } = failure(error);
        if (retryDelayMs === undefined && !isOutcomeUnknown(error)) throw error;
        // Anything between nothing and the delay, so that clients who failed together do not come back together.
        const waitMs = (retryDelayMs ?? 0) + Math.random() * delayMs;
        if (Date.now() + waitMs >= deadline) throw error;
        await pause(waitMs, callOptions.signal);
      }
    }
  };
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal?.reason, Code.Canceled));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
