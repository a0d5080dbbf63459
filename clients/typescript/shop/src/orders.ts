// Orders as they change. A page holds one watch at the most, of the side that it shows: browsers open few connections to one
// server, and a watch keeps one of them.
import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";

import { Code, failure, orderflow, OrderSide, OrderStatus, type Order } from "./gateway.ts";
import { announce } from "./notices.ts";
import { href, route } from "./route.ts";
import { user } from "./session.ts";
import { timeOf } from "./time.ts";

/** How long lists wait for the watch. If it takes longer they do without, and are read again when it begins. */
const WATCH_PATIENCE_MS = 3_000;
/** How long to leave it after a watch has ended for good. */
const AGAIN_MS = 5_000;

/** The orders of one side, each as it is behind the latest change that is known of it. */
export class Orders {
  readonly #known = signal<ReadonlyMap<string, Order>>(new Map());
  /** Counts up when lists have to be read: the watch has begun, and knows nothing of what was before. 0: not yet. */
  readonly epoch = signal(0);
  /** Counts the changes that the watch has brought. */
  readonly changes = signal(0);
  resumeToken = "";

  constructor(readonly side: OrderSide) {}

  readonly newestFirst: ReadonlySignal<Order[]> = computed(() =>
    Array.from(this.#known.value.values()).sort((a, b) => placedAt(b) - placedAt(a)),
  );

  get(id: string): Order | undefined {
    return this.#known.value.get(id);
  }

  /** Adds orders, from wherever: whichever of two is later in its life stays. */
  put(...orders: Order[]): void {
    const known = new Map(this.#known.value);
    for (const order of orders) {
      const before = known.get(order.id);
      if (!before || isLater(order, before)) known.set(order.id, order);
    }
    this.#known.value = known;
  }

  /** Takes every change until it is told to stop. */
  async follow(stop: AbortSignal): Promise<void> {
    const patience = setTimeout(() => (this.epoch.value ||= 1), WATCH_PATIENCE_MS);
    stop.addEventListener("abort", () => clearTimeout(patience));
    while (!stop.aborted) {
      try {
        const request = { side: this.side, resumeToken: this.resumeToken };
        for await (const { order, resumeToken } of orderflow.orders.watchOrders(request, { signal: stop })) {
          if (!this.resumeToken) this.epoch.value++;
          this.resumeToken = resumeToken;
          if (order) this.#take(order);
        }
      } catch (error) {
        if (stop.aborted) return;
        // Too much has happened since: from now on, then, and all lists anew.
        if (failure(error).code === Code.OutOfRange) this.resumeToken = "";
        else await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  #take(order: Order): void {
    const before = this.get(order.id);
    this.put(order);
    this.changes.value++;
    tell(this.side, before, order);
  }
}

/** Ranks in an order's life; no status follows one of the same rank. */
const RANK: Record<OrderStatus, number> = {
  [OrderStatus.UNSPECIFIED]: 0,
  [OrderStatus.PENDING]: 1,
  [OrderStatus.SHIPPED]: 2,
  [OrderStatus.CANCELLING]: 2,
  [OrderStatus.DELIVERED]: 3,
  [OrderStatus.CANCELLED]: 3,
};

/** What only a later contract knows gives way to whatever is known. */
function rank({ status }: Order): number {
  return RANK[status] ?? RANK[OrderStatus.UNSPECIFIED];
}

function isLater(order: Order, before: Order): boolean {
  return rank(order) >= rank(before);
}

function tell(side: OrderSide, before: Order | undefined, order: Order): void {
  if (before?.status === order.status) return;
  const what = summary(order);
  if (side === OrderSide.SELLER) {
    const where = href("sell", "orders");
    if (order.status === OrderStatus.PENDING) announce(`New order: ${what}`, where);
    if (order.status === OrderStatus.CANCELLED) announce(`Cancelled: ${what}`, where);
  } else {
    const where = href("orders", order.id);
    if (order.status === OrderStatus.SHIPPED) announce(`On its way: ${what}`, where);
    if (order.status === OrderStatus.DELIVERED) announce(`Delivered: ${what}`, where);
    if (order.status === OrderStatus.CANCELLED) announce(`Cancelled: ${what}`, where);
  }
}

/** What is in an order, in few words. */
export function summary({ lines }: Order): string {
  const [first, ...others] = lines;
  if (!first) return "nothing";
  const more = others.length ? ` and ${others.length} more` : "";
  return `${first.quantity} × ${first.productName}${more}`;
}

const userId = computed(() => user.value?.id);
/** Of whoever is signed in: each person begins with nothing. */
const ordersOf = (side: OrderSide) => computed(() => (userId.value, new Orders(side)));

export const bought = ordersOf(OrderSide.BUYER);
export const sold = ordersOf(OrderSide.SELLER);

const isSelling = computed(() => route.value.path[0] === "sell");
const isVisible = signal(document.visibilityState === "visible");
document.addEventListener("visibilitychange", () => (isVisible.value = document.visibilityState === "visible"));

/** Begins to follow the orders of whoever is signed in, and goes on where it was when a page that was hidden is seen again. */
export function followOrders(): void {
  effect(() => {
    if (!userId.value || !isVisible.value) return;
    const orders = isSelling.value ? sold.value : bought.value;
    const stop = new AbortController();
    void orders.follow(stop.signal);
    return () => stop.abort();
  });
}

/** When an order was placed, in milliseconds since 1970. */
export function placedAt(order: Order): number {
  return timeOf(order.createTime);
}
