import { Code, ConnectError } from "@connectrpc/connect";

/**
 * Waits at least `atLeastMs` and then up to `spreadMs` more: chance keeps those who failed together from coming back
 * together.
 */
export function pause(atLeastMs: number, spreadMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal?.reason, Code.Canceled));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, atLeastMs + Math.random() * spreadMs);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
