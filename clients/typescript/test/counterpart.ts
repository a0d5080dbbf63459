// What the client is tested against: a server in this process, over real sockets, by both protocols.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { test, type TestContext } from "node:test";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { CatalogService, OrderService, UserService, type Options, type OrderFlow } from "../src/index.js";
import { connect as connectNode } from "../src/node.js";
import { connect as connectWeb } from "../src/web.js";

export interface Services {
  users?: Partial<ServiceImpl<typeof UserService>>;
  catalog?: Partial<ServiceImpl<typeof CatalogService>>;
  orders?: Partial<ServiceImpl<typeof OrderService>>;
  /** Sees every request first; true when that was all. */
  wire?: (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => boolean;
}

/** Starts a server that lives as long as the test, and connects with it. */
export type Start = (services: Services, options?: Options) => Promise<OrderFlow>;

/** A test that is run by gRPC over HTTP/2 and by gRPC-Web over HTTP/1.1. */
export function overBoth(name: string, body: (start: Start, t: TestContext) => Promise<void>): void {
  test(`${name} (gRPC)`, (t) =>
    body(async (services, options) => connectNode((await startHttp2(t, services)).href, options), t));
  test(`${name} (gRPC-Web)`, (t) =>
    body(async (services, options) => connectWeb((await startHttp1(t, services)).href, options), t));
}

export async function startHttp2(t: TestContext, services: Services): Promise<URL> {
  const answer = adapter(services);
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server((request, response) => {
    if (!services.wire?.(request, response)) answer(request, response);
  });
  server.on("session", (session) => sessions.add(session));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return listening(server);
}

async function startHttp1(t: TestContext, services: Services): Promise<URL> {
  const answer = adapter(services);
  const server = createServer((request, response) => {
    if (!services.wire?.(request, response)) answer(request, response);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return listening(server);
}

async function listening(server: Server): Promise<URL> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

function adapter(services: Services) {
  return connectNodeAdapter({
    routes: (router) =>
      router
        .service(UserService, services.users ?? {})
        .service(CatalogService, services.catalog ?? {})
        .service(OrderService, services.orders ?? {}),
  });
}

/** Waits until nobody waits for the call's answer any more. */
export function abandoned({ signal }: HandlerContext): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}

/** Logins that each give another token: token-1, token-2. */
export function logins(expiresIn = 3600) {
  const counter = {
    count: 0,
    login: () => ({ accessToken: `token-${(counter.count += 1)}`, tokenType: "bearer", expiresIn }),
  };
  return counter;
}

/** A promise, and who settles it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}
