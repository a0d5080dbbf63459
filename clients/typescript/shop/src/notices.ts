// What happened meanwhile: shown for a while, and read out by screen readers.
import { signal } from "@preact/signals";

export interface Notice {
  id: number;
  text: string;
  /** Where to see more. */
  href: string | undefined;
}

const SHOWN_MS = 8_000;

export const notices = signal<readonly Notice[]>([]);

let last = 0;

export function announce(text: string, href?: string): void {
  const notice = { id: ++last, text, href };
  notices.value = [...notices.value.slice(-2), notice];
  setTimeout(() => dismiss(notice), SHOWN_MS);
}

export function dismiss(notice: Notice): void {
  notices.value = notices.value.filter(({ id }) => id !== notice.id);
}
