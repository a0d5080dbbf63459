import { OrderStatus } from "../gateway.ts";

const STATUSES: Record<OrderStatus, [name: string, symbol: string]> = {
  [OrderStatus.UNSPECIFIED]: ["Unknown", "?"],
  [OrderStatus.PENDING]: ["Placed", "○"],
  [OrderStatus.SHIPPED]: ["Shipped", "➜"],
  [OrderStatus.DELIVERED]: ["Delivered", "✓"],
  [OrderStatus.CANCELLING]: ["Being cancelled", "…"],
  [OrderStatus.CANCELLED]: ["Cancelled", "×"],
};

/** What only a later contract knows is UNSPECIFIED here. */
function known(status: OrderStatus): OrderStatus {
  return status in STATUSES ? status : OrderStatus.UNSPECIFIED;
}

export function statusName(status: OrderStatus): string {
  return STATUSES[known(status)][0];
}

/** Where an order stands: by a word and a symbol, and only then by a colour. */
export function Badge({ status }: { status: OrderStatus }) {
  const [name, symbol] = STATUSES[known(status)];
  const code = OrderStatus[known(status)];
  return (
    <span class={`badge ${code.toLowerCase()}`} data-status={code}>
      <span aria-hidden="true">{symbol}</span> {name}
    </span>
  );
}
