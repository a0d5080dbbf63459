import { OrderStatus } from "../gateway.ts";

const STATUSES: Record<OrderStatus, [name: string, symbol: string]> = {
  [OrderStatus.UNSPECIFIED]: ["Unknown", "?"],
  [OrderStatus.PENDING]: ["Placed", "○"],
  [OrderStatus.SHIPPED]: ["Shipped", "➜"],
  [OrderStatus.DELIVERED]: ["Delivered", "✓"],
  [OrderStatus.CANCELLING]: ["Being cancelled", "…"],
  [OrderStatus.CANCELLED]: ["Cancelled", "×"],
};

export function statusName(status: OrderStatus): string {
  return STATUSES[status][0];
}

/** Where an order stands: by a word and a symbol, and only then by a colour. */
export function Badge({ status }: { status: OrderStatus }) {
  const [name, symbol] = STATUSES[status];
  return (
    <span class={`badge ${OrderStatus[status].toLowerCase()}`} data-status={OrderStatus[status]}>
      <span aria-hidden="true">{symbol}</span> {name}
    </span>
  );
}
