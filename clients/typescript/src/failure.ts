import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";

/** What an error says, its `google.rpc` details included. */
export interface Failure {
  code: Code;
  /** For people who read logs, without the code in front. */
  message: string;
  /** Why, for programs, in UPPER_SNAKE: "INSUFFICIENT_STOCK". Empty when the error came from elsewhere: a broken connection. */
  reason: string;
  /** Each field of the request that is wrong. */
  fields: { field: string; description: string }[];
  /** Each thing that stands in the way: of an order, each line that cannot be had: its product, what is so now. */
  preconditions: { type: string; subject: string; description: string }[];
  /** The same request may be sent again, so much later. */
  retryDelayMs: number | undefined;
  /** Of an INTERNAL error: where its cause is in the server's log. */
  traceId: string | undefined;
}

/** Reads whatever a call has thrown. */
export function failure(thrown: unknown): Failure {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason ?? "",
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations.map(({ field, description }) => ({ field, description }))),
    preconditions: error
      .findDetails(PreconditionFailureSchema)
      .flatMap((failed) =>
        failed.violations.map(({ type, subject, description }) => ({ type, subject, description })),
      ),
    retryDelayMs: retry && (retry.retryDelay ? durationMs(retry.retryDelay) : 0),
    traceId: info?.metadata["trace_id"],
  };
}

const UNKNOWN_OUTCOMES = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
  Code.Unknown,
  Code.Internal,
]);

/**
 * Whether the call may have done its work in spite of this error. Any other error is definite: it has done nothing, in none
 * of its attempts. Of an earlier call under the same `requestId` only those say so, too, that settle it.
 *
 * An error without any header was made on this side, whatever its code: the connection broke or an answer was cut off.
 */
export function isOutcomeUnknown(thrown: unknown): boolean {
  const error = ConnectError.from(thrown);
  return UNKNOWN_OUTCOMES.has(error.code) || error.metadata.keys().next().done === true;
}

const SETTLING = new Set([Code.FailedPrecondition, Code.AlreadyExists, Code.InvalidArgument]);

/** Whether nothing has been done under the `requestId`, nor will be, whatever became of earlier attempts. */
export function settles(thrown: unknown): boolean {
  return SETTLING.has(ConnectError.from(thrown).code) && !isOutcomeUnknown(thrown);
}
