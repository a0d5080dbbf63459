import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Code, ConnectError, createClient, type HandlerContext } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import type { LoginResponse } from "../src/gen/orderflow/user/v1/user_service_pb.js";
import { CatalogService, OrderService, UserService } from "../src/index.js";
import { bearer, needsToken, Session } from "../src/session.js";
import { deferred, logins, overBoth } from "./counterpart.js";

const ADA = { email: "ada@example.com", password: "correct horse" };
const BOB = { email: "bob@example.com", password: "battery staple" };

overBoth("the token goes with calls that need one, unary and streaming, and with no others", async (start) => {
  const seen: Record<string, string | null> = {};
  const see = <T>(answer: T) => (_: unknown, context: HandlerContext) => {
    seen[context.method.name] = context.requestHeader.get("authorization");
    return answer;
  };
  async function* responses() {
    yield { resumeToken: "1" };
  }
  const shop = await start({
    users: { login: see({ accessToken: "ada's", expiresIn: 3600 }), getMe: see({}) },
    catalog: { listProducts: see({}) },
    orders: { watchOrders: see(responses()) },
  });
  await shop.signIn(ADA);
  await shop.users.getMe({});
  await shop.catalog.listProducts({});
  for await (const _ of shop.orders.watchOrders({})) break;
  assert.deepEqual(seen, { Login: null, GetMe: "Bearer ada's", ListProducts: null, WatchOrders: "Bearer ada's" });
});

overBoth("a header of the caller's own is left alone, and without a session there is none", async (start) => {
  const seen: (string | null)[] = [];
  const getMe = (_: unknown, context: HandlerContext) => {
    seen.push(context.requestHeader.get("authorization"));
    return {};
  };
  const shop = await start({ users: { getMe, login: logins().login } });
  await shop.users.getMe({});
  await shop.signIn(ADA);
  await shop.users.getMe({}, { headers: { authorization: "Bearer mine" } });
  shop.signOut();
  await shop.users.getMe({});
  assert.deepEqual(seen, [null, "Bearer mine", null]);
});

overBoth("a token that is not taken is not sent again", async (start) => {
  const seen: (string | null)[] = [];
  const getMe = (_: unknown, context: HandlerContext) => {
    seen.push(context.requestHeader.get("authorization"));
    if (seen.length === 1) throw new ConnectError("signed with a key of yesterday", Code.Unauthenticated);
    return {};
  };
  const shop = await start({ users: { getMe, login: logins().login } });
  await shop.signIn(ADA);
  await assert.rejects(shop.users.getMe({}), { code: Code.Unauthenticated });
  await shop.users.getMe({});
  assert.deepEqual(seen, ["Bearer token-1", "Bearer token-2"]);
});

test("a deadline holds while a call waits for its token", async () => {
  const expired = { accessToken: "expired", expiresIn: 0 } as LoginResponse;
  const answers = [Promise.resolve(expired), new Promise<LoginResponse>(() => {})];
  const session = new Session(() => answers.shift() ?? assert.fail("a third login"));
  await session.signIn(ADA);
  const unreached = createGrpcWebTransport({ baseUrl: "http://127.0.0.1:9", interceptors: [bearer(session)] });
  const users = createClient(UserService, unreached);
  await assert.rejects(users.getMe({}, { timeoutMs: 50 }), { code: Code.DeadlineExceeded });
});

test("the contract says which calls need a token", () => {
  const methods = [UserService, CatalogService, OrderService].flatMap((service) => service.methods);
  const open = methods.filter((method) => !needsToken(method)).map((method) => method.name);
  assert.deepEqual(open, ["Register", "Login", "GetProduct", "BatchGetProducts", "ListProducts"]);
});

/** A session for Ada whose tokens live for 100 seconds, at a time that only the test moves. */
async function signedIn(t: TestContext) {
  t.mock.timers.enable({ apis: ["Date"], now: 0 });
  const answers: (() => Promise<string>)[] = [];
  const asked: string[] = [];
  const session = new Session(async ({ email }) => {
    asked.push(email);
    const accessToken = await (answers.shift() ?? (async () => `token-${asked.length}`))();
    return { accessToken, expiresIn: 100 } as LoginResponse;
  });
  await session.signIn(ADA);
  return { session, asked, answers, at: (seconds: number) => t.mock.timers.setTime(seconds * 1_000) };
}

test("a token is renewed before it expires, and nobody waits for that", async (t) => {
  const { session, asked, answers, at } = await signedIn(t);
  at(79);
  assert.equal(await session.token(), "token-1");
  assert.equal(asked.length, 1);

  const second = deferred<string>();
  answers.push(() => second.promise);
  at(81);
  assert.deepEqual(await Promise.all([session.token(), session.token()]), ["token-1", "token-1"]);
  assert.equal(asked.length, 2, "one login for both");
  second.resolve("token-2");
  await turn();
  assert.equal(await session.token(), "token-2");
  assert.equal(asked.length, 2);
});

test("when it has expired, all calls wait for one login", async (t) => {
  const { session, asked, at } = await signedIn(t);
  at(101);
  assert.deepEqual(await Promise.all([session.token(), session.token(), session.token()]), Array(3).fill("token-2"));
  assert.equal(asked.length, 2);
});

test("a renewal that fails is no concern of calls while the old token is good, and is tried again", async (t) => {
  const { session, asked, answers, at } = await signedIn(t);
  const down = () => Promise.reject(new ConnectError("down", Code.Unavailable));
  answers.push(down, down);
  at(85);
  assert.equal(await session.token(), "token-1");
  await turn();
  at(86);
  assert.equal(await session.token(), "token-1");
  assert.equal(asked.length, 2, "not at once");
  at(91);
  assert.equal(await session.token(), "token-1");
  await turn();
  assert.equal(asked.length, 3);

  answers.push(down);
  at(101);
  await assert.rejects(session.token(), { code: Code.Unavailable });
  assert.equal(await session.token(), "token-5");
});

test("whoever signs in while another's token is renewed gets their own", async (t) => {
  const { session, asked, answers, at } = await signedIn(t);
  const adas = deferred<string>();
  answers.push(
    () => adas.promise,
    async () => "bob's first",
    async () => "bob's second",
  );
  at(101);
  const late = session.token();
  await session.signIn(BOB);
  session.reject("bob's first");
  assert.equal(await session.token(), "bob's second");
  adas.resolve("ada's");
  assert.equal(await late, "ada's");
  assert.equal(await session.token(), "bob's second");
  assert.deepEqual(asked, [ADA.email, ADA.email, BOB.email, BOB.email]);
});

test("whoever cannot sign in stays who they are, and whoever signs out is nobody", async (t) => {
  const { session, answers } = await signedIn(t);
  answers.push(() => Promise.reject(new ConnectError("wrong", Code.Unauthenticated)));
  await assert.rejects(session.signIn(BOB), { code: Code.Unauthenticated });
  assert.equal(await session.token(), "token-1");
  session.signOut();
  assert.equal(await session.token(), undefined);
});

/** Lets what is ready happen. */
const turn = () => new Promise((resolve) => setImmediate(resolve));
