import { useState } from "preact/hooks";

import { OrderStatus, orderflow, type Order } from "../gateway.ts";
import { useLoaded } from "../loading.ts";
import { bought } from "../orders.ts";
import { Alert } from "../parts/form.tsx";
import { Lines } from "../parts/lines.tsx";
import { Live } from "../parts/live.tsx";
import { Page, Shown } from "../parts/page.tsx";
import { Badge, statusName } from "../parts/status.tsx";
import { problem, type Problem } from "../problem.ts";
import { formatTime } from "../time.ts";

/** One order of the buyer's. */
export function OrderPage({ id }: { id: string }) {
  const orders = bought.value;
  const loaded = useLoaded(
    async (signal) => {
      const { order } = await orderflow.orders.getOrder({ id }, { signal });
      if (order) orders.put(order);
      return order;
    },
    // A watch that begins anew knows nothing of what was before.
    [orders, id, orders.epoch.value],
  );
  return (
    <Page title="Order" aside={<Live />}>
      <Shown of={{ ...loaded, value: orders.get(id) }}>{(order) => <Details order={order} />}</Shown>
    </Page>
  );
}

function Details({ order }: { order: Order }) {
  return (
    <div class="details">
      <section class="card" aria-labelledby="where">
        <h2 id="where">Where it is</h2>
        <p role="status">
          <Badge status={order.status} />
        </p>
        <Way status={order.status} />
        <p class="hint">
          Placed {formatTime(order.createTime)}
          {order.status !== OrderStatus.PENDING &&
            `, ${statusName(order.status).toLowerCase()} ${formatTime(order.updateTime)}`}
        </p>
        {order.status === OrderStatus.PENDING && <Cancel order={order} />}
      </section>
      <section class="card" aria-labelledby="what">
        <h2 id="what">What is in it</h2>
        <Lines of={order} />
        <p class="hint">
          Order <code>{order.id}</code>
        </p>
      </section>
    </div>
  );
}

const WAY = [OrderStatus.PENDING, OrderStatus.SHIPPED, OrderStatus.DELIVERED];

/** How far it has come, unless it was cancelled. */
function Way({ status }: { status: OrderStatus }) {
  const reached = WAY.indexOf(status);
  if (reached < 0) return null;
  return (
    <ol class="way">
      {WAY.map((step, n) => (
        <li key={step} class={n <= reached ? "reached" : ""} aria-current={n === reached ? "step" : undefined}>
          {statusName(step)}
        </li>
      ))}
    </ol>
  );
}

function Cancel({ order }: { order: Order }) {
  const [failed, setFailed] = useState<Problem>();
  const cancel = async () => {
    setFailed(undefined);
    try {
      const { order: cancelled } = await orderflow.orders.cancelOrder({ id: order.id });
      if (cancelled) bought.value.put(cancelled);
    } catch (error) {
      setFailed(problem(error));
    }
  };
  return (
    <>
      <Alert problem={failed} />
      <button type="button" onClick={cancel}>
        Cancel the order
      </button>
    </>
  );
}
