// What one is about to order, and the sending of it. It outlives a reload, in this tab only: above all the id of an order whose
// outcome is not known, so that it is never placed twice.
import { computed, effect, signal } from "@preact/signals";

import { failure, newRequestId, orderflow, settles, type Order, type Product } from "./gateway.ts";
import { sums, type Amount } from "./money.ts";
import { problem, type Problem } from "./problem.ts";
import { user } from "./session.ts";

export interface Line {
  productId: string;
  name: string;
  /** As the buyer has seen it: for any other the order is refused. */
  price: Amount;
  quantity: number;
}

/** Why a line cannot be had. */
export interface Refusal {
  type: string;
  description: string;
  /** The product as it is now, if it is still there. */
  product: Product | undefined;
}

interface Cart {
  lines: Line[];
  /** The order that has been sent and whose outcome is not known, and who sent it. The lines must stay as they are. */
  unsettled: { requestId: string; userId: string } | undefined;
}

const KEY = "orderflow.cart";
/** Of one line of an order. */
export const MAX_QUANTITY = 10_000;
/** How long one press of the button tries. */
const PLACING_MS = 15_000;

const cart = signal<Cart>(read());

export const lines = computed(() => cart.value.lines);
export const isUnsettled = computed(() => cart.value.unsettled !== undefined);
/** Whether whoever is signed in now did not send it: for them it would be another order. */
export const isAnothers = computed(() => {
  const { unsettled } = cart.value;
  return unsettled !== undefined && user.value !== undefined && unsettled.userId !== user.value.id;
});
export const totals = computed(() =>
  sums(lines.value.map(({ price, quantity }) => ({ ...price, minorUnits: price.minorUnits * BigInt(quantity) }))),
);
export const pieces = computed(() => lines.value.reduce((sum, { quantity }) => sum + quantity, 0));
export const refusals = signal<ReadonlyMap<string, Refusal>>(new Map());
export const isPlacing = signal(false);
export const placingProblem = signal<Problem | undefined>(undefined);

effect(() => {
  const bigints = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
  const kept = JSON.stringify(cart.value, bigints);
  try {
    sessionStorage.setItem(KEY, kept);
  } catch {
    // Where nothing can be kept, the cart lives as long as the page.
  }
});

function read(): Cart {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "") as Cart;
    const line = (line: Line) => ({ ...line, price: { ...line.price, minorUnits: BigInt(line.price.minorUnits) } });
    return { lines: kept.lines.map(line), unsettled: kept.unsettled };
  } catch {
    return { lines: [], unsettled: undefined };
  }
}

/** Changes lines; while an order is unsettled they are what they are. */
function change(edit: (lines: Line[]) => Line[]): boolean {
  if (isUnsettled.value || isPlacing.value) return false;
  cart.value = { lines: edit(lines.value), unsettled: undefined };
  placingProblem.value = undefined;
  return true;
}

/** Whether it was taken: not while the cart is on its way. */
export function add(product: Product, quantity: number): boolean {
  const { id: productId, name, price } = product;
  if (!price) return false;
  const { currencyCode, minorUnits } = price;
  const inCart = lines.value.find((line) => line.productId === productId)?.quantity ?? 0;
  const line = {
    productId,
    name,
    price: { currencyCode, minorUnits },
    quantity: Math.min(inCart + quantity, MAX_QUANTITY),
  };
  pardon(productId);
  return change((before) =>
    inCart ? before.map((other) => (other.productId === productId ? line : other)) : [...before, line],
  );
}

export function setQuantity(productId: string, quantity: number): void {
  if (!Number.isInteger(quantity) || quantity < 1) return;
  const most = Math.min(quantity, MAX_QUANTITY);
  pardon(productId);
  change((before) => before.map((line) => (line.productId === productId ? { ...line, quantity: most } : line)));
}

/** Takes the product at the price that it has now. */
export function acceptPrice({ id, price }: Product): void {
  if (!price) return;
  const { currencyCode, minorUnits } = price;
  pardon(id);
  change((before) =>
    before.map((line) => (line.productId === id ? { ...line, price: { currencyCode, minorUnits } } : line)),
  );
}

export function remove(productId: string): void {
  pardon(productId);
  change((before) => before.filter((line) => line.productId !== productId));
}

export function empty(): void {
  cart.value = { lines: [], unsettled: undefined };
  refusals.value = new Map();
  placingProblem.value = undefined;
}

/** Lets go of an order whose outcome is not known, which may exist all the same. */
export function letGo(): void {
  cart.value = { ...cart.value, unsettled: undefined };
  placingProblem.value = undefined;
}

function pardon(productId: string): void {
  const others = new Map(refusals.value);
  if (others.delete(productId)) refusals.value = others;
}

const REFUSED = "Not all of it can be had. Nothing was ordered.";

/** Places the order, or sends it again, always under the same id until its outcome is known. */
export async function place(): Promise<Order | undefined> {
  const buyer = user.value;
  if (isPlacing.value || !buyer || isAnothers.value) return undefined;
  const requestId = cart.value.unsettled?.requestId ?? newRequestId();
  cart.value = { ...cart.value, unsettled: { requestId, userId: buyer.id } };
  isPlacing.value = true;
  placingProblem.value = undefined;
  refusals.value = new Map();
  const leave = new AbortController();
  const unsubscribe = user.subscribe((now) => now?.id === buyer.id || leave.abort());
  try {
    const request = {
      requestId,
      lines: lines.value.map(({ productId, quantity, price }) => ({ productId, quantity, expectedUnitPrice: price })),
    };
    const { order } = await orderflow.orders.createOrder(request, { timeoutMs: PLACING_MS, signal: leave.signal });
    empty();
    return order;
  } catch (error) {
    if (!leave.signal.aborted) placingProblem.value = problem(error);
    if (settles(error)) {
      cart.value = { ...cart.value, unsettled: undefined };
      refusals.value = await explain(error);
      if (refusals.value.size > 0) placingProblem.value = { ...problem(error), text: REFUSED };
    }
    return undefined;
  } finally {
    unsubscribe();
    isPlacing.value = false;
  }
}

/** What is so now of each product that was refused. */
async function explain(error: unknown): Promise<Map<string, Refusal>> {
  const refused = failure(error).preconditions.map(({ type, subject, description }) => ({
    type,
    description,
    productId: subject.replace(/^products\//, ""),
  }));
  if (refused.length === 0) return new Map();
  const ids = refused.map(({ productId }) => productId);
  const found = await orderflow.catalog.batchGetProducts({ ids }).catch(() => undefined);
  const products = new Map(found?.products.map((product) => [product.id, product]));
  return new Map(
    refused.map(({ type, description, productId }) => [
      productId,
      { type, description, product: products.get(productId) },
    ]),
  );
}
