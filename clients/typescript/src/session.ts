import { getOption, type DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

import { Access, auth } from "./gen/orderflow/options/v1/options_pb.js";
import type { LoginResponse } from "./gen/orderflow/user/v1/user_service_pb.js";

/** What one signs in with. */
export interface Credentials {
  email: string;
  password: string;
}

interface Token {
  value: string;
  /** When to get the next one, and when it is too late; milliseconds since 1970. */
  renewAt: number;
  expiresAt: number;
}

/** How much of a token's life passes before it is renewed. */
const RENEW_AFTER = 0.8;
/** How long to leave it after a renewal that failed, while the old token is still good. */
const RENEW_AGAIN_MS = 5_000;

/**
 * Who is signed in. The service gives no refresh tokens, so the credentials are kept to log in again before the token
 * expires: in memory only, where no other page, no later visitor and no disk finds them.
 */
export class Session {
  #credentials: Credentials | undefined;
  #token: Token | undefined;
  #renewal: Promise<Token> | undefined;
  readonly #login: (credentials: Credentials) => Promise<LoginResponse>;

  constructor(login: (credentials: Credentials) => Promise<LoginResponse>) {
    this.#login = login;
  }

  async signIn(credentials: Credentials): Promise<void> {
    const token = await this.#fetch(credentials);
    this.signOut();
    this.#credentials = { ...credentials };
    this.#token = token;
  }

  signOut(): void {
    this.#credentials = undefined;
    this.#token = undefined;
    this.#renewal = undefined;
  }

  /** The token to send now; none when nobody is signed in. */
  async token(): Promise<string | undefined> {
    const token = this.#token;
    const now = Date.now();
    if (token && now < token.renewAt) return token.value;
    if (!this.#credentials) return undefined;
    const renewal = this.#renew(this.#credentials);
    // As long as the old one is good nobody waits, and nobody is bothered when there is no new one yet.
    if (token && now < token.expiresAt) {
      renewal.catch(() => (token.renewAt = Date.now() + RENEW_AGAIN_MS));
      return token.value;
    }
    return (await renewal).value;
  }

  /** The server does not take this token, whatever the clock says: the next call gets a new one. */
  reject(token: string): void {
    if (this.#token?.value === token) this.#token = undefined;
  }

  /** One login, however many calls ask for it. */
  #renew(credentials: Credentials): Promise<Token> {
    if (this.#renewal) return this.#renewal;
    const renewal = this.#fetch(credentials).then((token) => {
      if (this.#credentials === credentials) this.#token = token;
      return token;
    });
    const done = () => {
      if (this.#renewal === renewal) this.#renewal = undefined;
    };
    renewal.then(done, done);
    return (this.#renewal = renewal);
  }

  async #fetch(credentials: Credentials): Promise<Token> {
    // Its life is counted from before the question: it can only be longer.
    const asked = Date.now();
    const { accessToken, expiresIn } = await this.#login(credentials);
    const lifeMs = expiresIn * 1_000;
    return { value: accessToken, renewAt: asked + lifeMs * RENEW_AFTER, expiresAt: asked + lifeMs };
  }
}

/** Whether a method wants to know who calls, as the contract says of each. */
export function needsToken(method: DescMethod): boolean {
  const { access } = getOption(method, auth);
  return access === Access.USER || access === Access.ROLE;
}

/** Puts the session's token on the calls that need one, unary and streaming. */
export function bearer(session: Session): Interceptor {
  return (next) => async (request) => {
    if (!needsToken(request.method) || request.header.has("authorization")) return next(request);
    const token = await orAborted(session.token(), request.signal);
    if (token === undefined) return next(request);
    request.header.set("authorization", `Bearer ${token}`);
    const refused = (error: unknown) => {
      if (ConnectError.from(error).code === Code.Unauthenticated) session.reject(token);
    };
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: observed(response.message, refused) } : response;
    } catch (error) {
      refused(error);
      throw error;
    }
  };
}

async function* observed<T>(messages: AsyncIterable<T>, onError: (error: unknown) => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    onError(error);
    throw error;
  }
}

/** The call's deadline and cancellation hold while it waits for a token, too. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
