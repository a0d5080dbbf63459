import { isLive } from "../gateway.ts";

/** Whether what is seen changes by itself. */
export function Live() {
  return isLive.value ? (
    <p class="live">
      <span class="dot" aria-hidden="true" /> Live
    </p>
  ) : (
    <p class="live waiting">
      <span class="dot" aria-hidden="true" /> Connecting…
    </p>
  );
}
