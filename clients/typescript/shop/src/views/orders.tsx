import { OrderStatus, type Order } from "../gateway.ts";
import { formatMoney } from "../money.ts";
import { useOrderPages } from "../order_pages.ts";
import { bought, summary } from "../orders.ts";
import { Live } from "../parts/live.tsx";
import { Empty, More, Page, Shown } from "../parts/page.tsx";
import { Badge } from "../parts/status.tsx";
import { href } from "../route.ts";
import { formatTime } from "../time.ts";

export function OrdersPage() {
  const pages = useOrderPages(bought.value, OrderStatus.UNSPECIFIED);
  return (
    <Page title="Your orders" aside={<Live />}>
      <Shown of={{ ...pages, value: pages.orders }}>
        {(orders) =>
          orders.length === 0 ? (
            <Empty>
              You have not ordered anything yet. <a href={href()}>Look around</a>
            </Empty>
          ) : (
            <ul class="orders">
              {orders.map((order) => (
                <li key={order.id}>
                  <Row order={order} />
                </li>
              ))}
            </ul>
          )
        }
      </Shown>
      <More more={pages.more} isLoading={pages.isLoading} />
    </Page>
  );
}

function Row({ order }: { order: Order }) {
  return (
    <article class="card order">
      <h2>
        <a href={href("orders", order.id)}>{summary(order)}</a>
      </h2>
      <Badge status={order.status} />
      <p class="hint">{formatTime(order.createTime)}</p>
      <p class="price">{formatMoney(order.totalPrice)}</p>
    </article>
  );
}
