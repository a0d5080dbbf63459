import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
} from "../src/gen/google/rpc/error_details_pb.js";
import { Code, ConnectError, failure, isOutcomeUnknown, type Failure } from "../src/index.js";
import { overBoth, type Start } from "./counterpart.js";

/** What the client makes of what the server throws. */
async function met(start: Start, thrown: ConnectError): Promise<Failure> {
  const getMe = () => {
    throw thrown;
  };
  const shop = await start({ users: { getMe } });
  return shop.users.getMe({}).then(
    () => assert.fail("it answered"),
    (error: unknown) => failure(error),
  );
}

overBoth("wrong fields are named", async (start) => {
  const fieldViolations = [
    { field: "lines[0].quantity", description: "must be 1 to 10,000, für jeden" },
    { field: "request_id", description: "must be visible" },
  ];
  const thrown = new ConnectError("invalid lines[0].quantity and 1 more", Code.InvalidArgument, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "INVALID_REQUEST", domain: "orderflow" } },
    { desc: BadRequestSchema, value: { fieldViolations } },
  ]);
  assert.deepEqual(await met(start, thrown), {
    code: Code.InvalidArgument,
    message: "invalid lines[0].quantity and 1 more",
    reason: "INVALID_REQUEST",
    fields: fieldViolations,
    preconditions: [],
    retryDelayMs: undefined,
    traceId: undefined,
  });
});

overBoth("what stands in the way is named", async (start) => {
  const violations = [{ type: "INSUFFICIENT_STOCK", subject: "products/1", description: "8 left" }];
  const thrown = new ConnectError("refused", Code.FailedPrecondition, undefined, [
    { desc: PreconditionFailureSchema, value: { violations } },
  ]);
  const { preconditions, reason } = await met(start, thrown);
  assert.deepEqual(preconditions, violations);
  assert.equal(reason, "");
});

overBoth("it says when to try again, and where to look", async (start) => {
  const thrown = new ConnectError("", Code.Internal, undefined, [
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n, nanos: 500_000_000 } } },
    { desc: ErrorInfoSchema, value: { reason: "INTERNAL", metadata: { trace_id: "4bf92f3577b34da6" } } },
  ]);
  const { retryDelayMs, traceId } = await met(start, thrown);
  assert.equal(retryDelayMs, 2_500);
  assert.equal(traceId, "4bf92f3577b34da6");
});

test("whatever is thrown can be read", () => {
  assert.equal(failure(new TypeError("Failed to fetch")).code, Code.Unknown);
  assert.equal(failure(new TypeError("Failed to fetch")).message, "Failed to fetch");
  assert.equal(failure("thrown").message, "thrown");
  assert.equal(failure(undefined).reason, "");
});

test("an answer that was cut off says nothing about the call, whatever it is called", () => {
  assert.equal(isOutcomeUnknown(new ConnectError("incomplete envelope", Code.InvalidArgument)), true);
  const answered = { "grpc-status": "3" };
  assert.equal(isOutcomeUnknown(new ConnectError("invalid name", Code.InvalidArgument, answered)), false);
});
