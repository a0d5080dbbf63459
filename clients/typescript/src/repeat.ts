import {
  create,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";

import { failure, isOutcomeUnknown, settles } from "./failure.js";
import { pause } from "./pause.js";

/** How a call is sent again. */
export interface RepeatOptions {
  /** For all attempts together, where the call has no `timeoutMs` of its own. */
  timeoutMs: number;
  /** For one attempt. */
  attemptTimeoutMs: number;
  /** The longest wait after the first attempt. It doubles after each, until it is the last one. */
  firstDelayMs: number;
  lastDelayMs: number;
}

export const REPEAT: RepeatOptions = {
  timeoutMs: 30_000,
  attemptTimeoutMs: 5_000,
  firstDelayMs: 100,
  lastDelayMs: 2_000,
};

type WithRequestId<I extends DescMessage> = MessageShape<I> extends { requestId: string } ? I : never;
type Call<I extends DescMessage, O> = (request: MessageInitShape<I>, options?: CallOptions) => Promise<O>;

/**
 * Makes a call that does its work once, however often it has to be sent: always under one `request_id`, the caller's or a
 * new one, as long as its outcome is unknown or the server asks to try again. `timeoutMs` and `signal` are for all of it.
 */
export function repeated<I extends DescMessage, O>(
  schema: WithRequestId<I>,
  call: Call<I, O>,
  options: RepeatOptions = REPEAT,
): Call<I, O> {
  return async (init, callOptions = {}) => {
    const { requestId } = init as { requestId?: string };
    const request = create<DescMessage>(schema, { ...init, requestId: requestId || newRequestId() });
    // A request that cannot be written down would look like one whose outcome is unknown.
    toBinary<DescMessage>(schema, request);

    // As in Connect, 0 is no deadline at all; so one that has just passed must not become 0.
    const totalMs = callOptions.timeoutMs ?? options.timeoutMs;
    const deadline = totalMs > 0 ? Date.now() + totalMs : Infinity;
    // What the last attempt has thrown that may have done its work.
    let unknown: unknown;
    for (let delayMs = options.firstDelayMs; ; delayMs = Math.min(delayMs * 2, options.lastDelayMs)) {
      const timeoutMs = Math.max(Math.min(options.attemptTimeoutMs, deadline - Date.now()), 1);
      try {
        return await call(request as MessageInitShape<I>, { ...callOptions, timeoutMs });
      } catch (error) {
        if (isOutcomeUnknown(error)) unknown = error;
        // Not every refusal of this attempt says what became of those before: they may have done it all the same.
        const answer = settles(error) ? error : (unknown ?? error);
        const { retryDelayMs } = failure(error);
        if (retryDelayMs === undefined && !isOutcomeUnknown(error)) throw answer;
        // When there is no time for another attempt, this is the answer.
        if (Date.now() + (retryDelayMs ?? 0) + delayMs >= deadline) throw answer;
        await pause(retryDelayMs ?? 0, delayMs, callOptions.signal);
      }
    }
  };
}

/** 128 random bits. Not `crypto.randomUUID`, which pages do not have that are served without TLS. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
