// Amounts as people write them. They are whole numbers of a currency's smallest unit everywhere else, and never a floating one.
import type { Money } from "./gateway.ts";

export interface Amount {
  currencyCode: string;
  minorUnits: bigint;
}

/** How many digits a currency has behind the point: 2 for TRY, 0 for JPY. */
function digits(currencyCode: string): number {
  const format = new Intl.NumberFormat("en", { style: "currency", currency: currencyCode });
  return format.resolvedOptions().maximumFractionDigits ?? 2;
}

/** `1999` of TRY is `"19.99"`. */
export function toDecimal({ currencyCode, minorUnits }: Amount): `${number}` {
  const scale = digits(currencyCode);
  const sign = minorUnits < 0n ? "-" : "";
  const all = (minorUnits < 0n ? -minorUnits : minorUnits).toString().padStart(scale + 1, "0");
  const whole = all.slice(0, all.length - scale);
  const text = scale ? `${sign}${whole}.${all.slice(-scale)}` : `${sign}${whole}`;
  return text as `${number}`;
}

export function formatMoney(amount: Amount | Money | undefined): string {
  if (!amount) return "";
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency: amount.currencyCode });
  // Strings are taken as exact decimals.
  return format.format(toDecimal(amount));
}

/** For the scale of a chart: without small change where there is none. */
export function formatRound(amount: Amount): string {
  const format = new Intl.NumberFormat(undefined, {
    style: "currency",
    currency: amount.currencyCode,
    notation: "compact",
    trailingZeroDisplay: "stripIfInteger",
  });
  return format.format(toDecimal(amount));
}

/** Reads `19.99` or `19,99`; nothing if that is no amount of this currency. */
export function parseAmount(text: string, currencyCode: string): bigint | undefined {
  const match = /^\s*(\d+)(?:[.,](\d*))?\s*$/.exec(text);
  const scale = digits(currencyCode);
  const [, whole, fraction = ""] = match ?? [];
  if (!whole || fraction.length > scale) return undefined;
  return BigInt(whole + fraction.padEnd(scale, "0"));
}

/** Sums by currency, in the order in which currencies first come. */
export function sums(amounts: Iterable<Amount>): Amount[] {
  const byCurrency = new Map<string, bigint>();
  for (const { currencyCode, minorUnits } of amounts) {
    byCurrency.set(currencyCode, (byCurrency.get(currencyCode) ?? 0n) + minorUnits);
  }
  return Array.from(byCurrency, ([currencyCode, minorUnits]) => ({ currencyCode, minorUnits }));
}
