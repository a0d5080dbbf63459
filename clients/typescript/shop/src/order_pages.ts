// A list of orders that grows page by page, and changes as its orders do.
import { OrderStatus, orderflow, type Order } from "./gateway.ts";
import { usePages, type Pages } from "./loading.ts";
import { placedAt, type Orders } from "./orders.ts";

const PAGE_SIZE = 20;

export interface OrderPages extends Pages<Order> {
  /** Newest first. */
  orders: Order[] | undefined;
}

/** Of one side; in one status, unless that is UNSPECIFIED. */
export function useOrderPages(side: Orders, status: OrderStatus): OrderPages {
  const epoch = side.epoch.value;
  const pages = usePages(
    async (pageToken, signal) => {
      // Before the watch has begun, a change could slip between it and the list.
      if (epoch === 0) return new Promise<never>(() => {});
      const request = { side: side.side, status, pageSize: PAGE_SIZE, pageToken };
      const { orders, nextPageToken } = await orderflow.orders.listOrders(request, { signal });
      side.put(...orders);
      return { items: orders, nextPageToken };
    },
    [side, status, epoch],
  );
  const listed = pages.value;
  const last = listed?.items.at(-1);
  // What is older comes with the next page.
  const from = listed?.nextPageToken && last ? placedAt(last) : -Infinity;
  const orders =
    listed &&
    side.newestFirst.value.filter(
      (order) => (status === OrderStatus.UNSPECIFIED || order.status === status) && placedAt(order) >= from,
    );
  return { ...pages, orders };
}
