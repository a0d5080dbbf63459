import type { Product } from "../gateway.ts";

const COLOURS = 8;

/** In place of a picture, of which the contract has none: the product's first letter, in a colour of its own. */
export function Tile({ of: { id, name } }: { of: Product }) {
  const colour = Number.parseInt(id.slice(-2), 16) % COLOURS;
  return (
    <svg class={`tile tile-${colour}`} viewBox="0 0 160 100" aria-hidden="true" focusable="false">
      <rect width="160" height="100" />
      <circle cx="128" cy="18" r="52" />
      <text x="80" y="54" text-anchor="middle" dominant-baseline="central">
        {name.charAt(0)}
      </text>
    </svg>
  );
}
