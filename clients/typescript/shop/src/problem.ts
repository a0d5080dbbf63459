// What went wrong, in words for whoever sits before the screen.
import { Code, failure } from "./gateway.ts";

/** What is wrong with a form, seen before it is sent: by the fields' names in the contract. */
export class WrongFields extends Error {
  constructor(readonly fields: Record<string, string>) {
    super("Some fields need another look.");
  }
}

export interface Problem {
  /** The whole of it. */
  text: string;
  /** Why, for programs. */
  reason: string;
  /** What is wrong with each field, by its name in the contract. */
  fields: Map<string, string>;
}

export function problem(thrown: unknown): Problem {
  if (thrown instanceof WrongFields) {
    return { text: thrown.message, reason: "", fields: new Map(Object.entries(thrown.fields)) };
  }
  const { code, message, reason, fields, traceId } = failure(thrown);
  const found = new Map(fields.map(({ field, description }) => [field, sentence(description)]));
  const text = reason === "REQUEST_ID_REUSED" ? DONE_ALREADY : words(code, message, found, traceId);
  return { text, reason, fields: found };
}

/** The first attempt has come through after all, and this one says something else. */
const DONE_ALREADY = "What you sent at first has been done in the meantime. Close this and have a look.";

function words(code: Code, message: string, fields: Map<string, string>, traceId: string | undefined): string {
  if (fields.size > 0) return "Some fields need another look.";
  switch (code) {
    case Code.Internal:
      return `Something broke on our side${traceId ? ` (trace ${traceId})` : ""}. Please try again.`;
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Unknown:
    case Code.Canceled:
      return "The shop does not answer. Check your connection and try again.";
    default:
      return sentence(message);
  }
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
