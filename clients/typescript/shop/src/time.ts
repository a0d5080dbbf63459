import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since 1970. */
export function timeOf(timestamp: Timestamp | undefined): number {
  return timestamp ? timestampMs(timestamp) : 0;
}

export function formatTime(timestamp: Timestamp | undefined): string {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  return timestamp ? format.format(timestampMs(timestamp)) : "";
}
