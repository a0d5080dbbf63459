import { useState } from "preact/hooks";

import { OrderStatus, orderflow, type Order } from "../gateway.ts";
import { useOrderPages } from "../order_pages.ts";
import { sold, summary } from "../orders.ts";
import { Alert } from "../parts/form.tsx";
import { Lines } from "../parts/lines.tsx";
import { Live } from "../parts/live.tsx";
import { Empty, More, Shown } from "../parts/page.tsx";
import { Badge, statusName } from "../parts/status.tsx";
import { problem, type Problem } from "../problem.ts";
import { formatTime } from "../time.ts";
import { SellPage } from "./sell.tsx";

const FILTERS = [
  OrderStatus.UNSPECIFIED,
  OrderStatus.PENDING,
  OrderStatus.SHIPPED,
  OrderStatus.DELIVERED,
  OrderStatus.CANCELLED,
];

/** Orders with lines that one sells. */
export function SalesPage() {
  const [status, setStatus] = useState(OrderStatus.UNSPECIFIED);
  const pages = useOrderPages(sold.value, status);
  return (
    <SellPage title="Orders to you" aside={<Live />}>
      <div class="field inline">
        <label for="status">Show</label>
        <select id="status" value={status} onChange={(event) => setStatus(Number(event.currentTarget.value))}>
          {FILTERS.map((one) => (
            <option key={one} value={one}>
              {one === OrderStatus.UNSPECIFIED ? "All" : statusName(one)}
            </option>
          ))}
        </select>
      </div>
      <Shown of={{ ...pages, value: pages.orders }}>
        {(orders) =>
          orders.length === 0 ? (
            <Empty>
              {status === OrderStatus.UNSPECIFIED
                ? "Nobody has ordered yet. Orders appear here by themselves."
                : "None."}
            </Empty>
          ) : (
            <ul class="orders">
              {orders.map((order) => (
                <li key={order.id}>
                  <Sale order={order} />
                </li>
              ))}
            </ul>
          )
        }
      </Shown>
      <More more={pages.more} isLoading={pages.isLoading} />
    </SellPage>
  );
}

function Sale({ order }: { order: Order }) {
  const [failed, setFailed] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const act = (call: () => Promise<{ order?: Order | undefined }>) => async () => {
    if (isBusy) return;
    setBusy(true);
    setFailed(undefined);
    try {
      const { order: moved } = await call();
      if (moved) sold.value.put(moved);
    } catch (error) {
      setFailed(problem(error));
    }
    setBusy(false);
  };
  const { id } = order;
  const move = (status: OrderStatus) => act(() => orderflow.orders.updateOrderStatus({ id, status }));
  const cancel = act(() => orderflow.orders.cancelOrder({ id }));
  const what = summary(order);
  return (
    <article class="card sale" aria-busy={isBusy}>
      <div class="title">
        <h2>{what}</h2>
        <Badge status={order.status} />
      </div>
      <p class="hint">{formatTime(order.createTime)}</p>
      <Lines of={order} />
      <Alert problem={failed} />
      <div class="actions">
        {order.status === OrderStatus.PENDING && (
          <>
            <button type="button" class="primary" aria-label={`Ship ${what}`} onClick={move(OrderStatus.SHIPPED)}>
              Ship
            </button>
            <button type="button" aria-label={`Cancel ${what}`} onClick={cancel}>
              Cancel
            </button>
          </>
        )}
        {order.status === OrderStatus.SHIPPED && (
          <button type="button" class="primary" aria-label={`Delivered: ${what}`} onClick={move(OrderStatus.DELIVERED)}>
            Delivered
          </button>
        )}
      </div>
    </article>
  );
}
