// Which view is shown: the part of the address behind `#`, so that any server of files will do.
import { signal } from "@preact/signals";

export interface Route {
  /** `["orders", "0123…"]` of `#/orders/0123…` */
  path: string[];
  query: URLSearchParams;
}

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean), query: new URLSearchParams(query) };
}

export const route = signal(read());

addEventListener("hashchange", () => (route.value = read()));

/** The address of a view: `href("orders", id)`. */
export function href(...path: string[]): string {
  return `#/${path.join("/")}`;
}

export function go(address: string): void {
  location.hash = address;
}
