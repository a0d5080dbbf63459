import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

import { OrderService } from "../src/index.js";

/** Counts the orders that are sent, and throws an answer away when it is told to. */
export class LostAnswer {
  /** How many have been sent. */
  sent = 0;
  #losing = false;

  /** The next order will be placed, but the answer that says so gets lost. */
  loseNext(): void {
    this.#losing = true;
  }

  readonly interceptor: Interceptor = (next) => async (request) => {
    if (request.method !== OrderService.method.createOrder) return next(request);
    this.sent += 1;
    const answer = await next(request);
    if (!this.#losing) return answer;
    this.#losing = false;
    throw new ConnectError("the answer got lost", Code.Unavailable);
  };
}
